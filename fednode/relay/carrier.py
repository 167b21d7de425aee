"""A participant's way through a relay, and past it.

Signing costs nothing and a transaction does, so the relay is asked first. But it is not trusted: a
commit that is not in the round's batch, a batch that is not posted or that nobody has, a vote that
is not counted in time, a relay that does not answer - each is made good by a transaction of the
participant's own, while there is time for one. Receipts are kept: they show who broke its word.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from fednode.errors import FedNodeError
from fednode.federation import Federation
from fednode.relay.client import Patience, RelayClient
from fednode.relay.errors import Refused, RelayError
from fednode.relay.messages import SignedReceipt
from fednode.roles.carrier import Carrier, Direct
from fednode.roles.journal import Journal
from ledger.batch import Leaf, Posted, read_batch
from ledger.chain.accounts import Account
from ledger.chain.errors import Unfunded
from ledger.chain.federations import Ballot
from ledger.errors import MalformedRecord
from ledger.proceedings import Round
from ledger.signatures import Commit, Domain, Vote
from ledger.stores import ContentStore
from ledger.types import ZERO_ADDRESS, Digest, FederationId, ParticipantId
from ledger.urls import shown

log = logging.getLogger("fednode")

MARGIN = 30
"""Seconds before a deadline at which the relay is not waited for any longer: what is not there yet
is sent by ourselves.
"""


def margin(window: int) -> int:
    """Give the margin at the end of a window; of a short one it is an eighth."""
    return max(1, min(MARGIN, window // 8))


class Notes(Protocol):
    """A participant's memory of a round: its journal."""

    def mark(self, round_index: int, name: str, value: object = True) -> None:
        """Note a fact."""

    def marked(self, round_index: int, name: str) -> object | None:
        """Give a fact that was noted, if it was."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The federation around a participant: windows, blocks and time."""

    federation: FederationId
    batch_window: int
    attest_window: int
    store: ContentStore
    now: Callable[[], int]


def through_relay(
    url: str, federation: Federation, account: Account, journal: Journal
) -> "Relayed":
    """Go through the relay that a federation's policy names, at an address of its own."""
    client, policy = open_client(url, federation, account), federation.replica.policy
    setting = Setting(
        federation.id,
        policy.batch_window,
        policy.attest_window,
        federation.store,
        federation.chain.now,
    )
    return Relayed(setting, client, Direct(federation.contract, federation.id, account), journal)


def open_client(
    url: str, federation: Federation, account: Account, patience: Patience | None = None
) -> RelayClient:
    """Open an account's way to the relay that a federation's policy names."""
    if re.fullmatch(r"https?://[^/\s]+\S*", url) is None:
        raise FedNodeError(f"--relay {shown(url)!r} is no address: write http://relay.example:8600")
    relay = federation.replica.policy.relay
    if relay == ZERO_ADDRESS:
        raise FedNodeError("the policy names no relay: leave out --relay")
    domain = Domain(federation.chain.chain_id, federation.contract.address)
    return RelayClient(url, domain, relay, account, patience=patience)


