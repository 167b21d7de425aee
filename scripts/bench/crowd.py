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
from dataclasses import dataclass
from hashlib import sha256

from ledger import payouts, utilities
from ledger.chain.federations import Federations, deploy
from ledger.headers import RESULT_TAG, Common, ResultHeader
from ledger.types import ZERO_DIGEST, Digest, RoundIndex
from scripts.bench.engines import Engine, open_engine
from scripts.bench.gas import WINDOW
from scripts.bench.relayed import Relayed, relayed_policy

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
        contract = Federations(engine.chain, deploy(engine.chain, engine.creator))
        header = relayed_policy(engine, contract.address, size)
        federation, _ = contract.create(engine.creator, header)
        self._engine = engine
        self._all = Relayed(engine, contract, federation, header)
        self._parent = ZERO_DIGEST

    def play(self, rounds: int) -> Cost:
        """Play rounds and give the dearest one's parts, once every word that a round touches was
        written before.
        """
        played = [self._round(RoundIndex(number)) for number in range(rounds)]
        return max(played[2:], key=lambda cost: cost.round)

    def _round(self, number: RoundIndex) -> Cost:
        root = Digest(sha256(bytes([number])).digest())
        batch = self._all.batch(number, root=root, index=root)
        advance = self._all.close()
        header = self._header(number)
        self._engine.jump(self._engine.chain.now() + WINDOW)
        propose = self._all.propose(header, root)
        votes = self._all.vote(header)
        self._parent = header.digest()
        return Cost(
            participants=len(self._all.members),
            join=self._all.joined,
            batch=batch.gas_used,
            advance=advance.gas_used,
            propose=propose.gas_used,
            votes=votes.gas_used,
        )

    def _header(self, number: RoundIndex) -> ResultHeader:
        size = len(self._all.members)
        values = payouts.values_tree(payouts.value_leaves((0,) * size, (0,) * size)).root
        paid = payouts.payouts_tree(payouts.payout_leaves((0,) * size)).root
        made_up = Digest(sha256(b"result" + bytes([number])).digest())
        place = (self._engine.chain.chain_id, self._all.contract.address, self._all.id)
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
