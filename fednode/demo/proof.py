"""The end of the demo: an audit from nothing but the chain and the content store, the evidence as
one file, and the same audit again from that file alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fednode.auditing import run_audit
from fednode.demo.result import Figure
from fednode.demo.stage import Stage
from fednode.evaluation.metrics import PPM
from fednode.federation import Federation
from fednode.files import write_file
from ledger.audit.evidence import Evidence
from ledger.audit.report import html
from ledger.audit.sources import bundle_evidence, evidence_from_bundle, evidence_from_chain
from ledger.audit.verdict import Verdict
from ledger.chain.federations import Federations
from ledger.stores import RecordingStore


@dataclass(frozen=True, slots=True)
class Proof:
    """What the audit read, and what it came to."""

    evidence: Evidence
    verdict: Verdict


def prove(stage: Stage, federation: Federation) -> Proof:
    """Audit with fresh readers: no state of the nodes that have just run is used."""
    contract = Federations(stage.chain, federation.contract.address)
    store = RecordingStore(stage.store(0))
    evidence = evidence_from_chain(contract, federation.id, store)
    return Proof(evidence, run_audit(evidence))


def write_bundle(path: Path, proof: Proof, stage: Stage) -> str:
    """Write the evidence as one file; give the hash of the block to trust."""
    block = bundle_evidence(path, proof.evidence, stage.chain)
    return f"0x{block.hash.hex()}"


def holds_alone(path: Path, proof: Proof, *, trust_block: str) -> bool:
    """Audit the bundle alone, and tell whether it comes to the very same."""
    trusted = bytes.fromhex(trust_block.removeprefix("0x"))
    verdict = run_audit(evidence_from_bundle(path, trusted))
    return verdict.holds and verdict.participants == proof.verdict.participants


def write_report(path: Path, proof: Proof, contributions: Sequence[Figure]) -> None:
    """Write the report for a board, with the intervals of the contributions."""
    people = tuple(
        replace(person, interval=(figure.interval.low * PPM, figure.interval.high * PPM))
        for person, figure in zip(proof.verdict.participants, contributions, strict=True)
    )
    write_file(path, html(replace(proof.verdict, participants=people)).encode())
