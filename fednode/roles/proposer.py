"""The proposer: gathers a round's updates, computes what the round comes to, and puts it to the
vote.
"""

import logging
from functools import partial
from typing import Protocol

from fednode.federation import Federation
from fednode.roles.duties import Duties
from fednode.roles.news import News
from fednode.roles.role import Progress, attempt, end, finished, idles, volunteer
from fednode.roles.turns import turn_of
from fednode.roles.watcher import Watcher
from ledger.artefacts import ResultReader
from ledger.chain.accounts import Account
from ledger.headers import ResultHeader
from ledger.proceedings import Round
from ledger.round import Outcome, Records, awaited
from ledger.sealing import NotForUs
from ledger.state import Phase
from ledger.stores import Artefact, ContentStore
from ledger.stores.read_back import read_back
from ledger.types import Digest, Wei

log = logging.getLogger("fednode")


Turn = tuple[int, Digest, tuple[Digest, ...]]
"""What a result was computed for: the attempt, the parent, and the block that opened the round,
batch and commits, which a reorganisation of the chain can change.
"""


class Backer(Protocol):
    """Proposes for whose turn it is, with a bond of its own."""

    def propose(self, round_: Round, header: ResultHeader, index: Digest) -> bool:
        """Propose a result; say whether it was done."""


class Proposer:
    """Proposes when it is its account's turn, or anybody's after a missed one, and watches: its
    process is awake while the participant's trains. It keeps nothing between steps that it could
    not compute again.
    """

    def __init__(
        self, federation: Federation, account: Account, backer: Backer | None = None
    ) -> None:
        self._federation = federation
        self._account = account
        self._backer = backer
        self._watcher = Watcher(federation, account)
        self._duties = Duties()
        self._news = News()
        self._ready: tuple[Turn, Outcome, Digest] | None = None
        self._made: tuple[Turn, Outcome, Digest, Artefact] | None = None
        self._proposed: tuple[Turn, Digest] | None = None
        self._barred = -1

    def step(self) -> Progress:
        """Propose if it is time to; else see to disputes; else move the federation on where a
        deadline has passed.
        """
        state = self._federation.refresh()
        self._news.tell(self._federation, "proposer")
        if finished(self._federation):
            return end(self._federation)
        self._duties.begin(self._federation.chain.now())
        with self._federation.waiting():
            acted = self._duties.do("proposing", self._propose_if_due)
        self._trust_own()
        own = turn_of(state, self._account.address)
        acted = acted or self._duties.first(
            ("disputing", self._watcher.see_to_disputes),
            ("idling", partial(idles, self._federation, self._account, own)),
        )
        if not acted:
            self._news.wait(self._federation, self._account.address, proposes=True)
        return self._duties.end(acted)

    def _propose_if_due(self) -> bool:
        state = self._federation.state
        return state.phase is Phase.PROPOSE and self._propose(state.round)

    def _propose(self, round_: Round) -> bool:
        turn = self._federation.state.in_turn(round_)
        if turn is not None and turn.signer_in(round_.index) != self._account.address:
            return False
        if self._federation.chain.now() >= round_.propose_deadline:
            return False
        try:
            ready = self._prepared(round_)
        except NotForUs as error:
            if self._barred != round_.index:
                log.error("round %d: cannot propose: %s", round_.index, error)
                self._barred = round_.index
            return False
        if ready is None:
            return False
        outcome, index = ready
        self._proposed = _basis(round_), outcome.header.digest()
        send = attempt
        if self._backer is not None:
            if turn is not None and self._backer.propose(round_, outcome.header, index):
                return True
            # With a backer it need not have the means itself.
            send = volunteer
        return send(
            f"proposed result {outcome.header.digest().hex()[:16]} of round {round_.index}",
            lambda: self._federation.contract.propose_result(
                self._account,
                outcome.header,
                index,
                bond=Wei(self._federation.replica.policy.proposer_bond),
            ),
        )

    def _trust_own(self) -> None:
        """Do not compute for a dispute what this process has proposed."""
        state = self._federation.state
        for proposal in state.live():
            if self._proposed == (_basis(state.rounds[proposal.round]), proposal.result):
                self._watcher.trust(proposal)

    def _prepared(self, round_: Round) -> tuple[Outcome, Digest] | None:
        """Compute and publish the round's result once everything is in, or the reveal deadline has
        passed; where a slice may be opened until then, nothing is proposed earlier.
        """
        turn = _basis(round_)
        if self._ready is not None and self._ready[0] == turn:
            return self._ready[1:]
        if self._made is None or self._made[0] != turn:
            self._made = self._computed(round_, turn)
        if self._made is None:
            return None
        _, outcome, index, artefact = self._made
        # The store may go on with it beside the next steps.
        self._federation.store.put(artefact)
        self._federation.hold(artefact)
        self._ready, self._made = (turn, outcome, index), None
        return outcome, index

    def _computed(self, round_: Round, turn: Turn) -> tuple[Turn, Outcome, Digest, Artefact] | None:
        """Compute the round's result, with the blocks that are to be published."""
        assert round_.closed is not None
        slots = self._federation.slots(round_)
        missing = len(awaited(slots, round_.batched))
        unopened = self._federation.opened(round_) is None
        in_time = self._federation.chain.now() < round_.closed.reveal_deadline
        by_slices = self._federation.rulebook.opener is not None
        if (missing or by_slices) and in_time:
            return None
        if missing:
            log.warning("round %d: %d slots cannot be had", round_.index, missing)
        if unopened:
            log.warning("round %d: its slice of evaluation rows cannot be had", round_.index)
        content = self._federation.replica.fresh(round_)
        outcome = self._federation.compose(round_, slots, content=content)
        artefact, index = self._federation.bundle(outcome)
        self._require_readable(round_, outcome, artefact, index)
        return turn, outcome, index, artefact

    def _require_readable(
        self, round_: Round, outcome: Outcome, artefact: Artefact, index: Digest
    ) -> None:
        """Read a result back as its voters will, before a bond is put on it."""
        replica, result = self._federation.replica, outcome.header.digest()
        access, leaves = replica.access(round_), replica.policy.leaves

        def read(store: ContentStore) -> Records:
            reader = ResultReader(store, result, index, access, participants=round_.known)
            reader.levels(round_.slots)
            reader.model(leaves)
            return reader.records()

        read_back(artefact, read, outcome.records, kind="result")


def _basis(round_: Round) -> Turn:
    digests = tuple(commit.digest for commit in round_.commits)
    return round_.attempt, round_.parent, (round_.opening, round_.batch_root, *digests)
