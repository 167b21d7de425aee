"""What a sponsor pays for, and for whom."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import pytest

from fednode.relay.errors import Refused
from fednode.relay.lanes import DAY, IN_TURN, Lanes, Limits
from fednode.relay.messages import SignedJoin, SignedProposal
from fednode.relay.situation import Application, Proposing, SignedResult, Situation
from fednode.relay.sponsor import Allowance, Sponsor
from ledger.chain.accounts import Account, from_key
from ledger.chain.errors import (
    ContractRejected,
    Reverted,
    TransactionFailed,
    TransactionPending,
    TransactionTooLarge,
)
from ledger.errors import LedgerError, MalformedRecord
from ledger.headers import RESULT_TAG, Common, ResultHeader
from ledger.signatures import Join, Proposal
from ledger.types import FederationId, RoundIndex, Wei
from tests.fednode.relay.world import (
    DOMAIN,
    FEDERATION,
    FREE,
    MEMBERS,
    STRANGER,
    FakeLedger,
    collecting,
    desk_at,
    digest,
)

LIMITS = Limits()
T = TypeVar("T")


def done(work: Awaitable[T]) -> T:
    async def run() -> T:
        return await work

    return asyncio.run(run())


def sponsor_at(
    folder: Path,
    ledger: FakeLedger,
    *,
    stake: Wei = FREE,
    bond: Wei = FREE,
    signer: Account | None = MEMBERS[0],
    joins: bool = True,
    lanes: Lanes | None = None,
) -> Sponsor:
    address = None if signer is None else signer.address
    desk = desk_at(folder, Proposing(RoundIndex(0), 1, address))
    return Sponsor(ledger, desk, lanes or Lanes(), Allowance(stake, bond, joins))


def joining(
    by: Account = STRANGER,
    *,
    federation: FederationId = FEDERATION,
    rows: int = 5,
    controller: Account = STRANGER,
) -> SignedJoin:
    join = Join(
        federation, STRANGER.address, STRANGER.address, digest(1), digest(2), digest(3), rows
    )
    return SignedJoin(
        federation=federation,
        controller=controller.address,
        signer=STRANGER.address,
        payout=STRANGER.address,
        identity=digest(1),
        key=digest(2),
        dataset_root=digest(3),
        rows=5,
        expires=9,
        invitation=b"invited",
        consent=DOMAIN.sign(by, join).compact,
    )


def proposing(by: Account = MEMBERS[0], *, attempt: int = 1, round_: int = 0) -> SignedProposal:
    zero = digest(0)
    common = Common(RESULT_TAG, 31337, DOMAIN.ledger, FEDERATION, round_, zero)
    header = ResultHeader(
        common, zero, 0, 0, zero, zero, zero, 0, zero, 0, zero, payout_total=0, stop=False
    )
    proposal = Proposal(FEDERATION, round_, attempt, header.digest(), digest(4))
    return SignedProposal(
        federation=FEDERATION,
        header=header.encode(),
        index=digest(4),
        signature=DOMAIN.sign(by, proposal).compact,
    )


def refusal(work: Awaitable[object]) -> Refused:
    with pytest.raises(Refused) as refused:
        done(work)
    return refused.value


def test_a_site_joins_with_its_controllers_consent(tmp_path: Path) -> None:
    ledger = FakeLedger()
    done(sponsor_at(tmp_path, ledger).join(joining()))
    ((what, application),) = ledger.sent
    assert isinstance(application, Application)
    assert what == "join"
    assert application.controller == STRANGER.address
    assert (application.invitation, application.expires) == (b"invited", 9)


def test_a_result_is_proposed_for_whose_turn_it_is(tmp_path: Path) -> None:
    ledger = FakeLedger(bond=Wei(5))
    message = proposing()
    done(sponsor_at(tmp_path, ledger, bond=Wei(5)).propose(message))
    ((what, result),) = ledger.sent
    assert isinstance(result, SignedResult)
    assert what == "proposal"
    assert result == message.content


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (joining(MEMBERS[0]), HTTPStatus.FORBIDDEN),
        (joining(rows=6), HTTPStatus.FORBIDDEN),
        (joining(federation=FederationId(bytes(32))), HTTPStatus.NOT_FOUND),
    ],
)
def test_a_join_without_consent(tmp_path: Path, message: SignedJoin, status: HTTPStatus) -> None:
    ledger = FakeLedger()
    assert refusal(sponsor_at(tmp_path, ledger).join(message)).status == status
    assert ledger.sent == []


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (proposing(MEMBERS[1]), HTTPStatus.FORBIDDEN),
        (proposing(attempt=0), HTTPStatus.FORBIDDEN),
        (proposing(round_=1), HTTPStatus.TOO_EARLY),
        (proposing().model_copy(update={"index": digest(5)}), HTTPStatus.FORBIDDEN),
        (proposing().model_copy(update={"federation": bytes(32)}), HTTPStatus.NOT_FOUND),
    ],
)
def test_a_result_of_somebody_elses(
    tmp_path: Path, message: SignedProposal, status: HTTPStatus
) -> None:
    ledger = FakeLedger()
    assert refusal(sponsor_at(tmp_path, ledger).propose(message)).status == status
    assert ledger.sent == []


def test_where_anybody_may_propose_a_signature_is_worth_nothing(tmp_path: Path) -> None:
    """Whoever proposes then does so in its own name: the relay gives no bond for strangers."""
    sponsor = sponsor_at(tmp_path, FakeLedger(), signer=None)
    assert refusal(sponsor.propose(proposing())).status == HTTPStatus.FORBIDDEN


def test_no_result_is_waited_for(tmp_path: Path) -> None:
    sponsor = sponsor_at(tmp_path, FakeLedger())
    sponsor._desk.see(Situation(0, collecting()))
    assert refusal(sponsor.propose(proposing())).status == HTTPStatus.TOO_EARLY


def test_it_pays_no_more_than_its_owner_allows(tmp_path: Path) -> None:
    ledger = FakeLedger(stake=Wei(10), bond=Wei(20))
    sponsor = sponsor_at(tmp_path, ledger, stake=Wei(9), bond=Wei(19))
    assert "stake is 10 wei, this sponsor pays 9" in refusal(sponsor.join(joining())).reason
    assert "bond is 20 wei, this sponsor pays 19" in refusal(sponsor.propose(proposing())).reason
    assert ledger.sent == []


def test_what_the_contract_refuses_is_said(tmp_path: Path) -> None:
    ledger = FakeLedger(refusing="ControllerTaken")
    refused = refusal(sponsor_at(tmp_path, ledger).join(joining()))
    assert refused.status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert "ControllerTaken" in refused.reason


def test_joins_are_opt_in(tmp_path: Path) -> None:
    ledger = FakeLedger()
    refused = refusal(sponsor_at(tmp_path, ledger, joins=False).join(joining()))
    assert refused.status == HTTPStatus.FORBIDDEN
    assert "--joins" in refused.reason
    assert ledger.sent == []


def test_what_the_history_refuses_is_not_simulated(tmp_path: Path) -> None:
    """However often it is tried: such a refusal costs the chain's node nothing."""
    ledger = FakeLedger(reason="the federation has its 3 participants", before=pytest.fail)
    sponsor = sponsor_at(tmp_path, ledger)
    for _ in range(20):
        refused = refusal(sponsor.join(joining()))
        assert refused.status == HTTPStatus.UNPROCESSABLE_ENTITY
        assert refused.reason == ledger.reason


