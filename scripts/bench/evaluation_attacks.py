"""What it pays to cheat the evaluation: attacks on public rows, slices and shards, and their gain.

    python scripts/bench/evaluation_attacks.py [--splits 5] [--rounds 6] [--json]

Five sites read scikit-learn's digits. Rounds are played by the product's own `compose`, with local
training by its own SGD; only the chain is left out. Site 0 attacks; everything else is equal.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, stdev

import numpy as np

from fednode.data.evaluation_set import EvaluationSet
from fednode.data.salted import SaltedRows
from fednode.evaluation import shards
from fednode.evaluation.evaluator import Evaluator, open_evaluator
from fednode.evaluation.metrics import LabelledRows
from fednode.evaluation.shards import Counts
from fednode.evaluation.slices import Slices, cut
from fednode.policy import Policy, built_in
from fednode.roles.counting import coalition_counts, left_out
from fednode.rounds import FederationRules
from fednode.site import evaluation_rows, load_site, open_sites, slice_rows
from fednode.training.run import LocalRun
from fednode.training.task import layout_of, open_task, train
from ledger import cbor, payload
from ledger.nodes import counted
from ledger.payload import Payload
from ledger.replica import first_standing
from ledger.round import (
    Int32,
    Outcome,
    Players,
    Published,
    RoundContext,
    Seat,
    Slot,
    Standing,
    compose,
    follow,
)
from ledger.types import ZERO_ADDRESS, ZERO_DIGEST, Digest, FederationId, RoundIndex

SITES = 5
ROWS = 300
POOL = 10**9
NOWHERE = FederationId(bytes(32))
ATTACKER, FRIEND = 0, 1

Lie = Callable[[Counts, "Shard"], Counts | None]


@dataclass(frozen=True, slots=True)
class Shard:
    """What a liar knows when it counts: the coalitions' places, and where its friend is in them."""

    coalitions: Sequence[int]
    friend: int
    most_rows: int


def honest(counts: Counts, shard: Shard) -> Counts | None:
    """Tell the truth."""
    return counts


def silent(counts: Counts, shard: Shard) -> Counts | None:
    """Count nothing."""
    return None


def see_nothing(counts: Counts, shard: Shard) -> Counts | None:
    """Say that the others changed nothing."""
    return replace(counts, counts=counts.counts[:1] * len(counts.counts))


def run_down(counts: Counts, shard: Shard) -> Counts | None:
    """Say that everything was right before the others, and nothing with any of them."""
    return replace(counts, counts=(counts.total, *(0 for _ in counts.counts[1:])))


def run_down_larger(counts: Counts, shard: Shard) -> Counts | None:
    """Say so of a shard as large as the policy allows."""
    return run_down(replace(counts, cells=(shard.most_rows,)), shard)


def praise(counts: Counts, shard: Shard) -> Counts | None:
    """Say that nothing was right before the others, and everything with any of them."""
    return replace(counts, counts=(0, *(counts.total for _ in counts.counts[1:])))


def favour(counts: Counts, shard: Shard) -> Counts | None:
    """Say that everything was right with a friend, and nothing without."""
    told = tuple(counts.total * (mask >> shard.friend & 1) for mask in shard.coalitions)
    return replace(counts, counts=told)


@dataclass(frozen=True, slots=True)
class Attack:
    """One way to cheat in one mode. `trains`: also on the evaluation rows that it has seen."""

    name: str
    mode: str
    trains: bool = False
    lie: Lie = honest
    cap: int = 1


ATTACKS = (
    Attack("trains on the evaluation rows", "public", trains=True),
    Attack("trains on the slices seen so far", "slices", trains=True),
    Attack("trains on its own shard", "shards", trains=True),
    Attack("keeps silent about its shard", "shards", lie=silent),
    Attack("sees nothing in the others", "shards", lie=see_nothing),
    Attack("runs the others down", "shards", lie=run_down),
    Attack("so, of twice as many rows", "shards", lie=run_down_larger, cap=2),
    Attack("praises the others", "shards", lie=praise),
    Attack("favours a friend", "shards", lie=favour),
)


@dataclass(frozen=True, slots=True)
class Paid:
    """What everybody was paid, in percent of the pool."""

    payouts: tuple[float, ...]

    @property
    def released(self) -> float:
        """What was paid in all."""
        return sum(self.payouts)

    @property
    def friends(self) -> float:
        """What the attacker and its friend were paid together."""
        return self.payouts[ATTACKER] + self.payouts[FRIEND]


