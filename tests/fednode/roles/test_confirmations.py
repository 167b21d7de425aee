"""Nodes that believe what lies some blocks deep, from the creation on."""

import pytest

from fednode.federation import Unconfirmed
from ledger.chain.client import Chain
from ledger.chain.federations import Federations
from ledger.proceedings import Outcome
from ledger.state import FederationState
from tests.federations import Cast, play
from tests.fednode.roles.conftest import Found

DEPTH = 4


def mine(cast: Cast, count: int = 1) -> None:
    """Make blocks of a stranger's transactions."""
    idler = cast.stage.accounts[-1]
    for _ in range(count):
        cast.stage.chain.send(idler, idler.address, value=1)


@pytest.fixture
def cast(start: Found, monkeypatch: pytest.MonkeyPatch) -> Cast:
    """A federation whose creation has been confirmed, so that sites can join it."""
    create = Federations.create

    def created(contract: Federations, *place: object, **terms: object) -> object:
        found = create(contract, *place, **terms)  # type: ignore[arg-type]
        idler = place[0]
        for _ in range(DEPTH):
            contract.chain.send(idler, idler.address, value=1)  # type: ignore[arg-type,attr-defined]
        return found

    monkeypatch.setattr(Federations, "create", created)
    return start(rounds=1, windows={"confirmations": DEPTH, "propose": 240})


def test_a_federation_goes_on_some_blocks_behind(cast: Cast) -> None:
    """A new process reads of it at once, and of what has been confirmed only."""
    mine(cast, DEPTH)
    roles = cast.roles()

    def watch(state: FederationState) -> None:
        mine(cast)

    state = play(cast, lambda: roles, watch=watch)
    assert [round_.outcome for round_ in state.rounds] == [Outcome.ACCEPTED] * 2


def test_a_new_federation_says_what_it_waits_for(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there, so nobody has to look for a mistake in an option."""
    hospital, chain = cast.hospitals[0], cast.stage.chain
    created = hospital.view().state.created
    assert created is not None
    for has in range(1, DEPTH):
        head = created.meta.block_number + has - 1
        with monkeypatch.context() as patch:
            patch.setattr(Chain, "newest", lambda _, head=head: chain.block(head))
            patch.setattr(Chain, "block_number", lambda _, head=head: head)
            with pytest.raises(Unconfirmed, match=f"has {has} of the {DEPTH} conf") as caught:
                hospital.view()
            assert caught.value.missing == DEPTH - has
            assert f"when {DEPTH - has} more blocks" in str(caught.value)
