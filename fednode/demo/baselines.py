"""What the federation is compared with: each site on its own rows, and all rows in one place.

Both run the policy's own training for as many rounds and epochs as the federation, in the same
fixed point, and impute and scale with the statistics of the rows they may see and no others.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fednode.data.statistics import Preprocessing, local_statistics
from fednode.data.table import Table
from fednode.evaluation.evaluator import scaled
from fednode.models.base import Model
from fednode.models.layout import Tensors
from fednode.policy import Policy
from fednode.training.run import LocalRun
from fednode.training.task import SgdTask, train


@dataclass(frozen=True, slots=True)
class Version:
    """A model that rows can be fed to: all its tensors, and how it imputes and scales."""

    model: Model
    tensors: Tensors
    preprocessing: Preprocessing

    def logits(self, rows: Table) -> NDArray[np.int64]:
        """Return the exact logits (rows, outputs) of encoded rows."""
        return self.model.logits(self.tensors, scaled(rows, self.preprocessing).features)


def preprocessing(policy: Policy, rows: Table) -> Preprocessing:
    """Impute and scale with these rows' own statistics, where the policy scales at all."""
    if policy.numeric_columns == 0:
        return Preprocessing.identity(policy.schema)
    return Preprocessing.from_statistics(local_statistics(rows, policy.schema), policy.schema)


def train_alone(policy: Policy, model: Model, rows: Table, *, place: int) -> Version:
    """Train one model on these rows only; `place` tells its random numbers from other runs'."""
    task, spec, seed = SgdTask(model), policy.training.spec, policy.training.seed
    prepared = preprocessing(policy, rows)
    ready = scaled(rows, prepared)
    shared, private = model.initial(seed), model.private_initial()
    for round_ in range(1, policy.training.rounds + 1):
        run = LocalRun(spec, seed, round_, place)
        fitted = train(task, {**shared, **private}, ready, run)
        shared = {name: values + fitted.update[name] for name, values in shared.items()}
        private = fitted.private
    return Version(model, {**shared, **private}, prepared)