@dataclass
class Play:
    """One federation in this process; `attack` is what site 0 does, or nothing."""

    policy: Policy
    attack: Attack | None

    def __post_init__(self) -> None:
        policy, source = self.policy, open_sites(self.policy, public_rows=True)
        self.task = open_task(policy.model_spec)
        self.layout = layout_of(self.task)
        self.header = policy.header(
            0, ZERO_ADDRESS, initial_model_root=ZERO_DIGEST, rest=ZERO_DIGEST
        )
        sites = [load_site(policy, source, name) for name in source.sites]
        self.tables = [site.train for site in sites]
        self.held = [site.shard for site in sites]
        self.public = evaluation_rows(policy, source)
        self.slices: Slices | None = None
        if policy.evaluation.mode == "slices":
            self.slices = cut(SaltedRows.draw(slice_rows(policy, source), bytes(32)), policy.slices)
        self.seen = [rows for rows in (self.public, self.held[ATTACKER]) if rows is not None]

    def paid(self) -> Paid:
        """Play all rounds; give what everybody would be paid at the end."""
        start = self.layout.pack(self.task.initial(self.policy.training.seed))
        model = payload.int32(payload.pad(start, self.layout.leaves))
        standing = replace(first_standing(), model=model)
        before, players = model, Players((), (), ())
        parent = ZERO_DIGEST
        for number in range(self.policy.training.rounds):
            context = self._context(number, parent)
            rules = FederationRules(self.policy, self.header, self._evaluator(number))
            updates = [self._update(standing.model, number, place) for place in range(SITES)]
            reports = self._reports(rules, standing, before, players, parent)
            slots = [
                self._slot(context, place, update, reports.get(place))
                for place, update in enumerate(updates)
            ]
            outcome = compose(context, standing, slots, rules)
            before = standing.model
            players = Players(tuple(range(SITES)), tuple(updates), (1,) * SITES)
            standing, parent = self._followed(standing, outcome), outcome.header.digest()
            if self.slices is not None:
                self.seen.append(self.slices.parts[number].rows)
        amounts = (leaf.amount for leaf in outcome.records.payouts)
        return Paid(tuple(100 * amount / POOL for amount in amounts))

    def _followed(self, standing: Standing, outcome: Outcome) -> Standing:
        return follow(
            standing,
            outcome.records,
            outcome.model,
            trained=standing.trained + 1,
            ends_period=False,
            players=tuple(entry.participant for entry in counted(outcome.levels)),
        )

    def _context(self, number: int, parent: Digest) -> RoundContext:
        seats = (Seat(weight=1, scale=1, dataset=0),) * SITES
        return RoundContext(
            0, ZERO_ADDRESS, NOWHERE, self.header, RoundIndex(number), parent, seats, (parent,)
        )

    def _evaluator(self, number: int) -> Evaluator | None:
        rows = self.public if self.slices is None else self.slices.parts[number].rows
        return None if rows is None else self._measuring(rows)

    def _measuring(self, rows: EvaluationSet) -> Evaluator:
        return open_evaluator(
            self.task,
            self.layout,
            schema=self.policy.schema,
            rows=rows,
            metric=self.policy.evaluation.metric,
        )

    def _update(self, model: Int32, number: int, place: int) -> Int32:
        table = self.tables[place]
        rows = LabelledRows(table.features, table.labels, table.groups)
        if self.attack is not None and self.attack.trains and place == ATTACKER:
            rows = _joined(rows, self.seen)
        run = LocalRun(self.policy.training.spec, self.policy.training.seed, number, place)
        fitted = train(self.task, self.layout.unpack(model), rows, run)
        update = self.layout.pack_update(fitted.update)
        return payload.int32(payload.pad(update, self.layout.leaves))

    def _reports(
        self,
        rules: FederationRules,
        standing: Standing,
        before: Int32,
        players: Players,
        result: Digest,
    ) -> dict[int, bytes]:
        """Let every site count the last round on its shard, and the attacker say what it likes."""
        found = {}
        for owner, shard in enumerate(self.held):
            if shard is None or not standing.players:
                continue
            valuation, others = rules.valuation(standing.trained - 1), left_out(players, owner)
            measuring = self._measuring(shard)
            numbers = coalition_counts(rules, measuring, valuation, before, others)
            counts = shards.count(shard, numbers, self.policy.evaluation.metric)
            coalitions = valuation.coalitions(len(others.participants))
            told = self._lie(counts, coalitions, others) if owner == ATTACKER else counts
            if told is not None:
                found[owner] = told.artefact(result)[1]
        return found

    def _lie(self, counts: Counts, coalitions: Sequence[int], others: Players) -> Counts | None:
        if self.attack is None:
            return counts
        friend = others.participants.index(FRIEND)
        return self.attack.lie(counts, Shard(coalitions, friend, self.policy.evaluation.rows))

    def _slot(self, context: RoundContext, place: int, update: Int32, report: bytes | None) -> Slot:
        data = Payload(payload.pad(update, self.layout.leaves))
        header = context.update_header(place, data)
        published = Published(header.encode(), data, evaluation=report)
        return Slot(place, header.digest(), published)


