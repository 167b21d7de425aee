"""Small federations' policies, drawn at random, and the public rows that they are measured on."""

import random
from dataclasses import dataclass
from functools import cache

import numpy as np

from fednode.data.evaluation_set import EvaluationSet
from fednode.data.fixed import ONE
from fednode.data.table import Table
from fednode.evaluation.evaluator import Evaluator, open_evaluator
from fednode.evaluation.opener import Opener
from fednode.evaluation.slices import SliceCommitment, SliceTree
from fednode.models.layout import Layout
from fednode.policy import Policy, parse_policy
from fednode.rounds import FederationRules
from fednode.training.task import TrainingTask, layout_of, open_task
from ledger import artefacts
from ledger.cid import CID
from ledger.headers import PolicyHeader
from ledger.payload import Payload
from ledger.round import Int32, RoundContext
from ledger.stores import Artefact
from ledger.types import Digest

ROWS = 24

RELAY = "0x" + "ab" * 20
_TEXT = """
[federation]
name = "Trial"
open = {open}
start_participants = {start}
max_participants = {most}
least_updates = {least}
quorum = "{quorum}"
committee_size = {committee}
{relay}

[task]
model = "logistic"

[schema]
kind = "table"
[[schema.columns]]
name = "a"
type = "numeric"
range = [0, 1]
[[schema.columns]]
name = "b"
type = "numeric"
range = [0, 1]
[[schema.columns]]
name = "c"
type = "category"
codes = [{codes}]
[schema.label]
column = "y"
codes = {{ 0 = 0, 1 = 1 }}

[data]
source = "csv"
path = "{{site}}.csv"
public = true
sites = 1
statistics = {statistics}

[training]
rounds = {rounds}

[stop]
patience = {patience}
least_gain = {least_gain}

[aggregation]
rule = "{rule}"
trim = {trim}
staleness = {staleness}
bound = 16
weight_cap = {cap}

[evaluation]
mode = "{mode}"
metric = "{metric}"

[valuation]
kind = "{valuation}"
every = {every}

[reward]
pool = {pool}
target = {target}
period = {period}
value_exponent = {a}
scale_exponent = {b}

[stake]
stake = {stake}
proposer_bond = {bond}
rejection_fee = {rejection}

[fees]
proposer = {proposer_fee}
attester = {attester_fee}

[windows]
batch = {batch}
commit = 60
reveal = 20
propose = 60
attest = 60
challenge = {challenge}
idle = 1000
attempts = {attempts}
"""


@dataclass(frozen=True, slots=True)
class Terms:
    """A policy with what is computed from it alone."""

    policy: Policy
    task: TrainingTask
    layout: Layout

    def rules(
        self,
        header: PolicyHeader,
        rows: EvaluationSet | None,
        slices: SliceCommitment | None = None,
    ) -> FederationRules:
        """Make the rules, measured on these rows, or on slices."""
        evaluator = None if rows is None else self.measuring(rows)
        opener = None
        if slices is not None:
            tree = SliceTree(slices, self.policy.slices, self.policy.schema)
            opener = Opener(tree, self.measuring)
        return FederationRules(self.policy, header, evaluator, opener=opener)

    def measuring(self, rows: EvaluationSet) -> Evaluator:
        """Measure on some rows."""
        return open_evaluator(
            self.task,
            self.layout,
            schema=self.policy.schema,
            rows=rows,
            metric=self.policy.evaluation.metric,
        )


@cache
def terms(text: str) -> Terms:
    """Read a policy's text."""
    policy = parse_policy(text)
    task = open_task(policy.model_spec)
    return Terms(policy, task, layout_of(task, policy.numeric_columns))


