"""A federation as a relay sees it, without a chain: accounts with seats, a ledger that obeys."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fednode.relay.desk import Desk, Limits
from fednode.relay.messages import SignedBallot, SignedCommit
from fednode.relay.situation import (
    Application,
    Collecting,
    Phase,
    SignedResult,
    SignedVote,
    Situation,
    Voting,
)
from ledger.batch import Posted, Signers
from ledger.chain.accounts import Account, from_key
from ledger.chain.errors import ContractRejected
from ledger.chain.types import Receipt
from ledger.errors import LedgerError
from ledger.signatures import Commit, Domain, Vote
from ledger.types import Address, Digest, FederationId, ParticipantId, RoundIndex, Wei

DOMAIN = Domain(31337, Address("0x" + "Ab" * 20))
FEDERATION = FederationId(bytes([1]) * 32)
RELAY = from_key(bytes([99]) * 32)
MEMBERS = [from_key(bytes([7 + n]) * 32) for n in range(5)]
STRANGER = from_key(bytes([98]) * 32)
RESULT = Digest(bytes([5]) * 32)
DEADLINE = 1_100
FREE = Wei(0)


def digest(number: int) -> Digest:
    return Digest(number.to_bytes(32, "big"))


def collecting(round_index: int = 0, members: Sequence[Account] = MEMBERS) -> Collecting:
    known = [member.address for member in members]
    who = Signers(DOMAIN, FEDERATION, RoundIndex(round_index), known)
    return Collecting(who, opened=1_000, deadline=DEADLINE)


def voting(round_index: int = 0, *, quorum: int = 3) -> Voting:
    return Voting(
        round=RoundIndex(round_index),
        attempt=0,
        result=RESULT,
        committee={member.address: ParticipantId(n) for n, member in enumerate(MEMBERS)},
        voted={},
        quorum=quorum,
        opened=1_200,
        deadline=1_300,
    )


def commit_of(
    participant: int,
    *,
    update: int = 1,
    round_index: int = 0,
    by: Account | None = None,
    federation: FederationId = FEDERATION,
    domain: Domain = DOMAIN,
) -> SignedCommit:
    commit = Commit(federation, round_index, participant, digest(update))
    signature = domain.sign(by or MEMBERS[participant], commit)
    return SignedCommit(
        federation=federation,
        round=round_index,
        participant=participant,
        digest=commit.digest,
        signature=signature.compact,
    )


def ballot_of(
    by: Account, *, support: bool = True, result: Digest = RESULT, attempt: int = 0, round_: int = 0
) -> SignedBallot:
    vote = Vote(FEDERATION, round_, attempt, result, support)
    return SignedBallot(
        federation=FEDERATION,
        round=round_,
        attempt=attempt,
        result=result,
        support=support,
        signature=DOMAIN.sign(by, vote).compact,
    )


def desk_at(
    folder: Path, phase: Phase | None = None, *, now: int = 1_000, limits: Limits | None = None
) -> Desk:
    desk = Desk(DOMAIN, FEDERATION, RELAY, folder, limits=limits)
    if phase is not None:
        desk.see(Situation(now, phase))
    return desk


MINED = Receipt(
    transaction=bytes(32),
    transaction_index=0,
    block_number=7,
    block_hash=bytes(32),
    sender=RELAY.address,
    status=1,
    gas_used=1,
    cumulative_gas_used=1,
    effective_gas_price=Wei(1),
    type=2,
    logs=(),
)


@dataclass
class FakeLedger:
    """A chain that does what it is told, once, and remembers it."""

    phase: Phase | None = None
    now: int = 1_000
    due: bool = False
    over: bool = False
    able: bool = True
    stake: Wei = FREE
    bond: Wei = FREE
    sent: list[tuple[str, object]] = field(default_factory=list)
    refusing: str = ""
    failure: LedgerError | None = None
    reason: str | None = None
    coded: frozenset[Address] = frozenset()
    before: Callable[[str], None] = lambda what: None

    def situation(self) -> Situation:
        return Situation(self.now, self.phase, self.due, self.over, self.able)

    def refusal(self, application: Application) -> str | None:
        return self.reason

    def runs_code(self, application: Application) -> bool:
        return application.controller in self.coded

    def post_batch(self, round_index: RoundIndex, posted: Posted) -> Receipt:
        assert isinstance(self.phase, Collecting)
        if self.phase.posted is not None:
            raise ContractRejected("BatchRefused", {})
        receipt = self._take("batch", posted)
        self.phase = replace(self.phase, posted=posted)
        return receipt

    def post_votes(self, voting: Voting, votes: Sequence[SignedVote]) -> Receipt:
        assert self.phase == voting
        cast = dict(voting.voted)
        for vote in votes:
            message = Vote(FEDERATION, voting.round, voting.attempt, voting.result, vote.support)
            signer = DOMAIN.signer(message, vote.signature)
            assert signer is not None
            assert signer in voting.committee
            assert signer not in cast
            cast[signer] = vote.support
        receipt = self._take("votes", list(votes))
        self.phase = replace(voting, voted=cast)
        return receipt

    def propose(self, result: SignedResult) -> Receipt:
        return self._take("proposal", result)

    def join(self, application: Application) -> Receipt:
        return self._take("join", application)

    def advance(self) -> Receipt:
        self.due = False
        return self._take("advance", None)

    def _take(self, what: str, value: object) -> Receipt:
        self.before(what)
        if self.failure is not None:
            raise self.failure
        if self.refusing:
            raise ContractRejected(self.refusing, {})
        self.sent.append((what, value))
        return MINED