def _joined(rows: LabelledRows, more: Sequence[EvaluationSet]) -> LabelledRows:
    every = [rows, *(LabelledRows(r.features, r.labels, r.groups) for r in more)]
    return LabelledRows(
        np.concatenate([r.features for r in every]),
        np.concatenate([r.labels for r in every]),
        np.concatenate([r.groups for r in every]),
    )


def policy_for(attack: Attack, *, seed: int, rounds: int) -> Policy:
    """Give the digits' policy in an attack's mode; as many rows measure in every one of them."""
    apart = attack.mode == "shards"
    rows = {"public": ROWS, "slices": ROWS // rounds, "shards": attack.cap * ROWS // SITES}
    record = built_in("digits").rest_record()
    changes: dict[str, dict[str, cbor.Value]] = {
        "federation": {"start_participants": SITES, "max_participants": SITES},
        "task": {"model": "logistic", "options": {}},
        "data": {
            "sites": [f"site-{place}" for place in range(SITES)],
            "split": {"seed": seed, "valuation": "0.2", "test": "0.3"},
            "partition": {"kind": "iid", "seed": seed},
        },
        "training": {"rounds": rounds + apart, "epochs": 2, "learning_rate": "0.05", "seed": seed},
        "evaluation": {"mode": attack.mode, "metric": "accuracy", "rows": rows[attack.mode]},
        "valuation": {"kind": "leave-one-out" if apart else "exact"},
        "reward": {"pool": str(POOL), "target": 1_000_000},
    }
    for section, values in changes.items():
        old = record.get(section)
        record[section] = {**(old if isinstance(old, dict) else {}), **values}
    return Policy.model_validate(record)


def tried(attack: Attack, *, splits: int, rounds: int) -> list[tuple[Paid, Paid]]:
    """Play every split twice: as everybody should, and with the attack."""
    policies = [policy_for(attack, seed=seed, rounds=rounds) for seed in range(splits)]
    return [(Play(policy, None).paid(), Play(policy, attack).paid()) for policy in policies]


@dataclass(frozen=True, slots=True)
class Line:
    """What an attack changed, in percent of the pool, on average over the splits."""

    attack: str
    mode: str
    honest: float
    attacking: float
    gain: float
    deviation: float
    friends_gain: float
    released: float
    released_attacking: float

    @classmethod
    def of(cls, attack: Attack, pairs: Sequence[tuple[Paid, Paid]]) -> "Line":
        """Sum up pairs of honest and attacked plays."""
        gains = [after.payouts[ATTACKER] - before.payouts[ATTACKER] for before, after in pairs]
        return cls(
            attack=attack.name,
            mode=attack.mode,
            honest=fmean(before.payouts[ATTACKER] for before, _ in pairs),
            attacking=fmean(after.payouts[ATTACKER] for _, after in pairs),
            gain=fmean(gains),
            deviation=stdev(gains) if len(gains) > 1 else 0.0,
            friends_gain=fmean(after.friends - before.friends for before, after in pairs),
            released=fmean(before.released for before, _ in pairs),
            released_attacking=fmean(after.released for _, after in pairs),
        )

    def text(self) -> str:
        """Write the line for people."""
        return (
            f"{self.mode:8}{self.attack:34}{self.honest:8.1f}{self.attacking:11.1f}"
            f"{self.gain:+8.1f} ({self.deviation:4.1f}){self.friends_gain:+13.1f}"
            f"{self.released:10.1f} -> {self.released_attacking:.1f}"
        )


HEADINGS = (
    f"{'% of the pool':42}{'honest':>8}{'attacking':>11}{'gain':>8} (dev.){'with friend':>13}"
    f"{'released':>10}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", type=int, default=5, help="how many seeds, from 0")
    parser.add_argument("--rounds", type=int, default=6, help="rounds that are valued")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    lines = []
    if not arguments.json:
        print(HEADINGS)
    for attack in ATTACKS:
        pairs = tried(attack, splits=arguments.splits, rounds=arguments.rounds)
        lines.append(Line.of(attack, pairs))
        if not arguments.json:
            print(lines[-1].text(), flush=True)
    if arguments.json:
        print(json.dumps([asdict(line) for line in lines], indent=2))


if __name__ == "__main__":
    main()
