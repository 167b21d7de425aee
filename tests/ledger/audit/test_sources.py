"""What an audit's evidence is made of, and what a node that lags or lacks something comes to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ledger import history as ev
from ledger.audit import sources
from ledger.audit.evidence import Evidence
from ledger.audit.sources import IncompleteLogs, bundle_evidence, evidence_from_bundle
from ledger.audit.verdict import TrustedBlock
from ledger.bundle import Subject
from ledger.chain.client import Chain
from ledger.chain.errors import ReceiptMissing
from ledger.chain.federations import Federations
from ledger.contracts import DETERMINISTIC_DEPLOYER, deployment
from ledger.replica import PAUSES, UnknownFederation
from ledger.stores import MemoryStore, RecordingStore
from ledger.types import ZERO_DIGEST, Address, Digest, FederationId
from tests.ledger.chain.samples import digest

FEDERATION = FederationId(bytes([3] * 32))
OURS = deployment(DETERMINISTIC_DEPLOYER).address
ELSEWHERE, DEPLOYER = Address("0x" + "11" * 20), Address("0x" + "22" * 20)
STORE = MemoryStore()
BEHIND = ev.LogsBehind("node", answered=1, head=2)
GONE = ev.HeadBehind("node", head=6, number=7, expected=bytes([7] * 32))


def event(transaction: int, block: int) -> ev.Event:
    sender = Address("0x" + f"{transaction:02x}" * 20)
    meta = ev.EventMeta(
        block, bytes([block] * 32), block, bytes([transaction] * 32), 0, sender, b"", OURS
    )
    drawn: Any = ev.FederationEnded(
        meta=meta, federation=FEDERATION, h=digest(transaction), idle=False
    )
    return cast(ev.Event, drawn)


EVENTS = [event(1, 5), event(2, 6), event(2, 6), event(3, 7)]


@dataclass
class Node:
    """A chain's node that has blocks and receipts, and fails so many times before."""

    faults: list[Exception] = field(default_factory=list)
    events: list[ev.Event] = field(default_factory=lambda: EVENTS)
    lacks: frozenset[bytes] = frozenset()
    rested: list[float] = field(default_factory=list)
    asked: list[bytes] = field(default_factory=list)
    chain_id: int = 77
    endpoint: str = "node"

    def rest(self, seconds: float) -> None:
        self.rested.append(seconds)

    def block(self, hash_: bytes) -> object:
        known = SimpleNamespace(number=hash_[0], hash=hash_, timestamp=1000 + hash_[0])
        return None if hash_ in self.lacks else known

    def newest(self) -> object:
        return SimpleNamespace(number=6)

    def receipt(self, transaction: bytes) -> object:
        self.asked.append(transaction)
        found = SimpleNamespace(gas_used=10 * transaction[0])
        return None if transaction in self.lacks else found


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Evidence]:
    """Give a function that reads evidence from a node, at an address of the contract."""

    class Reader:
        def __init__(
            self, node: Node, address: Address, federation: FederationId, *, begins: int
        ) -> None:
            assert (federation, begins) == (FEDERATION, 4)
            self.node, self.h = node, Digest(bytes([9] * 32))

        def poll(self) -> list[ev.Event]:
            if self.node.faults:
                raise self.node.faults.pop(0)
            return self.node.events

    def evidence(
        node: Node, address: Address = OURS, deployers: Sequence[Address] = ()
    ) -> Evidence:
        contract: Any = SimpleNamespace(chain=node, address=address, first_block=4)
        return sources.evidence_from_chain(
            cast(Federations, contract), FEDERATION, STORE, deployers=deployers
        )

    monkeypatch.setattr(sources, "HistoryReader", Reader)
    return evidence


def test_evidence_is_what_the_node_has(read: Callable[..., Evidence]) -> None:
    node = Node()
    found = read(node)
    origin = (found.origin.chain_id, found.origin.ledger, found.origin.federation)
    assert origin == (77, OURS, FEDERATION)
    assert found.block == TrustedBlock(7, Digest(bytes([7] * 32)), 1007)
    assert (found.events, found.h, found.store) == (EVENTS, bytes([9] * 32), STORE)
    assert found.gas == {bytes([n] * 32): 10 * n for n in (1, 2, 3)}
    assert sorted(node.asked) == sorted(found.gas), "a transaction is asked for once"
    assert (found.bundled, node.rested) == (False, [])


def test_a_contract_is_ours_at_the_address_that_its_code_determines(
    read: Callable[..., Evidence],
) -> None:
    ours = read(Node()).deployment
    assert (ours.ours, ours.found, ours.deployers) == (True, OURS, (DETERMINISTIC_DEPLOYER,))
    assert ours.expected.startswith(f"{OURS}, where CREATE2 by {DETERMINISTIC_DEPLOYER} puts")
    other = read(Node(), ELSEWHERE).deployment
    assert (other.ours, other.found, other.expected) == (False, ELSEWHERE, ours.expected)
    named = deployment(DEPLOYER).address
    assert not read(Node(), named).deployment.ours
    given = read(Node(), named, deployers=[DEPLOYER]).deployment
    assert (given.ours, given.deployers) == (True, (DEPLOYER,))


