"""Where an audit's evidence comes from: a chain node and a content store, or a bundle."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger.audit.evidence import Deployment, Evidence
from ledger.audit.verdict import TrustedBlock
from ledger.bundle import Subject, open_bundle, write_bundle
from ledger.chain.client import Chain
from ledger.chain.errors import ReceiptMissing
from ledger.chain.federations import Federations, find_deployment
from ledger.contracts import DETERMINISTIC_DEPLOYER, deployment
from ledger.contracts import Deployment as Create2
from ledger.errors import LedgerError
from ledger.history import BrokenHistory, Event, HeadBehind, HistoryReader, LogsBehind, Reorganised
from ledger.replica import PAUSES, Origin, UnknownFederation
from ledger.stores import ContentStore, RecordingStore
from ledger.types import Address, Digest, FederationId


class IncompleteLogs(LedgerError):
    """A chain's node whose logs are not all that the contract has emitted: nothing can be said of a
    federation from a part of its history.
    """

    def __init__(self, reason: Exception) -> None:
        super().__init__(f"this node's logs are incomplete, ask another: {reason}")


def evidence_from_chain(
    contract: Federations,
    federation: FederationId,
    store: ContentStore,
    *,
    deployers: Iterable[Address] = (),
) -> Evidence:
    """Read everything that an audit needs from a chain node; the newest event's block is trusted.

    Raise UnknownFederation where the contract has no event of the federation, and IncompleteLogs
    where the node's logs are not all that the contract wrote: of a node's fault nothing follows
    about the federation.
    """
    chain = contract.chain
    history = _history(contract, federation)
    accounts = {event.meta.sender for event in history.events}
    found = find_deployment(contract.address, deployers=deployers, accounts=accounts)
    return Evidence(
        origin=Origin(chain.chain_id, contract.address, federation),
        block=history.block,
        deployment=_deployment(contract.address, found),
        events=history.events,
        h=history.h,
        store=store,
        gas=_gas(chain, history.events),
    )


@dataclass(frozen=True, slots=True)
class _History:
    """All events of a federation, the contract's accumulator, and the last event's block."""

    events: Sequence[Event]
    h: Digest
    block: TrustedBlock


def _history(contract: Federations, federation: FederationId) -> _History:
    """Read a federation's history. Ask again where the node, or one of several behind its address,
    is behind.
    """
    for pause in PAUSES:
        try:
            return _read(contract, federation)
        except (LogsBehind, Reorganised, BrokenHistory):
            contract.chain.rest(pause)
    try:
        return _read(contract, federation)
    except (LogsBehind, Reorganised, BrokenHistory) as error:
        raise IncompleteLogs(error) from error


def _read(contract: Federations, federation: FederationId) -> _History:
    chain = contract.chain
    reader = HistoryReader(chain, contract.address, federation, begins=contract.first_block)
    events = reader.poll()
    if not events:
        raise UnknownFederation(federation)
    return _History(events, reader.h, _block(chain, events[-1].meta.block_hash))


def evidence_from_bundle(path: Path, trust_block: bytes) -> Evidence:
    """Open a bundle; nothing but the hash of its block is trusted."""
    history = open_bundle(path, trust_block)
    subject, block = history.subject, history.block
    return Evidence(
        origin=Origin(subject.chain_id, subject.ledger, subject.federation),
        block=TrustedBlock(block.number, Digest(block.hash), block.timestamp),
        deployment=_deployment(subject.ledger, _claimed(subject, history.events)),
        events=history.events,
        h=block.h,
        store=history.store,
        gas=history.gas,
        bundled=True,
    )


def _claimed(subject: Subject, events: Sequence[Event]) -> Create2:
    """Find how the contract was deployed. What the bundle claims is a hint, and may be wrong."""
    if subject.ours:
        return subject.deployment
    accounts = {event.meta.sender for event in events}
    found = find_deployment(subject.ledger, deployers=[subject.deployer], accounts=accounts)
    return found or subject.deployment


def bundle_evidence(path: Path, evidence: Evidence, chain: Chain) -> TrustedBlock:
    """Write what an audit has read as one file; give the block that whoever opens it must trust.

    The evidence's store must be a RecordingStore that an audit has just run on.
    """
    if not isinstance(evidence.store, RecordingStore):
        raise TypeError("the evidence's store did not record what the audit read")
    trusted = write_bundle(
        path,
        chain,
        ledger=evidence.origin.ledger,
        federation=evidence.origin.federation,
        blocks=dict(evidence.store.blocks),  # a late answer may still come in
        deployers=evidence.deployment.deployers,
        begins=lambda: evidence.events[0].meta.block_number,
    )
    return TrustedBlock(trusted.number, Digest(trusted.hash), trusted.timestamp)


def _deployment(address: Address, found: Create2 | None) -> Deployment:
    plan = found or deployment(DETERMINISTIC_DEPLOYER)
    return Deployment(
        ours=plan.address == address,
        expected=f"{plan.address}, where CREATE2 by {plan.deployer} puts the published program",
        found=address,
        deployers=(plan.deployer,),
    )


def _block(chain: Chain, hash_: bytes) -> TrustedBlock:
    block = chain.block(hash_)
    if block is None:
        head = chain.newest().number
        raise HeadBehind(chain.endpoint, head=head, number=head, expected=hash_)
    return TrustedBlock(block.number, Digest(block.hash), block.timestamp)


def _gas(chain: Chain, events: Sequence[Event]) -> dict[bytes, int]:
    gas = {}
    for transaction, event in {event.meta.transaction: event for event in events}.items():
        receipt = chain.receipt(transaction)
        if receipt is None:
            raise ReceiptMissing(chain.endpoint, transaction, event.meta.block_number)
        gas[transaction] = receipt.gas_used
    return gas
