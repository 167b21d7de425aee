"""How what a participant signs gets to the chain: by its own transaction, or through others'."""

from typing import Protocol

from fednode.roles.role import attempt
from ledger.chain.accounts import Account
from ledger.chain.federations import Ballot, Federations
from ledger.proceedings import Round
from ledger.types import Digest, FederationId, ParticipantId


class Carrier(Protocol):
    """Brings commits and votes to the chain. Called again at every step until they are there."""

    def commit(self, round_: Round, participant: ParticipantId, digest: Digest) -> bool:
        """Do what is due for a commit to be in the round; say whether anything was done."""

    def vote(self, round_: Round, participant: ParticipantId, ballot: Ballot) -> bool:
        """Do what is due for a vote to be counted; say whether anything was done."""


class Direct:
    """Transactions of the participant's own."""

    def __init__(self, contract: Federations, federation: FederationId, account: Account) -> None:
        self._contract = contract
        self._federation = federation
        self._account = account

    def commit(self, round_: Round, participant: ParticipantId, digest: Digest) -> bool:
        """Commit, once."""
        if round_.committed(participant):
            return False
        return attempt(
            f"committed update {digest.hex()[:16]} to round {round_.index}",
            lambda: self._contract.commit_update(
                self._account, self._federation, round_.index, digest
            ),
        )

    def vote(self, round_: Round, participant: ParticipantId, ballot: Ballot) -> bool:
        """Vote, once."""
        if participant in round_.proposal.votes:
            return False
        return attempt(
            f"voted {'for' if ballot.support else 'against'} result {ballot.result.hex()[:16]}",
            lambda: self._contract.vote(self._account, self._federation, ballot),
        )
