"""The sponsored mode: a relay pays for sites that hold no ether.

It pays gas for transactions whose signer it has checked and that the contract would take, in lanes
that bound what failures cost. Joins are opt-in; stakes and bonds have limits of their own, zero by
default, since a bond is lost with a wrong result.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from fednode.relay.desk import Desk
from fednode.relay.errors import RETRY, Refused
from fednode.relay.lanes import REFUSALS, Lane, Lanes
from fednode.relay.messages import SignedJoin, SignedProposal
from fednode.relay.situation import Application, Ledger, Proposing
from ledger.chain.errors import TransactionFailed
from ledger.chain.types import Receipt
from ledger.signatures import Proposal
from ledger.types import Address, Wei

log = logging.getLogger("fednode")


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a sponsor pays for: the most for one stake and for one bond, whether it sends joins at
    all, and the most to lose with bonds in the federation: two of them unless it says.
    """

    stake: Wei
    bond: Wei
    joins: bool = False
    loss: Wei | None = None

    @property
    def most_lost(self) -> int:
        """The most to lose with bonds."""
        return 2 * self.bond if self.loss is None else self.loss


class _RunsCode(Exception):
    """A join in which an account's code may run."""


class Sponsor:
    """Lets sites join and propose through the relay's account."""

    def __init__(self, ledger: Ledger, desk: Desk, lanes: Lanes, allowance: Allowance) -> None:
        self._ledger = ledger
        self._desk = desk
        self._lanes = lanes
        self._allowance = allowance

    async def join(self, message: SignedJoin) -> Receipt:
        """Let a site join whose controller has signed with its key."""
        self._check_federation(message.federation)
        if not self._allowance.joins:
            raise Refused(
                HTTPStatus.FORBIDDEN,
                "this relay sends no joins (its operator starts it with --joins to allow them); "
                "send the transaction yourself",
            )
        application, controller = message.content, Address(message.controller)
        _allow("stake", self._ledger.stake, self._allowance.stake)
        if self._desk.domain.signer(application.join, application.consent) != controller:
            raise Refused(
                HTTPStatus.FORBIDDEN,
                f"the consent is not signed by {controller} itself, with its key (ECDSA)",
            )
        self._check_history(application)

        def send() -> Receipt:
            # Others may have joined while this one waited.
            self._check_history(application)
            return self._ledger.join(application)

        def send_plain() -> Receipt:
            if self._ledger.runs_code(application):
                raise _RunsCode
            return send()

        try:
            receipt = await self._send(self._lanes.joins, controller, send_plain)
        except _RunsCode:
            receipt = await self._send(self._lanes.coded_joins, controller, send)
        log.info("sent the join of %s (%d gas)", controller, receipt.gas_used)
        return receipt

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
        self._check_losses(phase)
        receipt = await self._send(
            self._lanes.proposals, signer, lambda: self._ledger.propose(result)
        )
        log.info("proposed a result of %s (%d gas)", signer, receipt.gas_used)
        return receipt

    def _check_history(self, application: Application) -> None:
        """Refuse what needs no simulation: that costs no budget."""
        reason = self._ledger.refusal(application)
        if reason is not None:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, reason)

    def _check_losses(self, phase: Proposing) -> None:
        """Lend no bond to a participant that lost one, and none to others after the limit."""
        if phase.barred:
            reason = "this sponsor lost a bond with a result of yours; propose in your own name"
        elif self._ledger.bond and phase.lost + self._ledger.bond > self._allowance.most_lost:
            reason = (
                f"this sponsor has lost {phase.lost} wei with bonds and risks at most "
                f"{self._allowance.most_lost}; propose in your own name"
            )
        else:
            return
        raise Refused(HTTPStatus.FORBIDDEN, reason)

    def _check_federation(self, federation: bytes) -> None:
        if federation != self._desk.federation:
            raise Refused(HTTPStatus.NOT_FOUND, f"federation {federation.hex()} is not served here")

    async def _send(self, lane: Lane, applicant: Address, send: Callable[[], Receipt]) -> Receipt:
        try:
            return await lane.run(applicant, lane.budget.counting(applicant, send))
        except (*REFUSALS, TransactionFailed) as error:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error


def _allow(what: str, price: Wei, most: Wei) -> None:
    if price > most:
        raise Refused(
            HTTPStatus.FORBIDDEN,
            f"the {what} is {price} wei, this sponsor pays {most}; send the transaction yourself",
        )
