"""What a sponsor pays for, and for whom."""

import asyncio
from collections.abc import Awaitable
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

import pytest

from fednode.relay.errors import Refused
from fednode.relay.messages import SignedJoin, SignedProposal
from fednode.relay.sender import Sender
from fednode.relay.situation import Application, Proposing, SignedResult, Situation
from fednode.relay.sponsor import MOST_WAITING, Allowance, Sponsor
from ledger.chain.accounts import Account
from ledger.errors import MalformedRecord
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
) -> Sponsor:
    address = None if signer is None else signer.address
    desk = desk_at(folder, Proposing(RoundIndex(0), 1, address))
    return Sponsor(ledger, desk, Sender(), Allowance(stake, bond))


def joining(
    by: Account = STRANGER, *, federation: FederationId = FEDERATION, rows: int = 5
) -> SignedJoin:
    join = Join(
        federation, STRANGER.address, STRANGER.address, digest(1), digest(2), digest(3), rows
    )
    return SignedJoin(
        federation=federation,
        controller=STRANGER.address,
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


def test_sponsored_transactions_do_not_pile_up(tmp_path: Path) -> None:
    ledger = FakeLedger()

    async def run() -> list[object]:
        sponsor = sponsor_at(tmp_path, ledger)
        return await asyncio.gather(
            *(sponsor.join(joining()) for _ in range(MOST_WAITING + 2)), return_exceptions=True
        )

    refused = [found for found in asyncio.run(run()) if isinstance(found, Refused)]
    assert [(error.status, error.retry_after) for error in refused] == [
        (HTTPStatus.SERVICE_UNAVAILABLE, 1)
    ] * 2
    assert len(ledger.sent) == MOST_WAITING


def test_a_header_of_the_wrong_kind(tmp_path: Path) -> None:
    message = proposing().model_copy(update={"header": bytes(len(proposing().header))})
    with pytest.raises(MalformedRecord, match="is of another kind"):
        done(sponsor_at(tmp_path, FakeLedger()).propose(message))
