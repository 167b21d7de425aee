"""What a node keeps of a round: the very blocks that it read to judge it, each read and hashed
once. Nothing is fetched for keeping.
"""

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from fednode import federation
from fednode.federation import Federation
from ledger import payload
from ledger.batch import Batch, Posted
from ledger.cid import CID, Codec
from ledger.merkle import root_of_bytes
from ledger.proceedings import Round
from ledger.state import Phase
from ledger.stores import Artefact, MemoryStore
from ledger.types import Digest
from tests.federations import in_phase, play
from tests.fednode.roles.conftest import Found


def keep(view: Federation, round_: Round) -> None:
    for part in view.parts(round_):
        view.store.put(part)


def test_an_update_is_read_and_hashed_once(start: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    cast = start()
    participants = [hospital.participant() for hospital in cast.hospitals]
    play(cast, lambda: participants, until=in_phase(Phase.PROPOSE))
    for participant in participants:
        participant.step()
    view = cast.hospitals[0].view()
    round_ = view.refresh().round
    read: Counter[CID] = Counter()
    hashed: Counter[bytes] = Counter()
    kept = MemoryStore()
    get = view.store.get

    def reading(cid: CID) -> bytes:
        read[cid] += 1
        return get(cid)

    def hashing(data: bytes, leaf_size: int, salts: Iterator[bytes]) -> Digest:
        hashed[data] += 1
        return root_of_bytes(data, leaf_size, salts)

    monkeypatch.setattr(view.store, "get", reading)
    monkeypatch.setattr(view.store, "put", kept.put)
    monkeypatch.setattr(payload, "root_of_bytes", hashing)
    published = [view.published(commit) for commit in round_.commits]
    assert view.compose(round_, view.replica.slots(round_, published)).header.number == 4
    keep(view, round_)
    for hospital, found in zip(cast.hospitals, published, strict=True):
        update = hospital.journal.update(0)
        assert update is not None
        assert found.payload is not None
        assert hashed[found.payload.data] == 1
        for cid, data in update.artefact.blocks.items():
            assert (read[cid], kept.get(cid)) == (1, data)


def test_of_what_cannot_be_had_the_header_is_kept(
    start: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = start()
    participants = [hospital.participant() for hospital in cast.hospitals]
    play(cast, lambda: participants, until=in_phase(Phase.PROPOSE))
    update = cast.hospitals[3].journal.update(0)
    assert update is not None
    header = update.artefact.roots[0]
    view = cast.hospitals[0].view()
    view.refresh()
    view.store.put(type(update.artefact)((header,), {header: update.artefact.blocks[header]}))
    view.slots(view.state.round)
    kept = MemoryStore()
    monkeypatch.setattr(view.store, "put", kept.put)
    keep(view, view.state.round)
    assert [cid for cid in update.artefact.blocks if kept.has(cid)] == [header]


@pytest.mark.parametrize(("at_once", "puts"), [(1, range(4, 99)), (1 << 20, range(1, 2))])
def test_a_round_is_kept_in_few_pieces(
    start: Found, monkeypatch: pytest.MonkeyPatch, at_once: int, puts: range
) -> None:
    """Of a batch that cannot be had nothing is kept: no store takes what has no roots. What another
    node has is not asked for.
    """
    cast = start()
    participants = [hospital.participant() for hospital in cast.hospitals]
    play(cast, lambda: participants, until=in_phase(Phase.PROPOSE))
    for participant in participants:
        participant.step()
    view = cast.hospitals[0].view()
    round_ = view.refresh().round
    lost = Batch(Posted(Digest(bytes(32)), 1, Digest(bytes(32))), (), (), final=False)
    pieces: list[Artefact] = []
    monkeypatch.setattr(view.store, "put", pieces.append)
    keep(view, round_)
    own = cast.hospitals[0].journal.update(0)
    assert own is not None
    assert {cid for piece in pieces for cid in piece.blocks} == set(own.artefact.blocks)
    pieces.clear()
    view.slots(round_)
    monkeypatch.setattr(federation, "KEPT_AT_ONCE", at_once)
    monkeypatch.setattr(federation, "batch_of", lambda _store, _round: lost)
    keep(view, round_)
    assert len(pieces) in puts
    assert all(piece.roots for piece in pieces)
    kept = pieces[0].merge(*pieces[1:])
    for hospital in cast.hospitals:
        update = hospital.journal.update(0)
        assert update is not None
        assert update.artefact.blocks.items() <= kept.blocks.items()
        assert set(update.artefact.roots) <= set(kept.roots)


def test_identities_are_kept_beside_the_steps(start: Found) -> None:
    cast = start()
    view = cast.hospitals[0].view()
    store, identities = cast.hospitals[0].store, [p.identity for p in view.state.participants]
    assert not all(store.has(CID(Codec.DAG_CBOR, digest)) for digest in identities)
    for _ in range(100):
        if not view.gather():
            break
        time.sleep(0.05)
    assert all(store.has(CID(Codec.DAG_CBOR, digest)) for digest in identities)
