"""Writes proofs.json, which pytest and forge both check: `python -m tests.vectors.make_proofs`.

One proof or more of every kind against a small lie, the question that it leaves, and ways to break
it; one demand or more of every kind, with its answer. Deterministic, as `make.py`.
"""

import json
from collections.abc import Iterator
from dataclasses import astuple, replace
from itertools import count
from pathlib import Path

from eth_abi.abi import encode

from ledger.headers import Evaluation, PolicyHeader, Rule, Valuation
from ledger.nodes import FAN_OUT, Reason
from ledger.proofs import Case, Kind, NoProof, Proof, Wanted, answer, check, demand, find
from tests.ledger.proofs.lies import LIES
from tests.ledger.proofs.onchain import CASE, QUESTION, TARGET, TERMS, terms
from tests.ledger.proofs.world import Choices, World

FILE = Path(__file__).resolve().parent / "proofs.json"
HEADER_END = 577
SMALL = Choices(slots=4, leaves=1)
"""Worlds in which some lie is found out by a proof of each kind."""
STAGES: list[tuple[Kind, str, Choices]] = [
    (Kind.NODE_TOTALS, "nodes", SMALL),
    (Kind.NODE_SUM, "sums", Choices(slots=3, leaves=3)),
    (Kind.NODE_CHILD, "nodes", Choices(slots=17, leaves=1)),
    (Kind.TOP, "header", SMALL),
    (Kind.STEP, "model", Choices(slots=3, leaves=5)),
    (Kind.STEP, "model", Choices(slots=3, leaves=1, height=1, visibility=1)),
    (Kind.STEP, "model", Choices(slots=3, leaves=3, height=2, visibility=1)),
    (Kind.STEP, "model", Choices(slots=4, leaves=3, rule=Rule.TRIMMED_MEAN, trouble=False)),
    (Kind.STEP, "model", Choices(slots=3, leaves=1, rule=Rule.MEDIAN, trouble=False)),
    (Kind.ENTRY_HEADER, "entries", SMALL),
    (Kind.ENTRY_SLOT, "entries", SMALL),
    (Kind.ENTRY_SLOT, "entries", Choices(slots=4, leaves=1, batched=4)),
    (Kind.SUPERSEDED, "entries", Choices(slots=5, leaves=1, batched=3)),
    (Kind.WEIGHT, "entries", SMALL),
    (Kind.TWICE, "entries", Choices(slots=5, leaves=1, batched=3)),
    (Kind.BOUND, "entries", SMALL),
    (Kind.VALUE, "values", SMALL),
    (Kind.VALUE, "values", Choices(slots=4, leaves=1, valuation=Valuation.EXACT)),
    (Kind.VALUE, "values", Choices(slots=2, leaves=1, evaluation=Evaluation.SHARDS, height=3)),
    (Kind.GAIN, "header", SMALL),
    (Kind.SCORE, "values", SMALL),
    (Kind.PAYOUT, "payouts", Choices(slots=2, leaves=1, period=1, height=3)),
]
Json = dict[str, object]


def content() -> Json:
    """Make the file's content."""
    proofs = [_case(kind, lie, choices) for kind, lie, choices in STAGES]
    demands = list(_demands(World(Choices(slots=20, leaves=3, batched=4))))
    world = World(Choices(slots=20, leaves=1))
    return {
        "count": len(proofs),
        "cases": proofs,
        "demandCount": len(demands),
        "demands": demands,
        "charge": _charge(world),
    }


def render() -> str:
    """Write the content as text."""
    return json.dumps(content(), indent=1) + "\n"


def _case(kind: Kind, lie: str, choices: Choices) -> Json:
    policy, case, proof = _found(kind, lie, choices)
    question = check(policy, case, proof.data)
    bad = [
        {"name": name, "size": size, "at": at, "xor": xor}
        for name, size, at, xor in _broken(proof.data)
        if _fails(policy, case, _apply(proof.data, size, at, xor))
    ]
    return {
        "kind": kind.name,
        "terms": _text(encode([TERMS], [terms(policy)])),
        "case": _text(encode([CASE], [astuple(case)])),
        "proof": _text(proof.data),
        "question": _text(encode([QUESTION], [astuple(question)])),
        "badCount": len(bad),
        "bad": bad,
    }


