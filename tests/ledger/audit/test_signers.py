"""Who an event's outer call shows, for every kind of event that one account alone brings about."""

from collections.abc import Callable
from dataclasses import astuple, replace
from types import SimpleNamespace
from typing import cast

import pytest

from ledger import history as ev
from ledger.audit import signers
from ledger.causes import CAUSES, cause
from ledger.chain.accounts import from_key
from ledger.chain.calls import call
from ledger.committee import MOST_PLACES
from ledger.contracts import artifact
from ledger.headers import RESULT_TAG, Common, ResultHeader
from ledger.signatures import Domain, Proposal, Vote
from ledger.state import FederationState
from ledger.types import ZERO_DIGEST, Address, Digest, FederationId, RoundIndex
from tests.ledger.chain.samples import policy

LEDGER, OTHER = Address("0x" + "11" * 20), Address("0x" + "22" * 20)
ACTOR, ANOTHER = from_key(bytes([1] * 32)), from_key(bytes([2] * 32))
DOMAIN = Domain(1, LEDGER)
FEDERATION = FederationId(bytes([3] * 32))
POLICY = policy(1, LEDGER)
HEADER = ResultHeader(
    common=Common(RESULT_TAG, 1, LEDGER, FEDERATION, 2, ZERO_DIGEST),
    nodes=ZERO_DIGEST,
    weight=0,
    number=0,
    model_root=ZERO_DIGEST,
    model_digest=ZERO_DIGEST,
    utilities=ZERO_DIGEST,
    gain=0,
    values=ZERO_DIGEST,
    scores=0,
    payouts=ZERO_DIGEST,
    payout_total=0,
    stop=False,
)


def digest(number: int) -> Digest:
    return Digest(bytes([number] * 32))


def event(kind: type[ev.Event], data: bytes, /, **given: object) -> ev.Event:
    """Make an event whose transaction calls the contract itself."""
    meta = ev.EventMeta(5, bytes(32), 9, bytes(32), 0, ACTOR.address, data, LEDGER)
    return kind(meta=meta, federation=FEDERATION, h=ZERO_DIGEST, **given)


TARGET: dict[str, object] = {
    "kind": 1,
    "root": digest(5),
    "total": 0,
    "size": 1,
    "level": 0,
    "position": 7,
}
PLACE = {"result": digest(4), "attempt": 1, "challenge": 6}
CALLED: dict[str, ev.Event] = {
    "creation": event(
        ev.FederationCreated,
        call("createFederation", astuple(POLICY), digest(1), b""),
        creator=ACTOR.address,
        policy=POLICY.digest(),
        salt=digest(1),
        pool=POLICY.pool,
    ),
    "data set": event(
        ev.DatasetCommitted,
        call("commitDataset", FEDERATION, 0, digest(1), 9, 1, b""),
        participant=0,
        dataset=1,
        root=digest(1),
        rows=9,
    ),
    "erasure": event(
        ev.DatasetAmended,
        call("amendDataset", FEDERATION, 0, digest(1), 9, digest(2)),
        participant=0,
        dataset=1,
        root=digest(1),
        rows=9,
        erasure=digest(2),
    ),
    "batch": event(
        ev.BatchPosted,
        call("postBatch", FEDERATION, 2, digest(1), 3, digest(2)),
        round=2,
        root=digest(1),
        leaves=3,
        index=digest(2),
    ),
    "slice": event(
        ev.SliceOpened,
        call("openSlice", FEDERATION, 2, digest(1)),
        round=2,
        account=ACTOR.address,
        digest=digest(1),
    ),
    "proposal": event(
        ev.ResultProposed,
        call("proposeResult", FEDERATION, astuple(HEADER), digest(2), b""),
        round=2,
        attempt=0,
        proposer=ACTOR.address,
        signer=ACTOR.address,
        result=HEADER.digest(),
        index=digest(2),
        attest_deadline=1,
        challenge_deadline=2,
    ),
    "proof": event(
        ev.ProofCommitted,
        call("commitProof", FEDERATION, digest(4), digest(8)),
        **PLACE,
        challenger=ACTOR.address,
        commitment=digest(8),
    ),
    "proof after an answer": event(
        ev.ProofCommitted,
        call("recommitProof", FEDERATION, digest(4), 6, digest(8)),
        **PLACE,
        challenger=ACTOR.address,
        commitment=digest(8),
    ),
    "demand": event(
        ev.DemandOpened,
        call("demand", FEDERATION, digest(4), b"evidence"),
        **PLACE,
        challenger=ACTOR.address,
        **TARGET,
    ),
    "demand after an answer": event(
        ev.DemandOpened,
        call("redemand", FEDERATION, digest(4), 6, b"evidence"),
        **PLACE,
        challenger=ACTOR.address,
        **TARGET,
    ),
    "answer": event(
        ev.DemandAnswered,
        call("answer", FEDERATION, digest(4), 6, tuple(TARGET.values()), b"bytes"),
        **PLACE,
        answerer=ACTOR.address,
    ),
    "concession": event(
        ev.ChallengeConceded,
        call("concede", FEDERATION, digest(4), 6),
        **PLACE,
        fee=3,
    ),
    "proof of a result that stands": event(
        ev.ResultDisproved,
        call("openProof", FEDERATION, digest(4), 1, 6, b"\2proof", digest(8)),
        **PLACE,
        round=2,
        kind=2,
        propose_deadline=9,
    ),
    "proof of a result that fell": event(
        ev.FallenDisproved,
        call("openProof", FEDERATION, digest(4), 1, 6, b"\2proof", digest(8)),
        **PLACE,
        kind=2,
    ),
}
ANY: dict[str, ev.Event] = {
    "unanswered demand": event(
        ev.ResultDisproved,
        call("expireChallenge", FEDERATION, digest(4)),
        **PLACE,
        round=2,
        kind=0,
        propose_deadline=9,
    ),
    "challenge that ran out": event(
        ev.ChallengeFailed, call("expireChallenge", FEDERATION, digest(4)), **PLACE
    ),
    "commitment that was not opened": event(
        ev.ChallengeFailed, call("reclaimChallenge", FEDERATION, digest(4), 1, 6), **PLACE
    ),
}
"""What any account may bring about."""


