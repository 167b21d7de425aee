"""The proposer: gathers a round's updates, computes what the round comes to, and puts it to the
vote.
"""

import logging

from fednode.federation import Federation
from fednode.roles.role import Progress, advance_if_due, attempt, finished
from ledger.artefacts import result_artefact
from ledger.chain.accounts import Account
from ledger.round import Outcome
from ledger.state import Phase, Round
from ledger.types import Digest, Wei

log = logging.getLogger("fednode")


Turn = tuple[int, Digest, tuple[Digest, ...]]
"""What a result was computed for: the attempt, the parent, the commits. A reorganisation of the
chain can change the last two.
"""


class Proposer:
    """Proposes when it is its account's turn, or anybody's after a missed one. It keeps nothing
    between steps that it could not compute again.
    """

    def __init__(self, federation: Federation, account: Account) -> None:
        self._federation = federation
        self._account = account
        self._ready: tuple[Turn, Outcome, Digest] | None = None

    def step(self) -> Progress:
        """Propose if it is time to; else move the federation on where a deadline has passed."""
        state = self._federation.refresh()
        if finished(self._federation):
            return Progress.DONE
        if state.phase is Phase.PROPOSE and self._propose(state.round):
            return Progress.ACTED
        moved = advance_if_due(self._federation, self._account)
        return Progress.ACTED if moved else Progress.WAITING

    def _propose(self, round_: Round) -> bool:
        turn = self._federation.state.in_turn(round_)
        if turn is not None and turn.signer != self._account.address:
            return False
        if self._federation.chain.now() > round_.propose_deadline:
            return False
        ready = self._prepared(round_)
        if ready is None:
            return False
        outcome, index = ready
        return attempt(
            f"proposed result {outcome.header.digest().hex()[:16]} of round {round_.index}",
            lambda: self._federation.contract.propose_result(
                self._account,
                outcome.header,
                index,
                bond=Wei(self._federation.replica.policy.proposer_bond),
            ),
        )

    def _prepared(self, round_: Round) -> tuple[Outcome, Digest] | None:
        """Compute and publish the round's result once everything is in, or the reveal deadline has
        passed.
        """
        turn = (round_.attempt, round_.parent, tuple(commit.digest for commit in round_.commits))
        if self._ready is not None and self._ready[0] == turn:
            return self._ready[1:]
        assert round_.closed is not None
        published = [self._federation.published(commit) for commit in round_.commits]
        missing = sum(not item.final for item in published)
        if missing and self._federation.chain.now() < round_.closed.reveal_deadline:
            return None
        if missing:
            log.warning("round %d: %d updates cannot be had", round_.index, missing)
        slots = self._federation.replica.slots(round_, published)
        outcome = self._federation.compose(round_, slots)
        artefact, index = result_artefact(outcome)
        self._federation.store.put(artefact)
        self._ready = (turn, outcome, index)
        return outcome, index
