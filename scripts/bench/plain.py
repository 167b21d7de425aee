"""The same training without chain, store, records, votes and proofs: local fits and FedAvg."""

import numpy as np

from fednode.aggregation.fedavg import FedAvg
from fednode.evaluation.evaluator import preprocessing_of, scaled
from fednode.training.run import LocalRun
from fednode.training.task import layout_of, open_task, train
from ledger.round import Int32
from scripts.bench.clock import Breakdown, Clock
from scripts.bench.workload import Data

PLAIN = "plain"


class Plain:
    """FedAvg over the same rows, with the same seeds, from the same start."""

    def __init__(self, data: Data) -> None:
        self._policy = data.policy
        self._task = open_task(data.policy.model_spec)
        self._layout = layout_of(self._task)
        start = self._task.initial(data.policy.training.seed)
        no_scaling = preprocessing_of(self._layout, start, data.policy.schema)
        self._rows = [scaled(table, no_scaling) for table in data.tables]
        self._model: Int32 = self._layout.pack(start)
        self._round = 0

    def model(self) -> Int32:
        """Give the newest model."""
        return self._model

    def round(self) -> Breakdown:
        """Train everybody and average; give what it took."""
        clock = Clock()
        with clock.acting(PLAIN):
            with clock.part("train"):
                updates = self.updates()
            with clock.part("aggregate"):
                self._model = FedAvg().aggregate(self._model, updates, [1] * len(updates))
        self._round += 1
        return clock.take()

    def warm_up(self) -> None:
        """Load torch and let it allocate, so that no round pays for it."""
        self._fit(0)

    def updates(self) -> list[Int32]:
        """Train everybody from the newest model."""
        return [self._fit(participant) for participant in range(len(self._rows))]

    def _fit(self, participant: int) -> Int32:
        tensors = self._layout.unpack(self._model)
        policy = self._policy
        run = LocalRun(policy.training.spec, policy.training.seed, self._round, participant)
        fitted = train(self._task, tensors, self._rows[participant], run)
        return self._layout.pack_update(fitted.update)


def same(audited: Int32, plain: Int32) -> bool:
    """Tell whether two models are equal; the audited one is padded to whole leaves."""
    return bool(np.array_equal(audited[: plain.size], plain) and not audited[plain.size :].any())