def state() -> FederationState:
    """Give as much of a state as says who may act."""
    participant = SimpleNamespace(controller=ACTOR.address)
    relayed = SimpleNamespace(relay=ACTOR.address)
    by = {6: SimpleNamespace(challenger=ACTOR.address)}
    attempts = {(digest(4), 1): SimpleNamespace(challenges=SimpleNamespace(all=by))}
    return cast(
        FederationState,
        SimpleNamespace(
            participants=[participant],
            policy=relayed,
            proposal=lambda result, attempt: attempts[result, attempt],
        ),
    )


@pytest.mark.parametrize("name", CALLED)
def test_a_call_of_the_contract_shows_who_made_it(name: str) -> None:
    called = CALLED[name]
    assert signers.shown(called, DOMAIN) == {(ACTOR.address, True)}
    assert list(signers.entitled(called, state())) == [(ACTOR.address, True)]


@pytest.mark.parametrize("name", ANY)
def test_what_any_account_may_do_entitles_none(name: str) -> None:
    assert list(signers.entitled(ANY[name], state())) == []
    assert signers.shown(ANY[name], DOMAIN) == {(ACTOR.address, True)}


HIDDEN: dict[str, Callable[[ev.EventMeta], ev.EventMeta]] = {
    "to another contract": lambda meta: replace(meta, to=OTHER),
    "to no contract": lambda meta: replace(meta, to=None),
    "of no function": lambda meta: replace(meta, call=b"\1\2\3\4" + meta.call[4:]),
    "of another function": lambda meta: replace(meta, call=call("advance", FEDERATION)),
    "cut off": lambda meta: replace(meta, call=meta.call[:30]),
    "empty": lambda meta: replace(meta, call=b""),
    "of other arguments": lambda meta: replace(
        meta, call=meta.call[:67] + bytes([meta.call[67] ^ 1]) + meta.call[68:]
    ),
}


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("name", CALLED | ANY)
def test_what_is_not_the_events_call_shows_nobody(name: str, hidden: str) -> None:
    called = (CALLED | ANY)[name]
    assert signers.shown(replace(called, meta=HIDDEN[hidden](called.meta)), DOMAIN) is None


