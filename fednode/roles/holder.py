"""The holder of the evaluation rows: opens one slice a round, when nobody can train on it any more.

A slice is shown once the commit phase is closed with the policy's confirmations, and not after the
reveal deadline. A round whose slice does not come in time adds nothing to anybody's value.
"""

import logging
from functools import partial

from fednode.errors import FedNodeError
from fednode.evaluation.slices import Slices
from fednode.federation import Federation
from fednode.roles.duties import Duties
from fednode.roles.role import Progress, attempt, end, finished, idles
from fednode.roles.turns import turn_of
from ledger.chain.accounts import Account
from ledger.proceedings import Round
from ledger.state import Phase

log = logging.getLogger("fednode")


class NotTheHolder(FedNodeError):
    """Rows or an account that are not those which the policy promised."""

    def __init__(self, what: str, expected: str, found: str) -> None:
        super().__init__(
            f"the policy's slices have the {what} {expected}, not {found}: give the --slices file "
            "and the --account that the federation was created with"
        )


class Holder:
    """Opens the slices of one federation. It keeps nothing between steps."""

    def __init__(self, federation: Federation, account: Account, slices: Slices) -> None:
        opener = federation.rulebook.opener
        if opener is None:
            raise FedNodeError("this federation measures on no slices: there is nothing to open")
        promised = opener.tree.commitment
        if slices.root != promised.root:
            raise NotTheHolder("root", promised.root.hex(), slices.root.hex())
        if account.address != promised.holder:
            raise NotTheHolder("holder", promised.holder, account.address)
        self._federation = federation
        self._account = account
        self._slices = slices
        self._duties = Duties()

    def step(self) -> Progress:
        """Open the round's slice if it is time to; else move the federation on where a deadline has
        passed.
        """
        state = self._federation.refresh()
        if finished(self._federation):
            return end(self._federation)
        own = turn_of(state, self._account.address)
        self._duties.begin(self._federation.chain.now())
        acted = self._duties.first(
            ("opening a slice", self._open_if_due),
            ("idling", partial(idles, self._federation, self._account, own)),
        )
        return self._duties.end(acted)

    def _open_if_due(self) -> bool:
        state = self._federation.state
        due = state.phase is Phase.PROPOSE and self._due(state.round)
        return due and self._open(state.round)

    def _due(self, round_: Round) -> bool:
        if self._federation.announced(round_) is not None:
            return False
        assert round_.closed is not None
        in_time = self._federation.chain.now() < round_.closed.reveal_deadline
        return in_time and not self._federation.state.statistics_round(round_.parent)

    def _open(self, round_: Round) -> bool:
        number = self._federation.state.slice_number(round_)
        if number >= len(self._slices.parts):
            log.warning("round %d: no slice is left; it adds nothing", round_.index)
            return False
        artefact = self._slices.opened(number)
        self._federation.store.put(artefact)
        digest = artefact.roots[0].digest
        return attempt(
            f"opened slice {number} for round {round_.index}",
            lambda: self._federation.contract.open_slice(
                self._account, self._federation.id, round_.index, digest
            ),
        )
