"""Disputes: finding where a result is wrong, writing the proof, answering demands.

`find` is the challenger's side, `answer` the defender's; `check` says what the contract will say.
"""

from ledger.proofs.answering import Sources, answer
from ledger.proofs.checking import check
from ledger.proofs.demanding import demand, opens, target
from ledger.proofs.disputed import Computed, Disputed, Trees
from ledger.proofs.finding import find, shows
from ledger.proofs.proving import Ancestor, Prover, charge
from ledger.proofs.records import (
    Ask,
    Case,
    Demand,
    Kind,
    NoProof,
    Proof,
    Question,
    Target,
    Wanted,
)
from ledger.proofs.trees import OpenBatch, OpenTree

__all__ = [
    "Ancestor",
    "Ask",
    "Case",
    "Computed",
    "Demand",
    "Disputed",
    "Kind",
    "NoProof",
    "OpenBatch",
    "OpenTree",
    "Proof",
    "Prover",
    "Question",
    "Sources",
    "Target",
    "Trees",
    "Wanted",
    "answer",
    "charge",
    "check",
    "demand",
    "find",
    "opens",
    "shows",
    "target",
]