@pytest.mark.parametrize("by", [ACTOR, ANOTHER])
def test_a_proposal_shows_who_signed_it_not_who_sent_it(by: object) -> None:
    assert by in (ACTOR, ANOTHER)
    account = ACTOR if by is ACTOR else ANOTHER
    proposed = CALLED["proposal"]
    message = Proposal(FEDERATION, 2, 0, HEADER.digest(), digest(2))
    signature = DOMAIN.sign(account, message).full
    data = call("proposeResult", FEDERATION, astuple(HEADER), digest(2), signature)
    found = replace(proposed, meta=replace(proposed.meta, call=data, sender=OTHER))
    assert signers.shown(found, DOMAIN) == {(account.address, True)}
    empty = call("proposeResult", FEDERATION, astuple(HEADER), digest(2), b"short")
    assert signers.shown(replace(found, meta=replace(found.meta, call=empty)), DOMAIN) == set()


def test_every_cause_is_a_function_and_every_function_may_cause_the_rest() -> None:
    names = {e["name"] for e in artifact("Federations").abi if e["type"] == "function"}
    assert {name for causes in CAUSES.values() for name in causes} <= names
    opened = event(
        ev.RoundOpened,
        call("vote", FEDERATION, 1, 0, digest(1), 0, True),
        round=2,
        parent=digest(1),
        seats=2,
        commit_deadline=9,
    )
    assert cause(opened, LEDGER) == "vote"
    elsewhere = replace(opened, federation=FederationId(bytes(32)))
    assert cause(elsewhere, LEDGER) is None


# -- votes


def voted(function: str, *given: object, ballots: int) -> ev.Event:
    place = {"round": 2, "attempt": 1, "result": digest(4)}
    data = call(function, FEDERATION, *place.values(), 0, *given)
    return event(ev.Voted, data, **place, ballots=ballots)


@pytest.mark.parametrize("support", [True, False])
def test_a_vote_shows_who_called_and_for_what(support: bool) -> None:
    found = voted("vote", support, ballots=1 if support else 1 << MOST_PLACES)
    assert signers.shown(found, DOMAIN) == {(ACTOR.address, support)}


def test_posted_votes_show_who_signed_each_and_for_what() -> None:
    signed = []
    for account, support in ((ACTOR, False), (ANOTHER, True)):
        vote = Vote(FEDERATION, RoundIndex(2), 1, digest(4), support)
        signature = DOMAIN.sign(account, vote)
        signed.append((support, signature.r, signature.vs))
    found = voted("postVotes", signed, ballots=1 | 1 << MOST_PLACES)
    assert signers.shown(found, DOMAIN) == {(ACTOR.address, False), (ANOTHER.address, True)}
    turned = [(not support, r, vs) for support, r, vs in signed]
    others = signers.shown(voted("postVotes", turned, ballots=1), DOMAIN)
    assert others is not None
    assert not {account for account, _ in others} & {ACTOR.address, ANOTHER.address}
    garbled = voted("postVotes", [(True, bytes(32), bytes(32))], ballots=1)
    assert signers.shown(garbled, DOMAIN) == set()


def test_who_voted_is_read_from_places_of_the_committee() -> None:
    accounts = [SimpleNamespace(signer_in=lambda round_, n=n: f"{n} in {round_}") for n in range(4)]
    committee = SimpleNamespace(places=(3, 1, 0))
    rounds = {2: SimpleNamespace(proposal=SimpleNamespace(committee=committee))}
    known = cast(FederationState, SimpleNamespace(participants=accounts, rounds=rounds))
    found = voted("postVotes", [], ballots=0b001 | 0b110 << MOST_PLACES)
    voices = [(str(account), support) for account, support in signers.entitled(found, known)]
    assert voices == [("3 in 2", True), ("1 in 2", False), ("0 in 2", False)]


def test_a_consent_that_a_contract_may_have_given_shows_nobody() -> None:
    who = ACTOR.address
    application = (who, who, who, digest(1), bytes(32), digest(2), 9, 0)
    for consent, expected in ((b"signed", None), (b"", {(who, True)})):
        data = call("join", FEDERATION, application, b"", consent)
        fields = dict.fromkeys(("controller", "signer", "payout"), who)
        found = event(
            ev.ParticipantJoined,
            data,
            participant=0,
            **fields,
            identity=digest(1),
            key=bytes(32),
            dataset_root=digest(2),
            rows=9,
        )
        assert signers.shown(found, DOMAIN) == expected
        assert list(signers.entitled(found, state())) == [(who, True)]


def test_a_call_through_another_contract_has_no_caller() -> None:
    direct = CALLED["batch"]
    assert signers.caller(direct, DOMAIN) == ACTOR.address
    through = replace(direct, meta=replace(direct.meta, to=OTHER))
    assert signers.caller(through, DOMAIN) is None