def _found(kind: Kind, lie: str, choices: Choices) -> tuple[PolicyHeader, Case, Proof]:
    """Find the first world, lie and place of which a proof of a kind is found."""
    for seed in count():
        world = World(replace(choices, seed=seed))
        for made in LIES[lie](world):
            disputed = world.dispute(made)
            proof = find(disputed)
            if isinstance(proof, Proof) and proof.kind == kind:
                return world.policy, disputed.case, proof
    raise AssertionError


def _broken(proof: bytes) -> Iterator[tuple[str, int, int, int]]:
    """Give names of broken proofs, with their size, and a byte that is changed."""
    size = len(proof)
    yield "cut", size - 1, 0, 0
    yield "half", size // 2, 0, 0
    yield "the header alone", HEADER_END, 0, 0
    yield "nothing", 0, 0, 0
    yield "one byte more", size + 1, 0, 0
    yield "a word more", size + 32, 0, 0
    yield "another kind", size, 0, 1
    yield "no kind", size, 0, 64
    yield "another tag", size, 32, 1
    yield "another header", size, 200, 1
    yield "another index", size, HEADER_END + 3, 1
    yield "an index far away", size, HEADER_END, 128
    yield "another leaf", size, HEADER_END + 5, 1
    yield "another path", size, size - 1, 1


def _apply(proof: bytes, size: int, at: int, xor: int) -> bytes:
    changed = proof[:size].ljust(size, b"\0")
    return changed if not xor else changed[:at] + bytes([changed[at] ^ xor]) + changed[at + 1 :]


def _fails(policy: PolicyHeader, case: Case, proof: bytes) -> bool:
    try:
        check(policy, case, proof)
    except NoProof:
        return True
    return False


def _demands(world: World) -> Iterator[Json]:
    made = world.honest
    disputed = world.dispute(made)
    header = made.header.encode()
    index = (1).to_bytes(4, "big")
    node = header + index + made.trees.nodes.open(1)
    entry = {slot: header + slot.to_bytes(4, "big") + made.trees.nodes.open(slot // FAN_OUT)
             for slot in range(20)}  # fmt: skip
    read = next(slot for slot in range(4, 20) if world.entries[slot].weight)
    places = [
        (Wanted.INPUT, 0, 2, entry[read]),
        (Wanted.INPUT, 2, 0, entry[read]),
        (Wanted.SUM, 0, 5, node),
        (Wanted.SUM, 1, 2, node),
        (Wanted.MODEL, 1, 1, header),
        (Wanted.NODE, 0, 2, header),
        (Wanted.BATCH, 0, 1, entry[1]),
        (Wanted.UTILITIES, 0, 0, header),
        (Wanted.VALUES, 0, 3, header),
        (Wanted.VALUES, 3, 1, header),
        (Wanted.PAYOUTS, 0, 16, header),
        (Wanted.PAYOUTS, 5, 0, header),
        (Wanted.HEADER, 0, 0, entry[read]),
    ]
    for kind, level, position, way in places:
        wanted = demand(world.policy, disputed.case, kind, place=(level, position), way=way)
        data = answer(wanted.target, world.sources(made))
        assert data is not None
        yield {
            "kind": kind.name,
            "terms": _text(encode([TERMS], [terms(world.policy)])),
            "case": _text(encode([CASE], [astuple(disputed.case)])),
            "evidence": _text(wanted.evidence),
            "target": _text(encode([TARGET], [astuple(wanted.target)])),
            "answer": _text(data),
        }


def _charge(world: World) -> Json:
    """Lead to every slot of a result: the unavailable ones may be charged, the others not."""
    made = world.honest
    header = made.header.encode()
    slots = [
        {
            "evidence": _text(
                header + slot.to_bytes(4, "big") + made.trees.nodes.open(slot // FAN_OUT)
            ),
            "unavailable": entry.reason == Reason.UNAVAILABLE,
            "participant": entry.participant,
        }
        for slot, entry in enumerate(world.entries)
    ]
    assert {slot["unavailable"] for slot in slots} == {True, False}
    case = _text(encode([CASE], [astuple(world.dispute(made).case)]))
    return {"case": case, "count": len(slots), "slots": slots}


def _text(data: bytes) -> str:
    return "0x" + data.hex()


if __name__ == "__main__":
    FILE.write_text(render())
