"""Who signed what an event says, as far as the outer call of its transaction shows it.

The contract has checked every signature and every caller before it wrote an event, and the audit
knows from its address and its accumulator that it is the published program. So what the outer call
does not show needs no second proof. What it shows must fit all the same: it comes from the node,
and is what a reader of the verdict would look at.
"""

from collections.abc import Iterator

from ledger import disputes
from ledger import history as ev
from ledger.causes import cause
from ledger.chain.calls import arguments
from ledger.committee import places
from ledger.errors import MalformedRecord
from ledger.signatures import Domain, Proposal, Signature, Vote
from ledger.state import FederationState
from ledger.types import Address, Digest

Voice = tuple[Address, bool]
"""An account, and whether it is for a result; all but votes are for what they say."""


def caller(event: ev.Event, domain: Domain) -> Address | None:
    """Give who called the contract; None where the contract was called by another contract."""
    return event.meta.sender if event.meta.to == domain.ledger else None


def entitled(event: ev.Event, state: FederationState) -> Iterator[Voice]:
    """Give who alone can have brought about an event; nothing where that is anybody's right."""
    match event:
        case ev.FederationCreated():
            yield event.creator, True
        case ev.ParticipantJoined():
            yield event.controller, True
        case (
            ev.ParticipantLeft()
            | ev.SignerRotated()
            | ev.KeyRegistered()
            | ev.DatasetCommitted()
            | ev.DatasetAmended()
        ):
            yield state.participants[event.participant].controller, True
        case ev.UpdateCommitted():
            yield state.participants[event.participant].signer_in(event.round), True
        case ev.BatchPosted():
            yield state.policy.relay, True
        case ev.SliceOpened():
            yield event.account, True
        case ev.ResultProposed():
            yield event.signer, True
        case ev.Voted():
            seats = state.rounds[event.round].proposal.committee.places
            for place, support in places(event.ballots):
                yield state.participants[seats[place]].signer_in(event.round), support
        case ev.ProofCommitted() | ev.DemandOpened():
            yield event.challenger, True
        case ev.DemandAnswered():
            yield event.answerer, True
        case ev.ChallengeConceded() | ev.FallenDisproved():
            yield _challenger(event, state), True
        case ev.ResultDisproved() if event.kind:
            # Kind 0 is a demand without an answer, which any account may end.
            yield _challenger(event, state), True


def _challenger(event: disputes.Event, state: FederationState) -> Address:
    """Give the account whose challenge it is, which these events do not name."""
    proposal = state.proposal(event.result, event.attempt)
    assert proposal is not None
    return proposal.challenges.all[event.challenge].challenger


def shown(event: ev.Event, domain: Domain) -> set[Voice] | None:
    """Give the accounts whose signatures an event's outer call shows; None if it shows none."""
    function, meta = cause(event, domain.ledger), event.meta
    called = arguments(function, meta.call) if function in _READ else ()
    if function is None or called is None:
        return None
    match event:
        case ev.Voted() if function == "postVotes":
            return _posted(event, called[-1], domain)
        case ev.Voted():
            return {(meta.sender, bool(called[-1]))}
        case ev.ResultProposed() if called[-1]:
            return _signed(event, called[-1], domain)
        case ev.ParticipantJoined() if called[-1]:
            # The controller's consent may be a contract's (ERC-1271), which no audit can run.
            return None
    return {(meta.sender, True)}


_READ = ("vote", "postVotes", "proposeResult", "join")
"""Functions whose last argument says who signed, or what."""


def _posted(event: ev.Voted, votes: list[tuple[bool, bytes, bytes]], domain: Domain) -> set[Voice]:
    found: set[Voice] = set()
    for support, r, vs in votes:
        vote = Vote(event.federation, event.round, event.attempt, event.result, support)
        account = domain.signer(vote, Signature(Digest(r), Digest(vs)))
        if account is not None:
            found.add((account, support))
    return found


def _signed(event: ev.ResultProposed, signature: bytes, domain: Domain) -> set[Voice]:
    message = Proposal(event.federation, event.round, event.attempt, event.result, event.index)
    try:
        account = domain.signer(message, Signature.of(signature))
    except MalformedRecord:
        return set()
    return set() if account is None else {(account, True)}