def test_the_history_is_asked_again_when_it_is_its_turn(tmp_path: Path) -> None:
    """What came first may have taken what the next one wants: no failure of that one's."""
    ledger = FakeLedger()
    people = [from_key(bytes([50 + n]) * 32) for n in range(4)]

    def taken(_: str) -> None:
        ledger.reason = "the signer is taken"

    ledger.before = taken

    async def run() -> list[object]:
        sponsor = sponsor_at(tmp_path, ledger)
        work = [sponsor.join(joining(by, controller=by)) for by in people]
        return await asyncio.gather(*work, return_exceptions=True)

    refused = [found for found in asyncio.run(run()) if isinstance(found, Refused)]
    assert [error.reason for error in refused] == ["the signer is taken"] * 3
    assert len(ledger.sent) == 1


FAILED = TransactionFailed(bytes(32), 600_000, "it ran out of gas")
LATE = TransactionPending(bytes(32), 1, 180.0)
REFUSING = ContractRejected("ConsentRefused", {})
OUT_OF_GAS = TransactionTooLarge("gas", 600_001, 600_000)
FAILURES = {
    "refused": (REFUSING, LIMITS.refusals),
    "reverted": (Reverted(b"", "no"), LIMITS.refusals),
    "out of gas": (OUT_OF_GAS, LIMITS.refusals),
    "mined without effect": (FAILED, LIMITS.losses),
    "not mined": (LATE, LIMITS.losses),
}


@pytest.mark.parametrize(("failure", "most"), FAILURES.values(), ids=FAILURES)
def test_an_applicant_fails_so_often_in_a_round(
    tmp_path: Path, failure: LedgerError, most: int
) -> None:
    tried: list[str] = []
    ledger = FakeLedger(failure=failure, before=tried.append)
    lanes = Lanes()
    lanes.begin(0, 1_000)
    sponsor = sponsor_at(tmp_path, ledger, lanes=lanes)
    for _ in range(most):
        with pytest.raises((Refused, TransactionPending)):
            done(sponsor.join(joining()))
    refused = refusal(sponsor.join(joining()))
    assert refused.status == HTTPStatus.TOO_MANY_REQUESTS
    assert STRANGER.address in refused.reason
    assert refused.retry_after == DAY - 1_000
    assert len(tried) == most

    ledger.failure = None
    lanes.begin(0, 2_000)
    assert refusal(sponsor.join(joining())).status == HTTPStatus.TOO_MANY_REQUESTS
    done(sponsor.join(joining(MEMBERS[1], controller=MEMBERS[1])))
    lanes.begin(1, 2_000)
    done(sponsor.join(joining()))


