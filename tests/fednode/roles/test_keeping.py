"""What a node keeps of a round: the very blocks that it read to judge it, each read and hashed
once.
"""

from collections import Counter
from collections.abc import Iterator

import pytest

from ledger import payload
from ledger.cid import CID
from ledger.merkle import root_of_bytes
from ledger.state import Phase
from ledger.stores import MemoryStore
from ledger.types import Digest
from tests.federations import in_phase, play
from tests.fednode.roles.conftest import Found


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
    view.keep(round_)
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
    kept = MemoryStore()
    monkeypatch.setattr(view.store, "put", kept.put)
    view.keep(view.state.round)
    assert [cid for cid in update.artefact.blocks if kept.has(cid)] == [header]
