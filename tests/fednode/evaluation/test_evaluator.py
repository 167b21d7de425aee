from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fednode.data.schema import Column, Label, TableSchema
from fednode.data.statistics import Preprocessing, local_statistics
from fednode.data.table import Table
from fednode.evaluation.evaluator import (
    Evaluator,
    agree,
    open_evaluator,
    preprocessing_of,
    scaled,
)
from fednode.evaluation.metrics import METRICS, LabelledRows, Rows, minimum, utility
from fednode.models.base import ModelSpec
from fednode.models.layout import (
    FloatTensors,
    Layout,
    TensorKind,
    Tensors,
    TensorSpec,
    with_statistics,
)
from fednode.models.registry import build, describe
from fednode.models.stack import StackModel
from fednode.training.run import LocalRun
from fednode.training.task import Floats, SgdTask, TrainingTask

SCHEMA = TableSchema(
    columns=(
        Column(name="age", type="numeric", range=(Decimal(0), Decimal(100))),
        Column(name="pressure", type="numeric", range=(Decimal(50), Decimal(250))),
        Column(name="sex", type="category", codes=("0", "1")),
    ),
    label=Label(column="ill", codes={"no": 0, "yes": 1}),
)


def table(rows: int = 60) -> Table:
    rng = np.random.default_rng(5)
    features = rng.integers(0, 2**16, (rows, 4)).astype(np.int32)
    features[:, 2:] = np.eye(2, dtype=np.int32)[rng.integers(0, 2, rows)] << 16
    features[::7, 1] = np.iinfo(np.int32).min
    return Table(features, rng.integers(0, 2, rows), rng.integers(0, 3, rows))


def model() -> StackModel:
    spec = ModelSpec("logistic", SCHEMA.shape, SCHEMA.classes, private=("bias",))
    made = build(spec)
    assert isinstance(made, StackModel)
    return made


def payloads(layout: Layout, number: int) -> list[NDArray[np.int32]]:
    rng = np.random.default_rng(9)
    statistics = local_statistics(table(), SCHEMA)
    made = []
    for _ in range(number):
        values = np.zeros(layout.leaves * 256, dtype=np.int32)
        values[: len(statistics)] = statistics
        values[len(statistics) : layout.size] = rng.integers(
            -(2**20), 2**20, layout.size - len(statistics)
        )
        made.append(values)
    return made


