"""Where an audit's evidence comes from: a chain node and a content store, or a bundle."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ledger.audit.evidence import Deployment, Evidence
from ledger.audit.verdict import TrustedBlock
from ledger.bundle import Subject, open_bundle, write_bundle
from ledger.chain.client import Chain
from ledger.chain.federations import Federations, find_deployment
from ledger.contracts import DETERMINISTIC_DEPLOYER, deployment
from ledger.contracts import Deployment as Create2
from ledger.errors import LedgerError
from ledger.history import Event, HistoryReader
from ledger.replica import Origin, UnknownFederation
from ledger.stores import ContentStore, RecordingStore
from ledger.types import Address, Digest, FederationId


class NoHistory(LedgerError):
    """A chain's node that no longer has what an audit needs."""

    def __init__(self, endpoint: str, what: str) -> None:
        self.endpoint = endpoint
        self.what = what
        super().__init__(
            f"the chain's node at {endpoint} does not have {what}: it keeps no history; give "
            "another --rpc"
        )


class IncompleteLogs(LedgerError):
    """A node whose logs end before what the contract itself has recorded."""

    def __init__(self, endpoint: str, block: int) -> None:
        self.endpoint = endpoint
        self.block = block
        super().__init__(
            f"{endpoint}: this node's logs are incomplete: they do not lead to what the contract "
            f"had recorded by block {block}; ask another node"
        )


def evidence_from_chain(
    contract: Federations,
    federation: FederationId,
    store: ContentStore,
    *,
    deployers: Iterable[Address] = (),
) -> Evidence:
    """Read everything that an audit needs from a chain node; the newest event's block is trusted.

    Raise UnknownFederation where the contract has no event of the federation, and BrokenHistory or
    IncompleteLogs where the node's logs are not what the contract wrote: of a node's fault nothing
    follows about the federation.
    """
    chain = contract.chain
    reader = HistoryReader(chain, contract.address, federation)
    events = reader.poll()
    h = contract.accumulator(federation, block=reader.cursor - 1)
    if h != reader.h:
        raise IncompleteLogs(chain.endpoint, reader.cursor - 1)
    if not events:
        raise UnknownFederation(federation)
    accounts = {event.meta.sender for event in events}
    found = find_deployment(contract.address, deployers=deployers, accounts=accounts)
    return Evidence(
        origin=Origin(chain.chain_id, contract.address, federation),
        block=_block(chain, events),
        deployment=_deployment(contract.address, found),
        events=events,
        h=h,
        store=store,
        gas=_gas(chain, events),
    )


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
        blocks=evidence.store.blocks,
        deployers=evidence.deployment.deployers,
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


def _block(chain: Chain, events: Sequence[Event]) -> TrustedBlock:
    number = events[-1].meta.block_number
    block = chain.block(number)
    if block is None:
        raise NoHistory(chain.endpoint, f"block {number}")
    return TrustedBlock(number, Digest(block.hash), block.timestamp)


def _gas(chain: Chain, events: Sequence[Event]) -> dict[bytes, int]:
    receipts = (chain.receipt(t) for t in dict.fromkeys(e.meta.transaction for e in events))
    return {receipt.transaction: receipt.gas_used for receipt in receipts if receipt is not None}