def draw(rng: random.Random, **fixed: object) -> str:
    """Draw a policy's text; `fixed` settles some of its values."""
    most = int(str(fixed.get("most", rng.randint(2, 5))))
    mode = str(fixed.get("mode", rng.choice(("public", "public", "public", "none"))))
    measured = mode != "none"
    valuation = rng.choice(("exact", "exact", "leave-one-out", "none")) if measured else "none"
    valuation = str(fixed.get("valuation", valuation))
    rounds = rng.randint(1, 4)
    chosen: dict[str, object] = {
        "open": _toml(rng.random() < 0.4),
        "start": rng.randint(min(2, most), most),
        "most": most,
        "quorum": rng.choice(("0.6", "0.51", "0.75")),
        "codes": ", ".join(map(str, range(rng.choice((2, 2, 3, 300))))),
        "statistics": _toml(rng.random() < 0.6),
        "rounds": rounds,
        "patience": rng.choice((0, 0, 1, 2)) if measured else 0,
        "least_gain": rng.choice((0, 1, 50_000)),
        "cap": rng.choice((1, 50, 1000)),
        "mode": mode,
        "metric": rng.choice(("accuracy", "auc", "log_loss")),
        "valuation": valuation,
        "every": rng.choice((1, 1, 2)),
        "pool": 0 if valuation == "none" else rng.choice((0, 10**18, 999_999_937)),
        "target": rng.choice((1, 300_000, 1_000_000)),
        "period": rng.choice((0, 0, 1, 2)),
        "a": rng.choice((1, 1, 2)),
        "b": rng.choice((0, 0, 1)),
        "stake": rng.choice((0, 5)),
        "bond": rng.choice((0, 7)),
        "committee": rng.choice((16, 16, 2, 3)),
        "challenge": rng.choice((61, 200)),
        "attempts": rng.choice((1, 2, 3)),
    }
    chosen["rule"] = rng.choice(("fedavg", "fedavg", "fedavg", "trimmed-mean", "median"))
    chosen["staleness"] = rng.choice((0, 0, 1, 3))
    chosen |= fixed
    fees = rng.choice((0, 3)) if chosen["pool"] else 0
    chosen |= {"proposer_fee": fees, "attester_fee": fees and 2}
    chosen["rejection"] = rng.choice((0, 3)) if chosen["bond"] else 0
    trim = rng.choice(("0.1", "0.3", "0.499999"))
    chosen["trim"] = trim if chosen["rule"] == "trimmed-mean" else 0
    chosen["period"] = min(int(str(chosen["period"])), int(str(chosen["rounds"])))
    relayed = bool(fixed.get("relayed"))
    chosen |= {"relay": f'relay = "{RELAY}"' if relayed else "", "batch": 30 if relayed else 0}
    chosen.setdefault("least", rng.randint(1, min(2, int(str(chosen["start"])))))
    return _TEXT.format(**chosen)


def evaluation_rows(rng: random.Random, of: Terms) -> EvaluationSet | None:
    """Draw the public rows, if there are any."""
    return rows_of(rng, of, ROWS) if of.policy.evaluation.mode == "public" else None


def rows_of(rng: random.Random, of: Terms, number: int) -> EvaluationSet:
    """Draw rows: the label follows the first column, mostly."""
    generator = np.random.default_rng(rng.randrange(1 << 32))
    features = np.zeros((number, of.policy.schema.features), dtype=np.int32)
    features[:, :2] = generator.integers(0, ONE + 1, (number, 2))
    codes = generator.integers(2, features.shape[1], number)
    features[np.arange(number), codes] = ONE
    labels = (features[:, 0] + generator.normal(0, ONE // 5, number) > ONE // 2).astype(np.int64)
    labels[:2] = (0, 1)
    return EvaluationSet.of(Table(features, labels, np.zeros(number, dtype=np.int64)))


def update_of(
    context: RoundContext, index: int, data: Payload, training: tuple[CID, bytes]
) -> tuple[Digest, Artefact]:
    """Put an update's header before its payload and the record of its training."""
    header = context.update_header(index, data, training=training[0].digest)
    return header.digest(), artefacts.update_artefact(header, data, training)


def training_update(rng: random.Random, of: Terms) -> Int32:
    """Draw an update that tends to help: more weight to the first column, some noise elsewhere."""
    generator = np.random.default_rng(rng.randrange(1 << 32))
    values = generator.integers(-(1 << 16), 1 << 16, of.layout.size).astype(np.int32)
    cut = of.policy.statistics
    values[:cut] = 0
    values[cut] += rng.randint(-(1 << 18), 1 << 20)
    values[-1] -= rng.randint(-(1 << 16), 1 << 19)
    return values


def statistics_update(rng: random.Random, of: Terms) -> Int32:
    """Draw the counts, sums and sums of squares of some site's two numeric columns."""
    rows = rng.randint(20, 200)
    blocks = np.array([[rows] * 2, [rows // 2] * 2, [rows // 3] * 2], dtype=np.int32) << 12
    values = np.zeros(of.layout.size, dtype=np.int32)
    values[: blocks.size] = blocks.reshape(-1) + rng.randint(0, 1000)
    return values


def _toml(value: bool) -> str:
    return "true" if value else "false"
