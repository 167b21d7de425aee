"""The files that forge checks too: they are what `make.py` writes, and say what Python finds."""

import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fednode.aggregation import FedAvg, rule_numbered
from ledger import committee, merkle, merkle_sum, nodes, payouts
from ledger.errors import MalformedRecord
from ledger.headers import PolicyHeader, ResultHeader, UpdateHeader
from ledger.merkle_sum import Summed, SumPath
from ledger.types import Digest

VECTORS = Path(__file__).parents[2] / "vectors"
MAKE = runpy.run_path(str(VECTORS / "make.py"))
NAMES = [
    "headers.json",
    "merkle.json",
    "payouts.json",
    "nodes.json",
    "aggregate.json",
    "committee.json",
]
KINDS: dict[str, type[PolicyHeader | UpdateHeader | ResultHeader]] = {
    "policy": PolicyHeader,
    "update": UpdateHeader,
    "result": ResultHeader,
}


def load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((VECTORS / name).read_text())
    return content


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def test_the_files_are_what_the_script_writes() -> None:
    made = MAKE["files"]()
    assert sorted(made) == sorted(NAMES)
    for name, content in made.items():
        assert (VECTORS / name).read_text() == MAKE["render"](content), (
            f"{name} is stale: run python tests/vectors/make.py"
        )


@pytest.mark.parametrize("name", NAMES)
def test_counts(name: str) -> None:
    content = load(name)
    assert content["count"] == len(content["cases"]) > 0


def test_headers() -> None:
    content = load("headers.json")
    for case in content["cases"]:
        header = KINDS[case["kind"]].decode(unhex(case["encoded"]))
        assert header.digest() == unhex(case["digest"])
    for case in content["bad"]:
        with pytest.raises(MalformedRecord):
            KINDS[case["kind"]].decode(unhex(case["encoded"]))


def test_merkle_paths() -> None:
    names = set()
    for case in load("merkle.json")["cases"]:
        found = merkle.verify(
            unhex(case["root"]),
            unhex(case["leaf"]),
            index=case["index"],
            size=case["size"],
            path=[unhex(item) for item in case["path"]],
            leaf_size=case["leafSize"],
        )
        assert found == case["valid"], case["name"]
        names.add(case["name"].split(":")[0])
    assert {"wrong index", "wrong height", "second preimage", "64-byte leaf 1 of 2"} <= names


def sum_path(case: dict[str, Any]) -> SumPath:
    return SumPath(
        tuple(Digest(unhex(h)) for h in case["hashes"]), tuple(int(s) for s in case["sums"])
    )


def test_payouts() -> None:
    content = load("payouts.json")
    for case in content["cases"]:
        root = Summed(Digest(unhex(case["root"])), int(case["total"]))
        leaf = payouts.PayoutLeaf(case["index"], int(case["amount"]))
        found = payouts.verify_payout(root, leaf, size=case["size"], path=sum_path(case))
        assert found == case["valid"], case["name"]
    assert content["valuesCount"] == len(content["values"])
    for case in content["values"]:
        leaf_ = payouts.ValueLeaf(case["index"], int(case["value"]), int(case["score"]))
        opened = merkle_sum.open_path(
            merkle_sum.SumLeaf(payouts.encode_values([leaf_]), leaf_.score),
            index=leaf_.index,
            size=case["size"],
            path=sum_path(case),
        )
        assert opened is not None
        assert (opened.root.hash, opened.root.sum) == (unhex(case["root"]), int(case["scores"]))
        assert opened.before == int(case["before"])


def test_nodes() -> None:
    for case in load("nodes.json")["cases"]:
        listed = [nodes.Node.decode(unhex(data)) for data in case["encoded"]]
        assert [node.digest() for node in listed] == [unhex(d) for d in case["digests"]]
        levels = nodes.regroup(listed, case["slots"])
        assert nodes.nodes_root(levels) == unhex(case["root"])
        assert (listed[-1].weight, listed[-1].number) == (int(case["weight"]), case["number"])


def test_aggregates() -> None:
    rule = FedAvg()
    for case in load("aggregate.json")["cases"]:
        updates = [np.frombuffer(unhex(leaf), dtype="<i4") for leaf in case["inputs"]]
        sums = rule.partial_sums(updates, case["weights"])
        assert [sums[:128].tobytes(), sums[128:].tobytes()] == [unhex(s) for s in case["sums"]]
        previous = np.frombuffer(unhex(case["previous"]), dtype="<i4")
        model = rule.step(previous, sums, sum(case["weights"]))
        assert model.tobytes() == unhex(case["model"]), case["name"]


def test_committees() -> None:
    for case in load("committee.json")["cases"]:
        seed, known, size = unhex(case["seed"]), case["known"], case["size"]
        for place, participant in enumerate(case["participants"]):
            assert committee.member(seed, place, known=known, size=size) == participant
            assert committee.place_of(seed, participant, known=known, size=size) == place


def test_trims() -> None:
    content = load("aggregate.json")
    assert content["trimmedCount"] == len(content["trimmed"]) > 0
    for case in content["trimmed"]:
        updates = [np.frombuffer(unhex(leaf), dtype="<i4") for leaf in case["inputs"]]
        previous = np.frombuffer(unhex(case["previous"]), dtype="<i4")
        rule = rule_numbered(case["rule"], case["parameter"])
        model = rule.aggregate(previous, updates, [1] * len(updates))
        assert model.tobytes() == unhex(case["model"])
