"""A participant's side of a relay: sends what it signs, and believes nothing but a good receipt."""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

import requests
from pydantic import BaseModel, ValidationError

from fednode.relay.errors import ForgedReceipt, Refused, RelayDown
from fednode.relay.messages import (
    SignedBallot,
    SignedCommit,
    SignedJoin,
    SignedProposal,
    SignedReceipt,
)
from ledger.chain.accounts import Account
from ledger.signatures import Commit, Domain, Receipt, Signature, Vote
from ledger.types import Address, ParticipantId

MAX_ANSWER = 1 << 16
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


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a relay is waited for: seconds for an answer, how many tries, and the pause after
    the first, which doubles up to the longest.
    """

    answer: float = 10.0
    tries: int = 4
    pause: float = 0.5
    longest: float = 5.0


class _Again(Exception):
    """A try that failed but may be repeated, not before so many seconds."""

    def __init__(self, reason: str, wait: float = 0.0, refused: Refused | None = None) -> None:
        self.wait = wait
        self.refused = refused
        super().__init__(reason)


class RelayClient:
    """One relay, for one signer. `relay` is the account that the policy names."""

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
        self._url = url.rstrip("/")
        self._relay = relay
        self._patience = patience or Patience()
        self._rest = rest
        self._random = random.SystemRandom()
        self._session = requests.Session()

    def commit(self, commit: Commit, deadline: int) -> SignedReceipt:
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
        return self._receipt("/commits", message, expected)

    def vote(self, vote: Vote, participant: ParticipantId, deadline: int) -> SignedReceipt:
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
        return self._receipt("/votes", message, expected)

    def propose(self, message: SignedProposal) -> str:
        """Let the relay propose a result; give the transaction's hash."""
        return self._transaction("/proposals", message)

    def join(self, message: SignedJoin) -> str:
        """Let the relay send a join; give the transaction's hash."""
        return self._transaction("/joins", message)

    def _sign(self, message: Commit | Vote) -> bytes:
        return self.domain.sign(self.account, message).compact

    def _receipt(self, path: str, message: BaseModel, expected: Receipt) -> SignedReceipt:
        try:
            found = SignedReceipt.model_validate_json(self._post(path, message))
        except ValidationError as error:
            raise ForgedReceipt(self._url, f"{error.error_count()} fields are wrong") from None
        if found.content != expected:
            raise ForgedReceipt(self._url, "it is for something else, or for another deadline")
        if self.domain.signer(expected, Signature.of(found.signature)) != self._relay:
            raise ForgedReceipt(self._url, f"it is not signed by the policy's relay {self._relay}")
        return found

    def _transaction(self, path: str, message: BaseModel) -> str:
        answer = _object(self._post(path, message))
        return str(answer.get("transaction", ""))

    def _post(self, path: str, message: BaseModel) -> bytes:
        """Send a message, again and again where that may help."""
        body = message.model_dump_json().encode()
        pause = self._patience.pause
        for left in reversed(range(self._patience.tries)):
            try:
                return self._try(path, body)
            except _Again as again:
                if left == 0 or again.wait > self._patience.longest:
                    raise again.refused or RelayDown(self._url, str(again)) from None
                # Thousands of participants must not come back at the same moment.
                self._rest(max(again.wait, pause) * self._random.uniform(1.0, 1.5))
                pause = min(2 * pause, self._patience.longest)
        raise AssertionError("the last try returns or raises")

    def _try(self, path: str, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        seconds = self._patience.answer
        until = time.monotonic() + seconds
        try:
            with self._session.post(
                self._url + path, body, headers=headers, timeout=seconds, stream=True
            ) as response:
                answer = b""
                for part in response.iter_content(1 << 12):
                    answer += part
                    if len(answer) > MAX_ANSWER or time.monotonic() > until:
                        raise _Again("an answer without end")
        except requests.exceptions.RequestException as error:
            raise _Again(type(error).__name__) from None
        if response.status_code == HTTPStatus.OK:
            return answer
        raise self._refusal(response, answer)

    def _refusal(self, response: requests.Response, answer: bytes) -> Refused | _Again:
        try:
            status = HTTPStatus(response.status_code)
        except ValueError:
            return _Again(f"HTTP status {response.status_code}")
        reason = " ".join(str(_object(answer).get("error", status.phrase)).split())[:500]
        given = response.headers.get("Retry-After", "")
        wait = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
        refused = Refused(status, reason, retry_after=wait or None)
        return _Again(reason, wait, refused) if status in _AGAIN else refused


def _object(data: bytes) -> dict[str, object]:
    """Read a JSON object; whatever else somebody answers is an empty one."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, object]", found) if isinstance(found, dict) else {}
