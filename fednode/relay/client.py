"""A participant's side of a relay: sends what it signs, and believes nothing but a good receipt.

A relay may be hostile, and the node that asks it stands behind a hospital's firewall. So an answer
that points elsewhere is not followed, nothing is told but the message, and a try has an end at
which it is over however slowly bytes still come (`ledger.bounded_http`).
"""

import math
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

from pydantic import BaseModel, ValidationError

from fednode.relay.errors import ForgedReceipt, Refused, RelayDown, RelayError
from fednode.relay.messages import (
    SignedBallot,
    SignedCommit,
    SignedJoin,
    SignedProposal,
    SignedReceipt,
)
from ledger.bounded_http import Answer, BadAddress, HttpFailure, Kind, Server
from ledger.bounded_json import read_json
from ledger.chain.accounts import Account
from ledger.errors import MalformedRecord
from ledger.lines import clean
from ledger.signatures import Commit, Domain, Receipt, Signature, Vote
from ledger.types import Address, ParticipantId
from ledger.urls import shown

MAX_ANSWER = 1 << 16
MAX_REASON = 500
_AGAIN = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
"""What may be better the next time."""
_REASONS = {
    Kind.UNCONNECTED: "ConnectionError",
    Kind.LOST: "ConnectionError",
    Kind.LATE: "no whole answer in time",
    Kind.ENDLESS: "an answer without end",
}
_BUSY = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_TRANSACTION = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a relay is waited for: seconds for a whole answer, how many tries, and the pause
    after the first, which doubles up to the longest. A relay that answers that it is `busy` costs
    no try for so many seconds.
    """

    answer: float = 10.0
    tries: int = 4
    pause: float = 0.5
    longest: float = 5.0
    busy: float = 0.0


class _Again(Exception):
    """A try that failed but may be repeated, not before so many seconds."""

    def __init__(self, reason: str, wait: float = 0.0, refused: Refused | None = None) -> None:
        self.wait = wait
        self.refused = refused
        super().__init__(reason)

    @property
    def busy(self) -> bool:
        """Whether the relay asks to come again since others wait before."""
        return self.wait > 0 and self.refused is not None and self.refused.status in _BUSY


class RelayClient:
    """One relay, for one signer. `relay` is the account that the policy names.

    `within` is how many seconds a call may take, all its tries together.
    """

    def __init__(
        self,
        url: str,
        domain: Domain,
        relay: Address,
        account: Account,
        *,
        patience: Patience | None = None,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self.domain = domain
        self.account = account
        self._shown = shown(url)
        try:
            self._server = Server.at(url)  # a netrc is for others
        except BadAddress as error:
            raise RelayError(f"the relay's address {self._shown}: {error}") from None
        self._relay = relay
        self._patience = patience or Patience()
        self._rest = rest
        self._random = random.SystemRandom()

    def commit(self, commit: Commit, deadline: int, *, within: float = math.inf) -> SignedReceipt:
        """Hand in a commit; give the relay's word that it posts it before its deadline."""
        message = SignedCommit(
            federation=commit.federation,
            round=commit.round,
            participant=commit.participant,
            digest=commit.digest,
            signature=self._sign(commit),
        )
        expected = Receipt(
            commit.federation, commit.round, commit.participant, commit.digest, deadline
        )
        return self._receipt("/commits", message, expected, within)

    def vote(
        self, vote: Vote, participant: ParticipantId, deadline: int, *, within: float = math.inf
    ) -> SignedReceipt:
        """Hand in a vote."""
        message = SignedBallot(
            federation=vote.federation,
            round=vote.round,
            attempt=vote.attempt,
            result=vote.result,
            support=vote.support,
            signature=self._sign(vote),
        )
        digest = self.domain.digest(vote)
        expected = Receipt(vote.federation, vote.round, participant, digest, deadline)
        return self._receipt("/votes", message, expected, within)

    def propose(self, message: SignedProposal, *, within: float = math.inf) -> str:
        """Let the relay propose a result; give the transaction's hash."""
        return self._transaction("/proposals", message, within)

    def join(self, message: SignedJoin) -> str:
        """Let the relay send a join; give the transaction's hash."""
        return self._transaction("/joins", message, math.inf)

    def _sign(self, message: Commit | Vote) -> bytes:
        return self.domain.sign(self.account, message).compact

    def _receipt(
        self, path: str, message: BaseModel, expected: Receipt, within: float
    ) -> SignedReceipt:
        try:
            found = SignedReceipt.model_validate_json(self._post(path, message, within))
        except ValidationError as error:
            raise ForgedReceipt(self._shown, f"{error.error_count()} fields are wrong") from None
        if found.content != expected:
            raise ForgedReceipt(self._shown, "it is for something else, or for another deadline")
        if self.domain.signer(expected, Signature.of(found.signature)) != self._relay:
            raise ForgedReceipt(
                self._shown, f"it is not signed by the policy's relay {self._relay}"
            )
        return found

    def _transaction(self, path: str, message: BaseModel, within: float) -> str:
        answer = _object(self._post(path, message, within))
        found = str(answer.get("transaction"))
        return found if _TRANSACTION.fullmatch(found) else "a transaction that it does not name"

    def _post(self, path: str, message: BaseModel, within: float) -> bytes:
        """Send a message, again and again where that may help and there is time."""
        body = message.model_dump_json().encode()
        pause, left = self._patience.pause, self._patience.tries
        start = time.monotonic()
        end = start + within
        while True:
            try:
                return self._try(path, body, min(self._patience.answer, end - time.monotonic()))
            except _Again as again:
                # Thousands of participants must not come back at the same moment.
                rest = max(again.wait, pause) * self._random.uniform(1.0, 1.5)
                now = time.monotonic()
                left -= not (again.busy and now < start + self._patience.busy)
                if left <= 0 or again.wait > self._patience.longest or now + rest >= end:
                    raise again.refused or RelayDown(self._shown, str(again)) from None
                self._rest(rest)
                pause = min(2 * pause, self._patience.longest)

    def _try(self, path: str, body: bytes, seconds: float) -> bytes:
        try:
            answer = self._server.post(body, path=path, seconds=seconds, most=MAX_ANSWER)
        except HttpFailure as failure:
            reason = _REASONS.get(failure.kind)
            raise _Again(f"{reason}{self._server.way}" if reason else failure.reason) from None
        if answer.status == HTTPStatus.OK:
            return answer.body
        raise self._refusal(answer)

    def _refusal(self, answer: Answer) -> Refused | _Again:
        try:
            status = HTTPStatus(answer.status)
        except ValueError:
            return _Again(answer.problem)
        told = _object(answer.body).get("error", f"{status.phrase}{answer.way}")
        reason = clean(str(told), MAX_REASON)
        given = answer.headers.get("Retry-After", "")
        wait = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
        refused = Refused(status, reason, retry_after=wait or None)
        return _Again(reason, wait, refused) if status in _AGAIN else refused


def _object(data: bytes) -> dict[str, object]:
    """Read a JSON object; whatever else a relay answers is an empty one."""
    try:
        found = read_json(data, most=MAX_ANSWER)
    except MalformedRecord:
        return {}
    return cast("dict[str, object]", found) if isinstance(found, dict) else {}
