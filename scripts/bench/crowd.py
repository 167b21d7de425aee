"""What a round with many participants costs the chain: gas from anvil's receipts.

    python scripts/bench/crowd.py --participants 100 1000 10000

All participants join through one relay and hold no ether. Their signed commits are one batch; the
committee's signed votes are one transaction. What is counted is everything that a round sends:
batch, the `advance` that closes the commits and settles the round before, proposal, and votes,
which accept and open the next round. What lies behind a digest does not change a round's gas, so
updates and results are made up.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from ledger import payouts, utilities
from ledger.chain.accounts import Account, new_account
from ledger.chain.federations import Ballot, Federations, Membership, deploy
from ledger.chain.types import Receipt
from ledger.committee import seat
from ledger.headers import RESULT_TAG, Common, Evaluation, ResultHeader, Valuation
from ledger.history import TOPIC_OF, SeedDrawn
from ledger.signatures import Domain, Join, Proposal, Vote
from ledger.types import ZERO_DIGEST, Digest, RoundIndex, Wei
from scripts.bench.engines import Engine, open_engine
from scripts.bench.gas import BOND, POOL, WINDOW, policy

SEATS = 16
FEE = POOL // 10_000
LIMIT = 600_000


@dataclass(frozen=True, slots=True)
class Cost:
    """Gas of the parts of one round."""

    participants: int
    join: int
    batch: int
    advance: int
    propose: int
    votes: int

    @property
    def round(self) -> int:
        """All that a round sends."""
        return self.batch + self.advance + self.propose + self.votes


class Crowd:
    """One federation of many, served by one relay."""

    def __init__(self, engine: Engine, size: int) -> None:
        self._chain = engine.chain
        self._jump = engine.jump
        self._relay = engine.creator
        self._contract = Federations(engine.chain, deploy(engine.chain, engine.creator))
        self._domain = Domain(engine.chain.chain_id, self._contract.address)
        header = replace(
            policy(engine.chain.chain_id, self._contract.address, open_=True),
            start_participants=size,
            max_participants=size,
            committee_size=SEATS,
            batch_window=5 * WINDOW,
            relay=self._relay.address,
            stake=Wei(0),
            proposer_fee=FEE,
            attester_fee=FEE // SEATS,
            relay_fee=FEE,
            valuation=Valuation.NONE,
            evaluation=Evaluation.PUBLIC,
            reward_period=0,
        )
        self._federation, _ = self._contract.create(engine.creator, header)
        self._members = [new_account() for _ in range(size)]
        self._join = max(self._enter(member).gas_used for member in self._members)
        self._parent = ZERO_DIGEST

    def play(self, rounds: int) -> Cost:
        """Play rounds and give the dearest one's parts, once every word that a round touches was
        written before.
        """
        played = [self._round(RoundIndex(number)) for number in range(rounds)]
        return max(played[2:], key=lambda cost: cost.round)

    def _enter(self, member: Account) -> Receipt:
        identity = Digest(sha256(member.address.encode()).digest())
        consent = Join(
            federation=self._federation,
            signer=member.address,
            payout=member.address,
            identity=identity,
            key=ZERO_DIGEST,
            dataset_root=identity,
            rows=100,
        )
        membership = Membership(
            signer=member.address,
            payout=member.address,
            identity=identity,
            dataset_root=identity,
            rows=100,
            controller=member.address,
            consent=self._domain.sign(member, consent).full,
        )
        return self._contract.join(self._relay, self._federation, membership, stake=Wei(0))[1]

    def _round(self, number: RoundIndex) -> Cost:
        contract, relay, federation = self._contract, self._relay, self._federation
        root = Digest(sha256(bytes([number])).digest())
        size = len(self._members)
        batch = contract.post_batch(relay, federation, number, root=root, leaves=size, index=root)
        topic = TOPIC_OF[SeedDrawn]
        seeds = [log.data[32:64] for log in batch.logs if log.topics[0] == topic]
        self._jump(contract.view(federation).deadline)
        advance = contract.advance(relay, federation)
        header = self._header(number)
        self._jump(self._chain.now() + WINDOW)
        turn = self._members[number % size]
        propose = self._propose(turn, header, root)
        votes = self._vote(header, seeds[0] if seeds else ZERO_DIGEST)
        self._parent = header.digest()
        return Cost(
            participants=size,
            join=self._join,
            batch=batch.gas_used,
            advance=advance.gas_used,
            propose=propose.gas_used,
            votes=votes.gas_used,
        )

    def _header(self, number: RoundIndex) -> ResultHeader:
        size = len(self._members)
        values = payouts.values_tree(payouts.value_leaves((0,) * size, (0,) * size)).root
        paid = payouts.payouts_tree(payouts.payout_leaves((0,) * size)).root
        made_up = Digest(sha256(b"result" + bytes([number])).digest())
        place = (self._chain.chain_id, self._contract.address, self._federation)
        return ResultHeader(
            common=Common(RESULT_TAG, *place, number, self._parent),
            nodes=made_up,
            weight=size,
            number=size,
            model_root=made_up,
            model_digest=made_up,
            utilities=utilities.root(()),
            gain=0,
            values=values.hash,
            scores=values.sum,
            payouts=paid.hash,
            payout_total=paid.sum,
            stop=False,
        )

    def _propose(self, turn: Account, header: ResultHeader, index: Digest) -> Receipt:
        proposal = Proposal(self._federation, header.common.round, 0, header.digest(), index)
        signature = self._domain.sign(turn, proposal).full
        return self._contract.propose_result(
            self._relay, header, index, bond=BOND, signature=signature
        )

    def _vote(self, header: ResultHeader, seed: bytes) -> Receipt:
        number = RoundIndex(header.common.round)
        places = seat(seed, len(self._members), SEATS, lambda _: True).places
        vote = Vote(self._federation, number, 0, header.digest(), True)
        signed = [(True, self._domain.sign(self._members[place], vote)) for place in places]
        ballot = Ballot(number, 0, header.digest(), True)
        return self._contract.post_votes(self._relay, self._federation, ballot, signed)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="crowd", description="What a large round costs.")
    parser.add_argument("--participants", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--engine", choices=("anvil", "embedded"), default="anvil")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    costs = []
    for size in options.participants:
        with open_engine(options.engine, members=0) as engine:
            costs.append(Crowd(engine, size).play(3))
    if options.json:
        parts = Cost.__slots__
        lines = [{part: getattr(c, part) for part in (*parts, "round")} for c in costs]
        print(json.dumps(lines, indent=2))
        return 0
    names = ("join", "batch", "advance", "propose", "votes", "round")
    print(f"{'n':>7}" + "".join(f"{name:>10}" for name in names))
    for c in costs:
        print(f"{c.participants:>7}" + "".join(f"{getattr(c, name):>10,}" for name in names))
    print(f"a round needs at most {max(c.round for c in costs):,} gas; the limit is {LIMIT:,}")
    return 0 if all(c.round <= LIMIT for c in costs) else 1


if __name__ == "__main__":
    sys.exit(main())
