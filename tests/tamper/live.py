"""A small federation on a real chain, from its creation to its payouts, all honest."""

import random
from collections.abc import Sequence

from ledger import artefacts, payouts
from ledger.audit.evidence import Evidence
from ledger.audit.sources import evidence_from_chain
from ledger.chain.accounts import Account
from ledger.chain.client import Chain
from ledger.chain.federations import (
    Ballot,
    Federations,
    Membership,
    PayoutProof,
)
from ledger.history import HistoryReader
from ledger.identity import identity_artefact, sign_identity
from ledger.payload import Payload, pad
from ledger.replica import Origin, Replica
from ledger.round import Outcome, compose
from ledger.signatures import Domain, Invitation
from ledger.state import Phase
from ledger.stores import Artefact, MemoryStore
from ledger.types import Address, Digest, ParticipantId, Wei
from tests.tamper.policies import Terms, draw, terms, training_update, update_of
from tests.tamper.world import Setting

MEMBERS = 3


def policy_terms() -> Terms:
    fixed: dict[str, object] = {
        "most": MEMBERS,
        "start": MEMBERS,
        "least": 1,
        "open": "false",
        "statistics": "false",
        "rounds": 2,
        "patience": 0,
        "mode": "public",
        "metric": "auc",
        "valuation": "exact",
        "every": 1,
        "pool": 10**18,
        "target": 1,
        "period": 0,
        "codes": "0, 1",
        "committee": 16,
    }
    return terms(draw(random.Random(1), **fixed))


class Live:
    """A federation of three on the embedded chain, from its creation to its first claim."""

    def __init__(self, on: Chain, ledger: Address, accounts: Sequence[Account]) -> None:
        self.creator, self.stranger, *self.members = accounts[: MEMBERS + 2]
        self.rng = random.Random(7)
        self.contract = self.reach(Federations(on, ledger))
        self.chain = on
        self.terms = policy_terms()
        self.setting = Setting.draw(self.rng, self.terms, chain_id=on.chain_id, ledger=ledger)
        self.rules = self.terms.rules(self.setting.header, self.setting.rows)
        self.store = MemoryStore()
        self.store.put(self.setting.artefact)
        salt = Digest(on.block_number().to_bytes(32, "big"))
        self.federation, _ = self.contract.create(self.creator, self.setting.header, salt=salt)
        reader = HistoryReader(on, ledger, self.federation)
        origin = Origin(on.chain_id, ledger, self.federation)
        self.replica = Replica(reader, self.store, origin=origin)
        self.outcomes: list[Outcome] = []
        for number, member in enumerate(self.members):
            self.join(member, rows=20 + 10 * number)

    def reach(self, contract: Federations) -> Federations:
        """Give the contract as the accounts call it."""
        return contract

    def member(self, who: Account, invitation: Invitation, signature: bytes) -> Membership:
        """Give what a participant joins with."""
        return Membership(
            who.address,
            who.address,
            invitation.identity,
            invitation.dataset_root,
            invitation.rows,
            expires=invitation.expires,
            invitation=signature,
        )

    def join(self, who: Account, *, rows: int) -> None:
        record = identity_artefact(sign_identity(who, f"Hospital {rows}"))
        self.store.put(record)
        invitation = Invitation(
            self.federation,
            who.address,
            record.roots[0].digest,
            Digest(bytes([rows] * 32)),
            rows=rows,
            expires=self.chain.now() + 1000,
        )
        domain = Domain(self.chain.chain_id, self.contract.address)
        signature = domain.sign(self.creator, invitation).full
        membership = self.member(who, invitation, signature)
        stake = Wei(self.setting.header.stake)
        self.contract.join(who, self.federation, membership, stake=stake)

    def round(self, *, arrival: Sequence[int] = range(MEMBERS)) -> None:
        """Commit in this order, publish, propose and vote, all honestly."""
        state = self.replica.refresh()
        round_ = state.round
        context = self.replica.context(round_)
        updates = [self.update(index) for index in range(MEMBERS)]
        for member in arrival:
            digest = updates[member][0]
            self.contract.commit_update(self.members[member], self.federation, round_.index, digest)
        for _, update in updates:
            self.store.put(update)
        self.replica.refresh()
        leaves = context.policy.leaves
        read = [artefacts.read_update(self.store, c.digest, leaves) for c in round_.commits]
        slots = self.replica.slots(round_, read)
        outcome = compose(context, self.replica.standing(), slots, self.rules)
        artefact, index = artefacts.result_artefact(outcome)
        self.store.put(artefact)
        turn = state.in_turn(round_)
        assert turn is not None
        proposer = self.members[turn.index]
        self.propose(proposer, outcome, index)
        self.outcomes.append(outcome)
        self.vote(Ballot(round_.index, 0, outcome.header.digest(), support=True))

    def propose(self, proposer: Account, outcome: Outcome, index: Digest) -> None:
        bond = Wei(self.setting.header.proposer_bond)
        self.contract.propose_result(proposer, outcome.header, index, bond=bond)

    def vote(self, ballot: Ballot) -> None:
        for member in self.members:
            if self.replica.refresh().phase is Phase.ATTEST:
                self.contract.vote(member, self.federation, ballot)

    def update(self, index: int) -> tuple[Digest, Artefact]:
        context = self.replica.context(self.replica.state.round)
        data = Payload(pad(training_update(self.rng, self.terms), context.policy.leaves))
        training = artefacts.record({"participant": index, "round": context.round})
        return update_of(context, index, data, training)

    def settle(self) -> None:
        waiting = self.replica.refresh().lineage[-1].proposal
        self.chain.wait_until(waiting.challenge_deadline)
        self.contract.advance(self.stranger, self.federation)

    def proof(self, *, more: int = 0) -> PayoutProof:
        """Give the proof of the largest payout; `more` claims more than the leaf says."""
        leaves = self.outcomes[-1].records.payouts
        leaf = max(leaves, key=lambda one: one.amount)
        assert leaf.amount > 0
        path = payouts.prove(leaves, leaf.index)
        amount = Wei(leaf.amount + more)
        return PayoutProof(ParticipantId(leaf.index), amount, path.hashes, path.sums)

    def evidence(self) -> Evidence:
        return evidence_from_chain(self.contract, self.federation, self.store)