@pytest.mark.parametrize("metric", METRICS)
def test_versions_are_measured_as_they_scale_rows_themselves(
    metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = model().layout(2)
    versions = payloads(layout, 5)
    versions[3][0] += 7 << 12
    versions[4][: layout.payload[0].size] = 0
    evaluator = open_evaluator(model(), layout, schema=SCHEMA, rows=table(), metric=metric)
    measured = evaluator.utilities(versions)
    for version, value in zip(versions, measured, strict=True):
        scaling = Preprocessing.from_statistics(version[:6], SCHEMA)
        rows = replace(table(), features=scaling.apply(table().features))
        weight = version[6:10].reshape(1, 4)
        assert value == utility(model(), {"weight": weight}, rows, metric)
    assert evaluator.tolerance == 0
    task = open_evaluator(SgdTask(model()), layout, schema=SCHEMA, rows=table(), metric=metric)
    assert task.utilities(versions) == measured
    assert evaluator.utilities([]) == ()
    monkeypatch.setattr("fednode.evaluation.evaluator._CHUNK_VALUES", 2 * layout.size)
    assert evaluator.utilities(iter(versions)) == measured


def test_without_statistics_rows_are_not_scaled() -> None:
    layout = model().layout()
    evaluator = open_evaluator(model(), layout, schema=SCHEMA, rows=table(), metric="auc")
    weight = np.array([5, -3, 2, 1], dtype=np.int32) << 18
    rows = scaled(table(), Preprocessing.identity(SCHEMA))
    expected = utility(model(), {"weight": weight.reshape(1, 4)}, rows, "auc")
    assert evaluator.utilities([weight]) == (expected,)
    tensors = layout.unpack(weight)
    assert preprocessing_of(layout, tensors, SCHEMA) == Preprocessing.identity(SCHEMA)


@given(st.binary(min_size=1024, max_size=1024), st.sampled_from(METRICS))
def test_any_bytes_have_a_utility(data: bytes, metric: str) -> None:
    layout = model().layout(2)
    evaluator = open_evaluator(model(), layout, schema=SCHEMA, rows=table(), metric=metric)
    version = np.frombuffer(data, dtype="<i4").astype(np.int32)
    (value,) = evaluator.utilities([version])
    assert value >= minimum(metric)


class Jittery:
    """A task whose measurements differ between machines by up to its tolerance."""

    utility_tolerance = 500
    tensors = (TensorSpec("w", (2,)), TensorSpec("own", (1,), TensorKind.PRIVATE))

    def __init__(self, jitter: int) -> None:
        self.jitter = jitter
        self._floats: FloatTensors = {}

    def initial(self, seed: int) -> Tensors:
        return {"w": np.zeros(2, dtype=np.int32)}

    def private_initial(self, seed: int = 0) -> Tensors:
        return {"own": np.zeros(1, dtype=np.int32)}

    def get_tensors(self) -> Floats:
        return self._floats

    def set_tensors(self, tensors: Floats) -> None:
        self._floats = {name: np.asarray(v, dtype=np.float64) for name, v in tensors.items()}

    def fit(self, rows: Rows, run: LocalRun) -> None:
        pass

    def evaluate(self, rows: Rows, metric: str) -> int:
        first = float(self._floats["w"][0])
        if first < 0:
            raise FloatingPointError("underflow")
        return int(first * 1000) + self.jitter


def jittery(jitter: int) -> Evaluator:
    task: TrainingTask = Jittery(jitter)
    layout = with_statistics(task.tensors, 2)
    return open_evaluator(task, layout, schema=SCHEMA, rows=table(), metric="auc")


@given(
    st.lists(st.integers(0, 2**20), min_size=1, max_size=5),
    st.integers(-250, 250),
    st.integers(-250, 250),
)
def test_tolerant_measurements_agree_within_the_tolerance(
    raw: list[int], here: int, there: int
) -> None:
    versions = []
    for value in raw:
        version = np.zeros(256, dtype=np.int32)
        version[6] = value << 10
        versions.append(version)
    stated = jittery(here).utilities(versions)
    measured = jittery(there).utilities(versions)
    assert all(value % 1000 == 0 for value in stated)
    assert agree(stated, measured, tolerance=500)


def test_a_tolerance_is_no_licence() -> None:
    assert not agree([3000], [1000], tolerance=500)
    assert not agree([1500], [1000], tolerance=500)
    assert agree([2000], [1000], tolerance=500)
    assert not agree([2000], [999], tolerance=500)
    assert not agree([1000, 3000], [1000, 1000], tolerance=500), "one that is wrong is enough"
    assert not agree([1000], [1000, 1000], tolerance=500)
    assert agree([7], [7], tolerance=0)
    assert not agree([7], [8], tolerance=0)


def test_a_task_that_fails_on_a_version_gives_it_the_minimum() -> None:
    version = np.zeros(256, dtype=np.int32)
    version[6] = -1
    assert jittery(0).utilities([version]) == (0,)


def test_an_evaluator_s_rows_need_only_three_arrays() -> None:
    rows = LabelledRows(table().features, table().labels, table().groups)
    spec = describe(type("T", (), {"model": "logistic", "options": {}, "private": ()})(), SCHEMA)
    evaluator = open_evaluator(
        build(spec), build(spec).layout(), schema=SCHEMA, rows=rows, metric="auc"
    )
    assert evaluator.utilities([np.zeros(5, dtype=np.int32)]) == (500_000,)