@pytest.mark.parametrize("faults", [1, len(PAUSES)])
def test_a_node_that_lags_is_asked_again(read: Callable[..., Evidence], faults: int) -> None:
    lag: list[Exception] = [BEHIND, GONE, *[BEHIND] * faults]
    node = Node(faults=lag[:faults])
    assert read(node).events == EVENTS
    assert node.rested == list(PAUSES[:faults])


@pytest.mark.parametrize("fault", [BEHIND, GONE, ev.BrokenHistory(EVENTS[0], digest(2))])
def test_a_node_that_keeps_lagging_is_named(
    read: Callable[..., Evidence], fault: Exception
) -> None:
    node = Node(faults=[fault] * (len(PAUSES) + 1))
    with pytest.raises(IncompleteLogs, match="this node's logs are incomplete") as refused:
        read(node)
    assert refused.value.__cause__ is fault
    assert str(fault) in str(refused.value)
    assert node.rested == list(PAUSES)


def test_a_block_that_a_node_does_not_show_is_named(read: Callable[..., Evidence]) -> None:
    with pytest.raises(IncompleteLogs) as refused:
        read(Node(lacks=frozenset([bytes([7] * 32)])))
    cause = refused.value.__cause__
    assert isinstance(cause, ev.HeadBehind)
    assert (cause.endpoint, cause.head, cause.number) == ("node", 6, 6)
    assert cause.expected == bytes([7] * 32)


def test_a_federation_without_events_is_unknown(read: Callable[..., Evidence]) -> None:
    node = Node(events=[])
    with pytest.raises(UnknownFederation):
        read(node)
    assert node.rested == []


def test_a_receipt_that_is_missing_is_named_with_its_block(read: Callable[..., Evidence]) -> None:
    with pytest.raises(ReceiptMissing) as refused:
        read(Node(lacks=frozenset([bytes([2] * 32)])))
    assert (refused.value.transaction, refused.value.block) == (bytes([2] * 32), 6)
    assert refused.value.endpoint == "node"


# -- bundles


@pytest.mark.parametrize(
    ("deployer", "ledger", "ours", "shown"),
    [
        (DETERMINISTIC_DEPLOYER, OURS, True, DETERMINISTIC_DEPLOYER),
        (DEPLOYER, deployment(DEPLOYER).address, True, DEPLOYER),
        # The claim is wrong, the contract is not.
        (DEPLOYER, OURS, True, DETERMINISTIC_DEPLOYER),
        (DEPLOYER, ELSEWHERE, False, DEPLOYER),
    ],
)
def test_a_bundles_claim_about_its_contract_is_a_hint(
    monkeypatch: pytest.MonkeyPatch, deployer: Address, ledger: Address, ours: bool, shown: Address
) -> None:
    subject = Subject(77, ledger, FEDERATION, deployer, ZERO_DIGEST)
    block = SimpleNamespace(number=7, hash=bytes([7] * 32), timestamp=9, h=digest(4))
    opened = SimpleNamespace(subject=subject, block=block, events=EVENTS, store=STORE, gas={b"": 1})
    asked: list[object] = []

    def open_bundle(*given: object) -> object:
        asked.extend(given)
        return opened

    monkeypatch.setattr(sources, "open_bundle", open_bundle)
    found = evidence_from_bundle(Path("x.car"), b"trusted")
    assert asked == [Path("x.car"), b"trusted"]
    origin = (found.origin.chain_id, found.origin.ledger, found.origin.federation)
    assert origin == (77, ledger, FEDERATION)
    assert found.block == TrustedBlock(7, Digest(bytes([7] * 32)), 9)
    assert (found.events, found.h, found.store, found.gas) == (EVENTS, digest(4), STORE, {b"": 1})
    assert (found.deployment.ours, found.deployment.deployers) == (ours, (shown,))
    assert found.bundled


def test_a_bundle_holds_what_the_audit_read(
    monkeypatch: pytest.MonkeyPatch, read: Callable[..., Evidence]
) -> None:
    evidence = read(Node())
    with pytest.raises(TypeError, match="did not record"):
        bundle_evidence(Path("x.car"), evidence, cast(Chain, None))
    written: dict[str, Any] = {}
    trusted = SimpleNamespace(number=7, hash=bytes([7] * 32), timestamp=9)
    place: list[object] = []

    def write(*where: object, **given: object) -> object:
        place.extend(where)
        written.update(given)
        return trusted

    monkeypatch.setattr(sources, "write_bundle", write)
    recorded = replace(evidence, store=RecordingStore(STORE))
    found = bundle_evidence(Path("x.car"), recorded, cast(Chain, "chain"))
    assert found == TrustedBlock(7, Digest(bytes([7] * 32)), 9)
    assert place == [Path("x.car"), "chain"]
    assert written.pop("begins")() == 5
    assert written == {
        "ledger": OURS,
        "federation": FEDERATION,
        "blocks": {},
        "deployers": (DETERMINISTIC_DEPLOYER,),
    }
