"""The sponsored mode: a relay pays for sites that hold no ether.

Gas it pays for anybody whose transaction the contract would take; stakes and bonds only up to what
its owner allows, and none unless it is told, since a bond is lost with a wrong result.
"""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from fednode.relay.desk import RETRY, Desk
from fednode.relay.errors import Refused
from fednode.relay.messages import SignedJoin, SignedProposal
from fednode.relay.sender import Sender
from fednode.relay.situation import Ledger, Proposing
from ledger.chain.errors import ContractRejected, TransactionFailed
from ledger.chain.types import Receipt
from ledger.signatures import Proposal
from ledger.types import Wei

MOST_WAITING = 3
"""Transactions that may wait before others': a batch's or the votes' must not come too late."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """The most that a sponsor pays for one site: for its stake, and for a result's bond."""

    stake: Wei
    bond: Wei


class Sponsor:
    """Lets sites join and propose through the relay's account."""

    def __init__(self, ledger: Ledger, desk: Desk, sender: Sender, allowance: Allowance) -> None:
        self._ledger = ledger
        self._desk = desk
        self._sender = sender
        self._allowance = allowance

    async def join(self, message: SignedJoin) -> Receipt:
        """Let a site join whose controller has signed."""
        self._check_federation(message.federation)
        application = message.content
        _allow("stake", self._ledger.stake, self._allowance.stake)
        if self._desk.domain.signer(application.join, application.consent) != message.controller:
            raise Refused(
                HTTPStatus.FORBIDDEN,
                f"the consent is not signed by {message.controller}",
            )
        return await self._send(lambda: self._ledger.join(application))

    async def propose(self, message: SignedProposal) -> Receipt:
        """Propose a result that the participant in turn has signed."""
        self._check_federation(message.federation)
        result = message.content
        phase, round_index = self._desk.phase, result.header.common.round
        if not isinstance(phase, Proposing) or phase.round != round_index:
            raise Refused(
                HTTPStatus.TOO_EARLY, f"round {round_index} waits for no result", retry_after=RETRY
            )
        _allow("bond", self._ledger.bond, self._allowance.bond)
        proposal = Proposal(
            self._desk.federation, phase.round, phase.attempt, result.header.digest(), result.index
        )
        signer = self._desk.domain.signer(proposal, result.signature)
        if signer is None or signer != phase.signer:
            raise Refused(
                HTTPStatus.FORBIDDEN,
                f"the signature is not that of whose turn it is in attempt {phase.attempt}",
            )
        return await self._send(lambda: self._ledger.propose(result))

    def _check_federation(self, federation: bytes) -> None:
        if federation != self._desk.federation:
            raise Refused(HTTPStatus.NOT_FOUND, f"federation {federation.hex()} is not served here")

    async def _send(self, send: Callable[[], Receipt]) -> Receipt:
        if self._sender.waiting >= MOST_WAITING:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"{self._sender.waiting} transactions wait; try again",
                retry_after=RETRY,
            )
        try:
            return await self._sender.run(send)
        except (ContractRejected, TransactionFailed) as error:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error


def _allow(what: str, price: Wei, most: Wei) -> None:
    if price > most:
        raise Refused(
            HTTPStatus.FORBIDDEN,
            f"the {what} is {price} wei, this sponsor pays {most}; send the transaction yourself",
        )
