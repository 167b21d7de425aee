"""The participant: trains on its own rows, commits, publishes when the commit phase has closed,
recomputes and votes.
"""

import logging
from functools import partial

from fednode.errors import FedNodeError
from fednode.federation import Federation
from fednode.roles.carrier import Carrier, Direct
from fednode.roles.charger import Charger
from fednode.roles.committing import Committing
from fednode.roles.declarer import Declarer
from fednode.roles.duties import Duties
from fednode.roles.journal import Journal
from fednode.roles.news import News
from fednode.roles.role import Progress, advance_if_due, finished
from fednode.roles.trainer import Trainer
from fednode.roles.turns import turn_of
from fednode.roles.voting import HELD as HELD
from fednode.roles.voting import Voting
from fednode.roles.watcher import Watcher
from ledger.chain.accounts import Account
from ledger.members import Participant as Member
from ledger.proceedings import Round
from ledger.sealing import NotForUs
from ledger.state import FederationState, Phase
from ledger.types import Address

log = logging.getLogger("fednode")

KEEPING = 1.0
"""Seconds of a step that a participant waits at most for its store to take what it keeps."""


class NotAMember(FedNodeError):
    """An account that signs for no participant."""

    def __init__(self, account: Account) -> None:
        super().__init__(
            f"account {account.address} signs for no participant of this federation: "
            "run `fednode join` with it first"
        )


class Participant:
    """One participant's node. What it must remember lies in its journal, everything else on the
    chain.
    """

    def __init__(
        self,
        federation: Federation,
        account: Account,
        trainer: Trainer,
        journal: Journal,
        carrier: Carrier | None = None,
    ) -> None:
        self._federation = federation
        self._account = account
        self._journal = journal
        self._duties = Duties()
        self._news = News()
        self._joined = False
        carrier = carrier or Direct(federation.contract, federation.id, account)
        self._watcher = Watcher(federation, account, journal, beside=False)
        self._charger = Charger(federation, account)
        self._declarer = Declarer(federation, account, journal.folder.parent)
        self._voting = Voting(federation, journal, carrier, self._watcher)
        self._committing = Committing(federation, trainer, journal, carrier, self._dispute)

    @property
    def failures(self) -> dict[int, str]:
        """The rounds without an update of ours, and why."""
        return self._committing.failures

    @property
    def outages(self) -> dict[str, int]:
        """How often each duty could not be done."""
        return dict(self._duties.outages)

    def step(self) -> Progress:
        """Do one thing that is due: publish, commit or vote; else see to disputes; else charge an
        update that was withheld; else declare again what was erased; else move the federation on
        where a deadline has passed. What was voted for is kept in any case, and what strangers name
        is fetched if nothing else is due.
        """
        state = self._federation.refresh()
        member = state.member(self._account.address)
        if member is None:
            shown = self._federation.lag is None
            if shown and (not self._joined or _signed(state, self._account.address)):
                raise NotAMember(self._account)
            log.warning("the chain's node does not know any more that we joined; waiting for it")
            return Progress.WAITING
        self._joined = True
        self._news.tell(self._federation, f"participant {member.index}")
        self._journal.align({round_.index: round_.parent for round_ in state.rounds})
        duties = self._duties
        duties.begin(self._federation.chain.now())
        if finished(self._federation):
            return self._finish(member)
        with self._federation.waiting():
            acted = duties.first(
                ("publishing", partial(self._publish, member)),
                ("committing", partial(self._in_round, member, Phase.COMMIT)),
                ("collecting", partial(self._in_round, member, Phase.PROPOSE)),
                ("voting", partial(self._in_round, member, Phase.ATTEST)),
            )
        acted = acted or self._dispute()
        # A store may take long to keep what it is given: no challenge and no answer waits for it,
        # and what it has not taken yet it goes on with beside the next steps.
        with self._federation.waiting(most=KEEPING):
            duties.do("keeping", self._voting.keep)
        acted = acted or duties.first(
            ("charging", lambda: self._charger.step(member) is Progress.ACTED),
            ("declaring", lambda: self._declarer.step(member)),
            ("advancing", self._advance),
        )
        if not acted:
            duties.do("letting go", self._federation.honour)
            coming = duties.do("gathering", self._federation.gather)
            self._news.wait(self._federation, self._account.address, coming=coming)
        return duties.end(acted)

    def _finish(self, member: Member) -> Progress:
        """Charge what is left to charge, and end once nothing that was begun goes on."""
        duties = self._duties
        duties.do("keeping", self._voting.keep)
        charging = Progress.DONE

        def charge() -> bool:
            nonlocal charging
            charging = self._charger.step(member)
            return charging is Progress.ACTED

        acted = duties.first(
            ("declaring", lambda: self._declarer.step(member)), ("charging", charge)
        )
        going = duties.do("letting go", self._federation.honour)
        progress = duties.end(acted)
        stays = acted or going or charging is Progress.WAITING or not duties.undisturbed
        return progress if stays else Progress.DONE

    def _dispute(self) -> bool:
        return self._duties.do("disputing", self._watcher.see_to_disputes)

    def _advance(self) -> bool:
        own = turn_of(self._federation.state, self._account.address, beside=False)
        return advance_if_due(self._federation, self._account, own)

    def _publish(self, member: Member) -> bool:
        state = self._federation.state
        return bool(state.rounds) and self._committing.publish(member, state.round)

    def _in_round(self, member: Member, phase: Phase) -> bool:
        """Do what is due in a phase of the round; sit it out where it builds on what is sealed for
        others, as it is for a participant that joined after its parent was proposed.
        """
        state = self._federation.state
        if not state.rounds or state.phase is not phase:
            return False
        round_ = state.round
        ours = member.signer_in(round_.index) == self._account.address
        if not ours or not member.active(round_.index):
            return False
        try:
            return self._take_part(member, round_)
        except NotForUs as error:
            self._committing.fail(member, round_, error)
            return False

    def _take_part(self, member: Member, round_: Round) -> bool:
        phase = self._federation.state.phase
        if phase is Phase.COMMIT:
            return self._committing.commit(member, round_)
        if phase is Phase.PROPOSE:
            self._voting.collect(round_)
        elif phase is Phase.ATTEST and self._voting.may_vote(member, round_.proposal):
            return self._voting.vote(member, round_)
        return False


def _signed(state: FederationState, account: Address) -> bool:
    """Whether an account was ever a participant's signer."""
    return any(account == signer for p in state.participants for _, signer in p.signers)
