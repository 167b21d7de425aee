"""The books themselves, at every step of a federation in which a majority lies and is slashed."""

from ledger.history import HistoryReader
from ledger.state import FederationState
from tests.chaos.books import BURNED, owed
from tests.federations import play
from tests.fednode.roles.conftest import Found, start
from tests.fednode.roles.test_disputes import another_model, conspiracy, made_good

__all__ = ["start"]


def test_what_is_owed_is_held_through_lies_and_disputes(start: Found) -> None:
    cast, roles = conspiracy(start, another_model)
    chain, contract = cast.stage.chain, cast.contract.address
    reader = HistoryReader(chain, contract, cast.federation)
    events = reader.poll()
    accounts = [account.address for account in cast.stage.accounts]
    held: set[int] = set()

    def watch(state: FederationState) -> None:
        events.extend(reader.poll())
        held.add(chain.balance(contract))
        assert owed(state, events, accounts) == chain.balance(contract), type(events[-1]).__name__

    play(cast, lambda: roles, until=lambda state: made_good(state, 0), watch=watch)
    assert len(held) > 4
    assert chain.balance(BURNED) > 0
