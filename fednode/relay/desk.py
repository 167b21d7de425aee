"""The relay's desk: checks what participants hand in, and gives its word for what it holds.

A receipt says that the relay holds a message and will post it before a deadline. It is given once
the message is on the disk, and the same message always gets the same receipt. With the round's
batch, which everybody can read, a receipt shows that a relay broke its word.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

from fednode.relay.book import Book, HeldVote, Key
from fednode.relay.errors import RETRY, SHORT_OF_ETHER, Refused
from fednode.relay.messages import SignedBallot, SignedCommit, SignedReceipt
from fednode.relay.situation import Collecting, Phase, Proposing, SignedVote, Situation, Voting
from ledger.batch import Batch, Leaf
from ledger.chain.accounts import Account
from ledger.signatures import Domain, Receipt, Signature
from ledger.types import Address, Digest, FederationId

P = TypeVar("P", Collecting, Proposing, Voting)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a relay takes: commits of a round, and messages that wait for the disk."""

    commits: int = 1 << 16
    waiting: int = 1 << 12


class Desk:
    """What a relay accepts for one federation. It lives in one thread, the event loop's."""

    def __init__(
        self,
        domain: Domain,
        federation: FederationId,
        account: Account,
        folder: Path,
        *,
        limits: Limits | None = None,
    ) -> None:
        self.domain = domain
        self.federation = federation
        self.account = account
        self._folder = folder / federation.hex()
        self._limits = limits or Limits()
        self._situation = Situation(0, None)
        self._book: Book | None = None

    @property
    def phase(self) -> Phase | None:
        """What the federation waits for, when the relay last looked."""
        return self._situation.phase

    def see(self, situation: Situation) -> None:
        """Take in where the federation stands; open the round's book."""
        phase = situation.phase
        if phase is not None and (self._book is None or not _belongs(self._book, phase)):
            book, self._book = self._book, None
            if book is not None:
                book.close()
            self._book = Book(self._folder, phase.round, phase.opening)
        if isinstance(phase, Collecting) and self._book is not None:
            self._book.fit(phase.signers)
        self._situation = situation

    # -- what participants hand in

    async def commit(self, message: SignedCommit) -> SignedReceipt:
        """Take in a commit."""
        commit = message.content
        phase, book = self._open(Collecting, message.federation, message.round)
        held = book.leaves.get(commit.participant)
        if held is not None and book.given(commit.participant, commit.digest):
            raise Refused(
                HTTPStatus.CONFLICT,
                f"participant {commit.participant} has committed to {held.digest.hex()} in round "
                f"{commit.round}; another update can only be committed to by a transaction",
            )
        if held is None or held.digest != commit.digest:
            leaf = Leaf(commit.participant, commit.digest, Signature.of(message.signature))
            self._check_commit(phase, book, leaf)
            book.add_leaf(leaf)
        await self._saved(book, commit.participant)
        return self._receipt(book, commit.participant, commit.digest, phase.deadline)

    def _check_commit(self, phase: Collecting, book: Book, leaf: Leaf) -> None:
        closed = book.sealed or phase.posted is not None
        if closed or self._situation.now >= phase.deadline:
            raise Refused(
                HTTPStatus.GONE,
                f"the batch of round {phase.round} is closed; commit by a transaction",
            )
        self._check_room(book)
        if not phase.signers.binds(leaf):
            raise Refused(
                HTTPStatus.FORBIDDEN,
                f"the signature is not that of participant {leaf.participant}'s signer, as it was "
                f"registered when round {phase.round} was opened",
            )
        if len(book.leaves) >= self._limits.commits:
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"round {phase.round} has {len(book.leaves)} commits, no more are taken; commit "
                "by a transaction",
                retry_after=max(RETRY, phase.deadline - self._situation.now),
            )

    async def vote(self, message: SignedBallot) -> SignedReceipt:
        """Take in a vote on the standing proposal."""
        vote, signature = message.content, Signature.of(message.signature)
        phase, book = self._open(Voting, message.federation, message.round)
        if vote.attempt > phase.attempt:
            early = f"attempt {vote.attempt} of round {phase.round} is not there yet"
            raise Refused(HTTPStatus.TOO_EARLY, early, retry_after=RETRY)
        if (vote.attempt, vote.result) != (phase.attempt, phase.result):
            raise Refused(
                HTTPStatus.CONFLICT,
                f"attempt {phase.attempt} of round {phase.round} is about result "
                f"{phase.result.hex()}, not about this one",
            )
        self._check_room(book)
        digest = self.domain.digest(vote)
        signer = signature.signer(digest)
        if signer is None or signer not in phase.committee:
            raise Refused(
                HTTPStatus.FORBIDDEN,
                "the signature is not that of a member of the round's committee",
            )
        held = book.vote(phase, signer)
        if held is None:
            book.add_vote(HeldVote(vote.attempt, vote.result, vote.support, signature, signer))
        elif held.support != vote.support:
            raise Refused(HTTPStatus.CONFLICT, f"{signer} has voted on this result, the other way")
        await self._saved(book, (vote.attempt, vote.result, signer))
        return self._receipt(book, phase.committee[signer], digest, phase.deadline)

    # -- what anybody may ask

    def receipt(self, round_index: int, participant: int) -> SignedReceipt:
        """Give the receipt of a commit again."""
        phase, book = self._open(Collecting, self.federation, round_index)
        leaf = book.leaves.get(participant)
        if leaf is None and participant in book.replaced:
            raise Refused(
                HTTPStatus.GONE,
                f"the chain was reorganised and opened round {round_index} anew: what participant "
                f"{participant} committed to was for another opening; commit again",
            )
        if leaf is None:
            raise Refused(HTTPStatus.NOT_FOUND, f"participant {participant} has not committed here")
        return self._receipt(book, participant, leaf.digest, phase.deadline)

    def status(self) -> dict[str, object]:
        """Say who the relay is and what it is at."""
        phase, book = self._situation.phase, self._book
        return {
            "federation": self.federation.hex(),
            "chain_id": self.domain.chain_id,
            "ledger": self.domain.ledger,
            "relay": self.account.address,
            "round": None if phase is None else phase.round,
            "phase": None if phase is None else type(phase).__name__.lower(),
            "commits": 0 if book is None else len(book.leaves),
            "waiting": 0 if book is None else book.waiting,
        }

    def batch(self, round_index: int) -> dict[str, object]:
        """Say what has become of a round's batch."""
        book = self._book
        if book is None or book.round != round_index:
            raise Refused(HTTPStatus.NOT_FOUND, f"round {round_index} is not the current one")
        posted = None if book.batch is None else book.batch.posted
        return {
            "round": round_index,
            "sealed": book.sealed,
            "leaves": len(book.leaves),
            "root": None if posted is None else posted.root.hex(),
            "index": None if posted is None else posted.index.hex(),
        }

    # -- what the relay posts

    async def seal(self) -> Batch | None:
        """Close the round's batch and give it; None if nobody committed."""
        return None if self._book is None else await self._book.seal()

    def full(self, phase: Collecting) -> bool:
        """Say whether everybody with a seat has committed, here or by a transaction."""
        assert self._book is not None
        seated = {n for n, signer in enumerate(phase.signers.known) if signer is not None}
        return seated <= self._book.leaves.keys() | phase.direct

    def votes(self, phase: Voting) -> Mapping[Address, SignedVote]:
        """Give the votes that the chain does not have yet."""
        return {} if self._book is None else self._book.votes(phase)

    # -- helpers

    def _open(self, kind: type[P], federation: bytes, round_index: int) -> tuple[P, Book]:
        """Give the phase and the book if a message belongs to them; refuse it otherwise."""
        if federation != self.federation:
            raise Refused(HTTPStatus.NOT_FOUND, f"federation {federation.hex()} is not served here")
        phase, book = self._situation.phase, self._book
        early = HTTPStatus.TOO_EARLY
        if phase is None or book is None or round_index > phase.round:
            raise Refused(early, f"round {round_index} is not open yet", retry_after=RETRY)
        if round_index < phase.round:
            raise Refused(HTTPStatus.GONE, f"round {round_index} is over")
        if not isinstance(phase, kind):
            if _ORDER.index(type(phase)) > _ORDER.index(kind):
                raise Refused(HTTPStatus.GONE, f"round {round_index} is past that phase")
            raise Refused(early, f"round {round_index} is not there yet", retry_after=RETRY)
        return phase, book

    def _check_room(self, book: Book) -> None:
        """Give no word that may not be kept: without ether, or room on the disk."""
        if not self._situation.able:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the relay cannot post now: it is short of ether, or too many of its transactions "
                "have failed; send yours yourself",
                retry_after=SHORT_OF_ETHER,
            )
        if book.waiting >= self._limits.waiting:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{book.waiting} messages wait for the disk; try again",
                retry_after=RETRY,
            )

    async def _saved(self, book: Book, key: Key) -> None:
        """Wait for the disk. Whose round has ended meanwhile gets no word that cannot be kept."""
        await book.saved(key)
        if book is not self._book:
            raise Refused(
                HTTPStatus.GONE,
                f"round {book.round} ended before the message was on the disk, or was opened anew",
            )

    def _receipt(
        self, book: Book, participant: int, digest: Digest, deadline: int
    ) -> SignedReceipt:
        receipt = Receipt(self.federation, book.round, participant, digest, deadline)
        return SignedReceipt.of(receipt, self.domain.sign(self.account, receipt))


def _belongs(book: Book, phase: Phase) -> bool:
    return (book.round, book.opening) == (phase.round, phase.opening)


_ORDER: list[type[Phase]] = [Collecting, Proposing, Voting]
