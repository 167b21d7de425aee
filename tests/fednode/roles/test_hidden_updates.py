"""A commit says nothing of the update behind it, however few updates there could be."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fednode.roles.journal import PreparedUpdate
from fednode.roles.role import Progress
from fednode.roles.trainer import SALT_SIZE, UpdateUnreadable
from ledger import cbor
from ledger.cid import CID, Codec
from ledger.state import Phase
from ledger.types import Digest
from tests.federations import Cast, in_phase, play
from tests.fednode.roles.conftest import Found


def prepared(cast: Cast, salt: Callable[[], bytes] | None = None) -> PreparedUpdate:
    """Prepare the first hospital's update of the open round again, as an observer would guess."""
    hospital = cast.hospitals[0]
    view = hospital.view()
    trainer = hospital.trainer(view)
    if salt is not None:
        trainer = replace(trainer, salt=salt)
    member = view.state.participants[0]
    return trainer.prepare(view, member, view.state.round, hospital.journal)


def training(update: PreparedUpdate) -> dict[str, cbor.Value]:
    digest = Digest(update.header.training)
    record = cbor.decode(update.artefact.blocks[CID(Codec.DAG_CBOR, digest)])
    assert isinstance(record, dict)
    return record


def test_a_right_guess_has_another_digest(start: Found) -> None:
    cast = start()
    first, second = prepared(cast), prepared(cast)
    assert first.header.payload_root == second.header.payload_root
    assert first.header.index == second.header.index
    assert first.digest != second.digest
    records = [training(update) for update in (first, second)]
    salts = [record.pop("salt") for record in records]
    assert records[0] == records[1]
    assert all(isinstance(salt, bytes) and len(salt) == SALT_SIZE for salt in salts)
    assert salts[0] != salts[1]


def test_the_salt_is_an_argument(start: Found) -> None:
    cast = start()
    same = [prepared(cast, lambda: bytes(SALT_SIZE)).digest for _ in range(2)]
    assert same[0] == same[1]
    assert prepared(cast, lambda: b"x" * SALT_SIZE).digest != same[0]


def test_a_salt_is_drawn_once_and_outlives_a_restart(start: Found) -> None:
    cast = start()
    roles = cast.roles()
    play(cast, lambda: roles, until=in_phase(Phase.COMMIT, 1))
    hospital = cast.hospitals[0]
    node = hospital.participant()
    node.step()
    kept = hospital.journal.update(1)
    assert kept is not None
    assert hospital.participant().step() is Progress.WAITING
    assert hospital.journal.update(1) == kept
    committed = [c.digest for c in cast.state().round.commits if c.participant == 0]
    assert committed == [kept.digest]


def test_an_update_that_cannot_be_read_back_is_not_committed_to(
    start: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that links to other blocks is one that every reader refuses."""
    cast = start()
    link = CID.of(Codec.RAW, b"another block")
    monkeypatch.setattr("fednode.roles.trainer.environment", lambda: {"link": link})
    with pytest.raises(UpdateUnreadable, match="read back"):
        prepared(cast)
    node = cast.hospitals[0].participant()
    node.step()
    assert not cast.state().round.commits
    assert "read back" in node.failures[0]
