"""The proofs and demands that forge checks too: they are what the script writes, and say what the
twin finds.
"""

import json
from types import ModuleType
from typing import Any

import pytest
from eth_abi.abi import decode

from ledger.proofs import Kind, Wanted
from tests.ledger.proofs.onchain import TARGET
from tests.vectors import make_demands, make_verdicts
from tests.vectors.make_proofs import FILE, render

CONTENT: dict[str, Any] = json.loads(FILE.read_text())


def test_the_file_is_what_the_script_writes() -> None:
    assert FILE.read_text() == render(), "stale: run python -m tests.vectors.make_proofs"


@pytest.mark.slow
@pytest.mark.parametrize("made", [make_verdicts, make_demands])
def test_the_verdicts_are_what_the_script_writes(made: ModuleType) -> None:
    stale = f"stale: run python -m {made.__name__}"
    assert made.FILE.read_bytes() == made.render(), stale


def test_every_kind_is_there() -> None:
    assert {case["kind"] for case in CONTENT["cases"]} == {kind.name for kind in Kind}
    assert {case["kind"] for case in CONTENT["demands"]} == {kind.name for kind in Wanted}
    assert CONTENT["count"] == len(CONTENT["cases"])
    assert CONTENT["demandCount"] == len(CONTENT["demands"])


@pytest.mark.parametrize("case", CONTENT["cases"], ids=lambda case: case["kind"])
def test_ways_to_break_a_proof(case: dict[str, Any]) -> None:
    names = {bad["name"] for bad in case["bad"]}
    always = {"cut", "half", "nothing", "one byte more", "a word more", "no kind", "another tag"}
    assert always <= names
    assert case["badCount"] == len(case["bad"])


def test_demands_name_their_tree() -> None:
    for case in CONTENT["demands"]:
        kind, *_ = decode([TARGET], bytes.fromhex(case["target"][2:]))[0]
        assert kind == Wanted[case["kind"]]
