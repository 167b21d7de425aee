"""Who signed what an event says: the transaction itself, or a message that somebody else posted."""

from ledger import history as ev
from ledger.chain.calls import arguments
from ledger.errors import MalformedRecord
from ledger.signatures import Domain, Message, Proposal, Signature, Vote
from ledger.types import Address, Digest

Voice = tuple[Address, bool]
"""An account, and whether it is for a result."""


def proposer(event: ev.ResultProposed, domain: Domain) -> Address | None:
    """Give who signed a proposal that another account paid for; None where the transaction does
    not show it.
    """
    called = arguments("proposeResult", event.meta.call)
    if called is None:
        return None
    message = Proposal(event.federation, event.round, event.attempt, event.result, event.index)
    return _signer(domain, message, called[-1])


def voices(event: ev.Voted, domain: Domain) -> set[Voice] | None:
    """Give the votes that were signed off the chain and posted together; None where the transaction
    does not show them.
    """
    called = arguments("postVotes", event.meta.call)
    if called is None:
        return None
    found: set[Voice] = set()
    for support, r, vs in called[-1]:
        vote = Vote(event.federation, event.round, event.attempt, event.result, support)
        account = domain.signer(vote, Signature(Digest(r), Digest(vs)))
        if account is not None:
            found.add((account, support))
    return found


def _signer(domain: Domain, message: Message, signature: bytes) -> Address | None:
    try:
        return domain.signer(message, Signature.of(signature))
    except MalformedRecord:
        return None