def test_a_proposer_may_try_longer(tmp_path: Path) -> None:
    """Without ether it has no other way, and its simulations run no account's code."""
    ledger = FakeLedger(failure=REFUSING)
    sponsor = sponsor_at(tmp_path, ledger)
    for _ in range(IN_TURN.refusals):
        assert refusal(sponsor.propose(proposing())).status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert refusal(sponsor.propose(proposing())).status == HTTPStatus.TOO_MANY_REQUESTS


def test_a_forger_does_not_use_up_an_applicants_budget(tmp_path: Path) -> None:
    sponsor = sponsor_at(tmp_path, FakeLedger())
    for _ in range(2 * LIMITS.refusals):
        refusal(sponsor.join(joining(MEMBERS[0])))
    done(sponsor.join(joining()))


def test_all_applicants_together_lose_so_much(tmp_path: Path) -> None:
    """Accounts cost nothing, so what each may lose bounds nothing."""
    lost: list[str] = []
    ledger = FakeLedger(failure=FAILED, before=lost.append)
    sponsor = sponsor_at(tmp_path, ledger, bond=Wei(5))
    people = [from_key(bytes([50 + n]) * 32) for n in range(LIMITS.all_losses + 2)]
    found = [refusal(sponsor.join(joining(by, controller=by))).status for by in people]
    mined, over = HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.TOO_MANY_REQUESTS
    assert found == [mined] * LIMITS.all_losses + [over] * 2
    assert len(lost) == LIMITS.all_losses
    ledger.failure = None
    done(sponsor.propose(proposing()))


def test_accounts_with_code_spend_a_budget_of_their_own(tmp_path: Path) -> None:
    """Only a simulation tells what becomes of them; of the others, the history tells nearly all."""
    people = [from_key(bytes([50 + n]) * 32) for n in range(LIMITS.all_losses)]
    coded = frozenset(by.address for by in people)
    sponsor = sponsor_at(tmp_path, ledger := FakeLedger(failure=FAILED, coded=coded))
    for by in people:
        refusal(sponsor.join(joining(by, controller=by)))
    ledger.failure = None
    refused = refusal(sponsor.join(joining(people[0], controller=people[0])))
    assert refused.status == HTTPStatus.TOO_MANY_REQUESTS
    assert "accounts with code" in refused.reason
    done(sponsor.join(joining()))


def test_sponsored_transactions_do_not_pile_up(tmp_path: Path) -> None:
    ledger = FakeLedger()
    people = [from_key(bytes([50 + n]) * 32) for n in range(5)]

    async def run() -> list[object]:
        sponsor = sponsor_at(tmp_path, ledger, lanes=Lanes(joins=3))
        work = [sponsor.join(joining(by, controller=by)) for by in people]
        return await asyncio.gather(*work, return_exceptions=True)

    refused = [found for found in asyncio.run(run()) if isinstance(found, Refused)]
    assert [(error.status, error.retry_after) for error in refused] == [
        (HTTPStatus.SERVICE_UNAVAILABLE, 1)
    ] * 2
    assert len(ledger.sent) == 3


def test_an_applicant_has_one_place(tmp_path: Path) -> None:
    ledger = FakeLedger()

    async def run() -> list[object]:
        sponsor = sponsor_at(tmp_path, ledger)
        work = [sponsor.join(joining()) for _ in range(3)]
        return await asyncio.gather(*work, return_exceptions=True)

    refused = [found for found in asyncio.run(run()) if isinstance(found, Refused)]
    assert [error.status for error in refused] == [HTTPStatus.TOO_MANY_REQUESTS] * 2
    assert len(ledger.sent) == 1


def test_a_lost_bond_is_the_last(tmp_path: Path) -> None:
    ledger = FakeLedger(bond=Wei(5))
    sponsor = sponsor_at(tmp_path, ledger, bond=Wei(5))
    turn = sponsor._desk.phase
    assert isinstance(turn, Proposing)
    sponsor._desk.see(Situation(0, replace(turn, lost=5, barred=True)))
    assert "lost a bond with a result of yours" in refusal(sponsor.propose(proposing())).reason
    sponsor._desk.see(Situation(0, replace(turn, lost=6)))
    refused = refusal(sponsor.propose(proposing()))
    assert refused.status == HTTPStatus.FORBIDDEN
    assert "has lost 6 wei with bonds and risks at most 10" in refused.reason
    assert ledger.sent == []
    sponsor._desk.see(Situation(0, replace(turn, lost=5)))
    done(sponsor.propose(proposing()))


def test_a_header_of_the_wrong_kind(tmp_path: Path) -> None:
    message = proposing().model_copy(update={"header": bytes(len(proposing().header))})
    with pytest.raises(MalformedRecord, match="is of another kind"):
        done(sponsor_at(tmp_path, FakeLedger()).propose(message))