class Relayed:
    """Through the relay if it does what it should, else directly."""

    def __init__(
        self, setting: Setting, client: RelayClient, direct: Carrier, notes: Notes
    ) -> None:
        self._setting = setting
        self._client = client
        self._direct = direct
        self._notes = notes
        self._found: dict[tuple[Posted, Digest], bool] = {}
        self._waiting_for: set[tuple[int, Digest]] = set()

    def commit(self, round_: Round, participant: ParticipantId, digest: Digest) -> bool:
        """Hand in the commit; once there is a batch, see that it is in it."""
        if round_.committed(participant):
            return False
        now = self._setting.now()
        deadline = round_.opened + self._setting.batch_window
        # A batch may be posted in the last block, seen some confirmations later, and take a while
        # to come from its relay; only then are transactions worth what they cost everybody.
        patience = deadline + (round_.commit_deadline - deadline) // 3
        if round_.batched:
            included = self._included(round_, participant, digest)
            if included or (included is None and now < patience):
                return False
            what = "cannot be had" if included is None else "does not have it"
            return self._fall_back(round_, participant, digest, f"the relay's batch {what}")
        promised = self._has_receipt(round_, "commit-receipt", digest, deadline)
        if promised or (round_.index, digest) in self._waiting_for:
            if now < patience:
                return False
            return self._fall_back(round_, participant, digest, "the relay posted no batch")
        window = round_.commit_deadline - round_.opened
        last = min(deadline, round_.commit_deadline - margin(window))
        if now >= last:
            return self._fall_back(round_, participant, digest, "it is too late for the batch")
        message = Commit(self._setting.federation, round_.index, participant, digest)
        try:
            receipt = self._client.commit(message, deadline, within=last - now)
        except RelayError as error:
            if self._holds_another(round_, error):
                self._waiting_for.add((round_.index, digest))
                log.warning("round %d: waiting for the batch: %s", round_.index, error)
                return False
            return self._fall_back(round_, participant, digest, str(error))
        self._keep(round_, "commit-receipt", receipt)
        log.info("the relay took update %s of round %d", digest.hex()[:16], round_.index)
        return True

    def vote(self, round_: Round, participant: ParticipantId, ballot: Ballot) -> bool:
        """Hand in the vote; if it does not count when the window is nearly over, send it."""
        if participant in round_.proposal.votes:
            return False
        deadline = round_.proposal.attest_deadline
        left = deadline - margin(self._setting.attest_window) - self._setting.now()
        if left <= 0:
            log.warning("round %d: our vote is not counted yet: sending it", round_.index)
            return self._paid(lambda: self._direct.vote(round_, participant, ballot))
        vote = Vote(
            self._setting.federation, ballot.round, ballot.attempt, ballot.result, ballot.support
        )
        if self._has_receipt(round_, "vote-receipt", self._client.domain.digest(vote), deadline):
            return False
        try:
            receipt = self._client.vote(vote, participant, deadline, within=left)
        except RelayError as error:
            log.warning("round %d: sending our vote ourselves: %s", round_.index, error)
            return self._paid(lambda: self._direct.vote(round_, participant, ballot))
        self._keep(round_, "vote-receipt", receipt)
        return True

    def _included(self, round_: Round, participant: ParticipantId, digest: Digest) -> bool | None:
        """Say whether the batch binds this participant to this update; None = cannot be said yet.

        Of several leaves the first that binds it counts.
        """
        posted = Posted(round_.batch_root, round_.batched, round_.batch_index)
        known = self._found.get((posted, digest))
        if known is not None:
            return known
        batch = read_batch(self._setting.store, posted)
        for data in batch.leaves():
            if data is None:
                if batch.final:
                    continue
                return None
            bound = self._bound(round_, participant, data)
            if bound is not None:
                self._found[posted, digest] = bound == digest
                return bound == digest
        self._found[posted, digest] = False
        return False

    def _bound(self, round_: Round, participant: ParticipantId, data: bytes) -> Digest | None:
        """Give the update that a leaf binds this participant to, if it binds it."""
        try:
            leaf = Leaf.decode(data)
        except MalformedRecord:
            return None
        if leaf.participant != participant:
            return None
        message = Commit(self._setting.federation, round_.index, participant, leaf.digest)
        signer = self._client.domain.signer(message, leaf.signature)
        return leaf.digest if signer == self._client.account.address else None

    def _holds_another(self, round_: Round, error: RelayError) -> bool:
        """Whether the relay says that it holds a commit of ours which the journal does not know,
        such as a restored backup. Its batch shows whether that is true. Only then another one may
        be signed in a transaction.
        """
        conflict = isinstance(error, Refused) and error.status is HTTPStatus.CONFLICT
        return conflict and self._notes.marked(round_.index, "commit-receipt") is None

    def _fall_back(
        self, round_: Round, participant: ParticipantId, digest: Digest, reason: str
    ) -> bool:
        log.warning("round %d: committing ourselves: %s", round_.index, reason)
        return self._paid(lambda: self._direct.commit(round_, participant, digest))

    def _paid(self, send: Callable[[], bool]) -> bool:
        """Send a transaction if the account has the means: a sponsored participant has none."""
        try:
            return send()
        except Unfunded as error:
            log.error("the relay does not serve us and we cannot go on alone: %s", error)
            return False

    def _has_receipt(self, round_: Round, name: str, digest: Digest, deadline: int) -> bool:
        """Whether the relay gave its word for this; one for another deadline is of a round, or a
        proposal, that a reorganisation has replaced.
        """
        noted = self._notes.marked(round_.index, name)
        if not isinstance(noted, dict) or noted.get("digest") != digest.hex():
            return False
        return bool(noted.get("deadline", deadline) == deadline)

    def _keep(self, round_: Round, name: str, receipt: SignedReceipt) -> None:
        self._notes.mark(round_.index, name, receipt.model_dump(mode="json"))
