"""Letting go of what was erased comes after all that is due, and stops no node."""

from threading import current_thread, main_thread

import pytest

from fednode.roles.role import Role, run
from fednode.roles.watcher import Guard
from ledger.cid import CID, Codec
from ledger.erasure import Erasure
from ledger.stores import StoreError
from ledger.types import Digest, ParticipantId, RoundIndex
from tests.federations import Cast, Peers, opened, play
from tests.fednode.roles.conftest import Found

OWNER, HOSTILE = 0, 1


def amend(cast: Cast, place: int, erasure: Digest) -> None:
    """Declare an erasure of no rows on the chain."""
    dataset = cast.state().participants[place].datasets[-1]
    cast.contract.amend_dataset(
        cast.hospitals[place].account,
        cast.federation,
        ParticipantId(place),
        root=dataset.root,
        rows=dataset.rows,
        erasure=erasure,
    )


def test_no_step_asks_for_what_was_declared(start: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    cast = start(rounds=2)
    roles = cast.roles()
    play(cast, lambda: roles, until=opened(1))
    digests = {Digest(bytes([number]) * 32) for number in range(1, 9)}
    for digest in digests:
        amend(cast, HOSTILE, digest)
    asked: list[bool] = []
    get = Peers.get

    def asking(peer: Peers, cid: CID) -> bytes:
        if cid.digest in digests:
            asked.append(current_thread() is main_thread())
        return get(peer, cid)

    monkeypatch.setattr(Peers, "get", asking)
    state = play(cast, lambda: roles)
    assert len(state.lineage) == state.policy.rounds + 1
    assert asked
    assert not any(asked)


@pytest.fixture
def over(start: Found) -> tuple[Cast, CID]:
    """Give a federation that is over, where a site has declared an update erased only then; and
    the index of the update.
    """
    cast = start(rounds=1)
    roles = cast.roles()
    play(cast, lambda: roles)
    update = cast.hospitals[OWNER].journal.update(0)
    assert update is not None
    record = Erasure(cast.federation, ParticipantId(OWNER), (RoundIndex(0),), 0).artefact()
    cast.hospitals[OWNER].store.put(record)
    amend(cast, OWNER, record.roots[0].digest)
    return cast, CID(Codec.DAG_CBOR, Digest(update.header.index))


def nodes(cast: Cast, place: int) -> dict[str, Role]:
    hospital = cast.hospitals[place]
    guard = Guard(hospital.view(), hospital.account, hospital.journal, stay=True)
    return {
        "participant": hospital.participant(),
        "proposer": hospital.proposer(),
        "challenge --stay": guard,
    }


@pytest.mark.parametrize("kind", ["participant", "proposer", "challenge --stay"])
def test_every_node_lets_go_before_it_ends(over: tuple[Cast, CID], kind: str) -> None:
    cast, index = over
    store = cast.hospitals[2].store
    assert store.has(index)
    run(nodes(cast, 2)[kind], poll=0.001)
    assert not store.has(index)
    assert cast.hospitals[1].store.has(index)


@pytest.mark.parametrize("kind", ["participant", "proposer", "challenge --stay"])
def test_a_store_that_keeps_what_was_erased_stops_no_node(
    over: tuple[Cast, CID], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast, _ = over

    def refuse(*_: object, **__: object) -> list[CID]:
        raise StoreError("the node did not delete a block")

    monkeypatch.setattr(Peers, "remove", refuse)
    run(nodes(cast, 2)[kind], poll=0.001, passing=())
