"""A site's way in without ether: what it would send it signs, and the policy's relay sends it, with
a stake or a bond of its own.
"""

import logging
from dataclasses import dataclass

from fednode.federation import Federation
from fednode.relay.carrier import margin, open_client
from fednode.relay.client import Patience, RelayClient
from fednode.relay.errors import RelayError
from fednode.relay.messages import SignedJoin, SignedProposal
from ledger.chain.accounts import Account
from ledger.chain.federations import Membership
from ledger.headers import ResultHeader
from ledger.proceedings import Round
from ledger.signatures import Join, Proposal
from ledger.types import Digest, ParticipantId

log = logging.getLogger("fednode")

MINED = Patience(answer=120.0, busy=600.0)
"""The relay answers when its transaction is mined, one after another."""


@dataclass(frozen=True, slots=True)
class Sponsored:
    """One account of a federation that the relay sends transactions for."""

    federation: Federation
    client: RelayClient

    def join(self, terms: Membership) -> ParticipantId:
        """Join with the account as the controller; RelayError if the relay does not see to it."""
        id_, account = self.federation.id, self.client.account
        key = Digest(terms.key)
        consent = Join(
            id_, terms.signer, terms.payout, terms.identity, key, terms.dataset_root, terms.rows
        )
        message = SignedJoin(
            federation=id_,
            controller=account.address,
            signer=terms.signer,
            payout=terms.payout,
            identity=terms.identity,
            key=key,
            dataset_root=terms.dataset_root,
            rows=terms.rows,
            expires=terms.expires,
            invitation=terms.invitation,
            consent=self.client.domain.sign(account, consent).compact,
        )
        try:
            self.client.join(message)
        except RelayError:
            # It may have been sent all the same, and only the answer was lost.
            if self._seat() is None:
                raise
        seat = self._seat()
        if seat is None:
            raise RelayError("the relay says that it sent the join, but the chain does not have it")
        return seat

    def _seat(self) -> ParticipantId | None:
        """Find the participant that the account controls, whatever the confirmations."""
        contract, id_ = self.federation.contract, self.federation.id
        for index in reversed(range(contract.view(id_).joined)):
            if contract.participant(id_, index).controller == self.client.account.address:
                return ParticipantId(index)
        return None

    def propose(self, round_: Round, header: ResultHeader, index: Digest) -> bool:
        """Have a result proposed whose turn it is; say whether the relay did."""
        id_ = self.federation.id
        content = Proposal(id_, round_.index, round_.attempt, header.digest(), index)
        message = SignedProposal(
            federation=id_,
            header=header.encode(),
            index=index,
            signature=self.client.domain.sign(self.client.account, content).compact,
        )
        window = self.federation.replica.policy.propose_window
        left = round_.propose_deadline - margin(window) - self.federation.chain.now()
        try:
            transaction = self.client.propose(message, within=left)
        except RelayError as error:
            log.warning("round %d: proposing ourselves: %s", round_.index, error)
            return False
        log.info("round %d: the relay proposed our result in %s", round_.index, transaction)
        return True


def sponsored(url: str, federation: Federation, account: Account) -> Sponsored:
    """Go through the relay that a federation's policy names."""
    return Sponsored(federation, open_client(url, federation, account, MINED))
