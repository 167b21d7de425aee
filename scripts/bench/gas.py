"""Gas of every entry point, from the receipts of one scripted federation of ten.

Gas does not depend on what lies behind a digest, so the updates here are made up; headers, trees of
payouts, signatures and proofs are real. First, middle and last callers differ: the first one
touches fresh storage, the last one closes the phase in the same transaction.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count

import incentives.rewards
from ledger import payouts, utilities
from ledger.chain.accounts import Account, new_account
from ledger.chain.federations import (
    Ballot,
    Federations,
    Membership,
    PayoutProof,
    deploy,
)
from ledger.chain.types import Receipt
from ledger.headers import (
    POLICY_TAG,
    RESULT_TAG,
    Common,
    Evaluation,
    PolicyHeader,
    ResultHeader,
    Rule,
    Valuation,
    Visibility,
)
from ledger.signatures import Domain, Invitation
from ledger.types import (
    ZERO_ADDRESS,
    ZERO_DIGEST,
    Address,
    Digest,
    FederationId,
    ParticipantId,
    RoundIndex,
    Wei,
)
from scripts.bench.engines import ETHER, Engine

MEMBERS = 10
ROUNDS = 3
WINDOW = 3600
IDLE = 100 * WINDOW
STAKE = Wei(ETHER // 10)
BOND = Wei(ETHER // 100)
POOL = ETHER
TARGET = 400_000
GAIN = 100_000
NO_FEDERATION = FederationId(bytes(32))


@dataclass(frozen=True, slots=True)
class GasLine:
    """What one call of an entry point used."""

    entry: str
    case: str
    gas: int
    bytes: int


@dataclass(slots=True)
class Meter:
    """Collects receipts as lines."""

    engine: Engine
    lines: list[GasLine] = field(default_factory=list)

    def note(self, entry: str, case: str, receipt: Receipt) -> None:
        sent = self.engine.chain.transaction(receipt.transaction)
        size = 0 if sent is None else len(sent.raw or sent.data)
        self.lines.append(GasLine(entry, case, receipt.gas_used, size))


def measure_gas(engine: Engine) -> list[GasLine]:
    """Play a federation of ten through three rounds, and one that comes to nothing."""
    meter = Meter(engine)
    address = deploy(engine.chain, engine.creator)
    deployed = engine.chain.block(engine.chain.block_number())
    if deployed is not None:
        meter.note("deploy", "the contract, once for all", engine.chain.receipts(deployed.hash)[-1])
    contract = Federations(engine.chain, address)
    _Story(meter, contract).play()
    _stranded(meter, contract)
    return meter.lines


class _Story:
    """Three rounds of ten: as it should be, with a change of members, with a missed turn."""

    def __init__(self, meter: Meter, contract: Federations) -> None:
        self._meter = meter
        self._engine = meter.engine
        self._contract = contract
        self._members = self._engine.members(MEMBERS)
        self._signers = list(self._members)
        self._digests = (Digest(sha256(bytes([7, n])).digest()) for n in count())
        self._parent = ZERO_DIGEST
        self._paid = [0] * MEMBERS
        header = policy(self._engine.chain.chain_id, contract.address)
        self._federation, receipt = contract.create(self._engine.creator, header)
        meter.note("createFederation", "pool in ether", receipt)

    def play(self) -> None:
        self._join()
        self._commit(0, noted=True)
        self._result(0)
        self._settle("a result")
        self._claim("first of a participant", 0)
        self._changes()
        self._commit(1)
        self._result(1)
        self._settle("the next result")
        self._claim("again by the same participant", 0)
        self._late_round()
        self._leave_with_money()

    # -- members

    def _join(self) -> None:
        cases = {0: "first", MEMBERS // 2: "middle", MEMBERS - 1: "last, opens round 0"}
        for place, account in enumerate(self._members):
            invitation = self._invitation(account)
            membership = Membership(
                signer=account.address,
                payout=account.address,
                identity=invitation.identity,
                dataset_root=invitation.dataset_root,
                rows=invitation.rows,
                expires=invitation.expires,
                invitation=self._signed(invitation),
            )
            _, receipt = self._contract.join(account, self._federation, membership, stake=STAKE)
            if place in cases:
                self._meter.note("join", f"by invitation, {cases[place]}", receipt)

    def _changes(self) -> None:
        """Change a data set and a key between two rounds."""
        account = self._members[-1]
        invitation = self._invitation(account, dataset=1)
        receipt = self._contract.commit_dataset(
            account,
            invitation,
            participant=ParticipantId(MEMBERS - 1),
            signature=self._signed(invitation),
        )
        self._meter.note("commitDataset", "by invitation", receipt)
        receipt = self._contract.checkpoint(account, self._federation)
        self._meter.note("checkpoint", "", receipt)

    def _invitation(self, account: Account, *, dataset: int = 0) -> Invitation:
        return Invitation(
            self._federation,
            account.address,
            identity=Digest(sha256(account.address.encode()).digest()),
            dataset_root=next(self._digests),
            rows=600,
            expires=self._engine.chain.now() + WINDOW,
            dataset=dataset,
        )

    def _signed(self, invitation: Invitation) -> bytes:
        domain = Domain(self._engine.chain.chain_id, self._contract.address)
        return domain.sign(self._engine.creator, invitation).full

    # -- rounds

    def _commit(self, round_: int, *, noted: bool = False, absent: int = 0) -> None:
        present = MEMBERS - absent
        cases = {0: "first", present // 2: "middle"}
        if not absent:
            cases[present - 1] = "last, closes the phase"
        for place, account in enumerate(self._members[:present]):
            receipt = self._contract.commit_update(
                account, self._federation, RoundIndex(round_), next(self._digests)
            )
            if noted and place in cases:
                self._meter.note("commitUpdate", cases[place], receipt)

    def _result(self, round_: int, *, late: int | None = None) -> None:
        """Propose a round's result and vote for it until it is accepted; `late` proposes where the
        first in turn did not.
        """
        number = MEMBERS if late is None else MEMBERS - 1
        header, self._paid = self._header(round_, number)
        place = round_ if late is None else late
        receipt = self._contract.propose_result(
            self._members[place], header, next(self._digests), bond=BOND
        )
        if round_ != 1:
            case = "in turn" if late is None else "after a missed turn"
            self._meter.note("proposeResult", case, receipt)
        self._vote(round_, header.digest(), int(late is not None))
        self._parent = header.digest()

    def _vote(self, round_: int, result: Digest, attempt: int) -> None:
        quorum = 6
        ballot = Ballot(RoundIndex(round_), attempt, result, support=True)
        last = round_ == ROUNDS - 1
        deciding = "deciding, ends the federation" if last else "deciding, opens the next round"
        cases = {quorum - 1: deciding, **({} if round_ else {0: "first", 2: "middle"})}
        for place, account in enumerate(self._members[:quorum]):
            receipt = self._contract.vote(account, self._federation, ballot)
            if place in cases and round_ != 1:
                self._meter.note("vote", cases[place], receipt)

    def _late_round(self) -> None:
        """Play a round in which one commits nothing and the proposer misses its turn."""
        account, leaver = self._members[-1], ParticipantId(MEMBERS - 1)
        signer = new_account().address
        receipt = self._contract.rotate_signer(account, self._federation, leaver, signer)
        self._meter.note("rotateSigner", "", receipt)
        receipt = self._contract.leave(account, self._federation, leaver)
        self._meter.note("leave", "", receipt)
        self._commit(2, absent=1)
        self._advance("closes the commit phase")
        self._advance("passes a missed turn")
        self._result(2, late=4)

    def _header(self, round_: int, number: int) -> tuple[ResultHeader, list[int]]:
        """Make the header of a result that gains a quarter of the target."""
        scores = [1] * MEMBERS
        base = sum(self._paid)
        amount = incentives.rewards.released(
            POOL, base, gain=GAIN, target=TARGET, scores=sum(scores)
        )
        paid = incentives.rewards.payouts(self._paid, amount, scores)
        values = payouts.values_tree(payouts.value_leaves(scores, scores)).root
        owed = payouts.payouts_tree(payouts.payout_leaves(paid)).root
        header = ResultHeader(
            common=Common(
                tag=RESULT_TAG,
                chain_id=self._engine.chain.chain_id,
                ledger=self._contract.address,
                federation=self._federation,
                round=round_,
                parent=self._parent,
            ),
            nodes=next(self._digests),
            weight=600 * number,
            number=number,
            model_root=next(self._digests),
            model_digest=next(self._digests),
            utilities=utilities.root([0, GAIN]),
            gain=GAIN,
            values=values.hash,
            scores=values.sum,
            payouts=owed.hash,
            payout_total=owed.sum,
            stop=False,
        )
        return header, paid

    # -- time and money

    def _advance(self, case: str) -> None:
        self._engine.jump(self._contract.view(self._federation).deadline)
        receipt = self._contract.advance(self._engine.creator, self._federation)
        self._meter.note("advance", case, receipt)

    def _settle(self, case: str) -> None:
        """Let the challenge window end; the commit window is longer, so nothing else is due."""
        self._engine.jump(self._engine.chain.now() + WINDOW + 2)
        receipt = self._contract.advance(self._engine.creator, self._federation)
        self._meter.note("advance", f"settles {case}", receipt)

    def _claim(self, case: str, participant: int) -> None:
        leaves = payouts.payout_leaves(self._paid)
        path = payouts.prove(leaves, participant)
        proof = PayoutProof(
            ParticipantId(participant), Wei(leaves[participant].amount), path.hashes, path.sums
        )
        receipt = self._contract.claim(
            self._members[participant], self._federation, [proof], leaves=len(leaves)
        )
        self._meter.note("claim", case, receipt)

    def _leave_with_money(self) -> None:
        self._settle("the last result")
        self._claim("first of the last participant", MEMBERS - 1)
        creator = self._engine.creator
        self._meter.note("refund", "", self._contract.refund(creator, self._federation))
        receipt = self._contract.withdraw_stake(
            self._members[1], self._federation, ParticipantId(1)
        )
        self._meter.note("withdrawStake", "", receipt)
        receipt = self._contract.withdraw(
            self._members[0], self._federation, self._members[0].address
        )
        self._meter.note("withdraw", "", receipt)


def _stranded(meter: Meter, contract: Federations) -> None:
    """Play a federation in which nobody commits: so its pool goes back."""
    engine = meter.engine
    header = policy(engine.chain.chain_id, contract.address, open_=True)
    federation, _ = contract.create(engine.creator, header)
    for place, account in enumerate(engine.members(MEMBERS)):
        membership = Membership(account.address, account.address, ZERO_DIGEST, ZERO_DIGEST, 1)
        _, receipt = contract.join(account, federation, membership, stake=STAKE)
        if place == 1:
            meter.note("join", "an open federation, second", receipt)
    engine.jump(contract.view(federation).deadline)
    meter.note("advance", "voids a round", contract.advance(engine.creator, federation))
    engine.jump(engine.chain.now() + IDLE)
    meter.note("close", "an idle federation", contract.close(engine.creator, federation))
    contract.refund(engine.creator, federation)


def policy(chain_id: int, ledger: Address, *, open_: bool = False) -> PolicyHeader:
    """Give the policy's header: ten participants, a period a round, a quarter of the pool each."""
    return PolicyHeader(
        common=Common(POLICY_TAG, chain_id, ledger, NO_FEDERATION, 0, ZERO_DIGEST),
        ancestor=NO_FEDERATION,
        initial_model_root=Digest(bytes(31) + b"\1"),
        rest=Digest(bytes(31) + b"\2"),
        rule=Rule.WEIGHTED_MEAN,
        rule_parameters=ZERO_DIGEST,
        leaves=204,
        coordinates=204 * 256,
        bound=1 << 24,
        weight_cap=1000,
        start_participants=MEMBERS,
        max_participants=MEMBERS,
        least_updates=5,
        open=open_,
        statistics=0,
        committee_size=16,
        quorum_bps=6000,
        attempts=3,
        commit_window=10 * WINDOW,
        reveal_window=WINDOW,
        propose_window=WINDOW,
        attest_window=WINDOW,
        challenge_window=WINDOW + 1,
        idle_window=IDLE,
        batch_window=0,
        unbonding_window=0,
        answer_window=WINDOW,
        relay=ZERO_ADDRESS,
        stake=STAKE,
        proposer_bond=BOND,
        challenge_bond=0,
        proposer_fee=0,
        attester_fee=0,
        relay_fee=0,
        unavailable_fee=0,
        rejection_fee=0,
        rounds=ROUNDS,
        reward_period=1,
        token=ZERO_ADDRESS,
        pool=POOL,
        target=TARGET,
        value_exponent=1,
        scale_exponent=0,
        valuation=Valuation.EXACT,
        valuation_every=1,
        visibility=Visibility.PUBLIC,
        evaluation=Evaluation.PUBLIC,
        staleness=0,
    )
