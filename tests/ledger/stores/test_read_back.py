"""What a record's own reader refuses, or reads otherwise, is never given out."""

import pytest

from ledger.artefacts import raw
from ledger.cid import Codec
from ledger.erasure import MOST_ROUNDS, Erasure
from ledger.errors import MalformedRecord
from ledger.stores import Artefact, BlockNotFound
from ledger.stores.read_back import read_back
from ledger.types import FederationId, ParticipantId, RoundIndex

BLOCK = Artefact.of(Codec.RAW, b"block")
CID = BLOCK.roots[0]


def test_an_artefact_is_given_if_it_is_read_as_it_was_written() -> None:
    assert read_back(BLOCK, lambda store: store.get(CID), b"block", kind="block") is BLOCK
    with pytest.raises(MalformedRecord, match="something else"):
        read_back(BLOCK, lambda store: store.get(CID)[:-1], b"block", kind="block")
    with pytest.raises(BlockNotFound):
        read_back(BLOCK, lambda store: store.get(raw(b"other")[0]), b"other", kind="block")


@pytest.mark.parametrize(
    ("participant", "rounds", "rows"),
    [
        (0, (3, 1), 0),
        (0, (1, 1), 0),
        (0, (-1,), 0),
        (0, (1 << 32,), 0),
        (1 << 32, (1,), 0),
        (0, (1,), -1),
        (0, (1,), 1 << 32),
        (0, tuple(range(MOST_ROUNDS + 1)), 0),
    ],
)
def test_an_erasure_that_no_node_would_read(
    participant: int, rounds: tuple[int, ...], rows: int
) -> None:
    erasure = Erasure(
        FederationId(bytes(32)),
        ParticipantId(participant),
        tuple(map(RoundIndex, rounds)),
        rows,
    )
    with pytest.raises(MalformedRecord):
        erasure.artefact()


def test_an_erasure_of_all_rounds_is_read() -> None:
    rounds = tuple(map(RoundIndex, range((1 << 32) - MOST_ROUNDS, 1 << 32)))
    assert Erasure(FederationId(bytes(32)), ParticipantId(7), rounds, 9).artefact().roots
