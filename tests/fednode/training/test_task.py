from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fednode.evaluation.metrics import LabelledRows, Rows, utility
from fednode.models.base import ModelSpec
from fednode.models.errors import ModelDescriptionError, TensorError
from fednode.models.layout import TensorKind, Tensors, TensorSpec
from fednode.models.registry import build
from fednode.training.run import LocalRun, TrainingError, TrainingSpec
from fednode.training.task import Floats, SgdTask, TrainingTask, layout_of, open_task, train

SPEC = ModelSpec("logistic", (6,), 2, private=("bias",))
RUN = LocalRun(TrainingSpec(3, 16, 0.1), 1, 2, 3)


def rows(number: int = 80) -> LabelledRows:
    rng = np.random.default_rng(4)
    features = rng.integers(-(2**17), 2**17, (number, 6)).astype(np.int32)
    labels = (features[:, 0] > 2**15).astype(np.int64)
    return LabelledRows(features, labels, np.zeros(number, dtype=np.int64))


def start(task: TrainingTask) -> Tensors:
    return {**task.initial(1), **task.private_initial()}


def test_an_update_is_the_change_of_the_shared_tensors_alone() -> None:
    task = open_task(SPEC)
    fitted = train(task, start(task), rows(), RUN)
    assert set(fitted.update) == {"weight"}
    assert set(fitted.private) == {"bias"}
    assert fitted.update["weight"].dtype == np.int32
    assert fitted.private["bias"].any()
    after = {"weight": start(task)["weight"] + fitted.update["weight"], **fitted.private}
    assert utility(build(SPEC), after, rows(), "accuracy") > 850_000
    assert task.evaluate(rows(), "accuracy") == utility(build(SPEC), after, rows(), "accuracy")


def test_training_twice_gives_the_same_update_and_goes_on_from_the_private_tensor() -> None:
    task = open_task(SPEC)
    first, second = (train(task, start(task), rows(), RUN) for _ in range(2))
    assert np.array_equal(first.update["weight"], second.update["weight"])
    assert np.array_equal(first.private["bias"], second.private["bias"])
    onward = train(task, {**start(task), **first.private}, rows(), RUN)
    assert not np.array_equal(onward.private["bias"], first.private["bias"])


def test_the_statistics_of_a_version_are_left_alone() -> None:
    task = open_task(SPEC)
    layout = layout_of(task, 2)
    version = layout.unpack(np.arange(layout.size, dtype=np.int32))
    fitted = train(task, {**version, **task.private_initial()}, rows(), RUN)
    payload = layout.pack_update(fitted.update)
    assert payload[:6].tolist() == [0] * 6
    assert payload[6:].any()


def test_no_rows_is_an_error() -> None:
    task = open_task(SPEC)
    with pytest.raises(TrainingError, match="no row"):
        train(task, start(task), rows(0), RUN)


def test_divergence_names_the_tensor() -> None:
    task = open_task(SPEC)
    wild = LocalRun(TrainingSpec(3, 16, 1e6), 1, 2, 3)
    with pytest.raises(TensorError, match="learning rate") as caught:
        train(task, start(task), rows(), wild)
    assert caught.value.tensor == "weight"
    with pytest.raises(TensorError, match="missing"):
        train(task, task.initial(0), rows(), RUN)


@pytest.mark.parametrize(
    "spec",
    [
        {"learning_rate": float("nan")},
        {"learning_rate": -1.0},
        {"momentum": float("inf")},
        {"epochs": 0},
        {"batch_size": 0},
    ],
)
def test_rates_must_make_sense(spec: dict[str, float]) -> None:
    with pytest.raises(TrainingError):
        TrainingSpec(**{"epochs": 1, "batch_size": 1, "learning_rate": 0.1, **spec})  # type: ignore[arg-type]


class Broken(SgdTask):
    """A task whose training leaves one tensor unusable."""

    def __init__(self, value: NDArray[np.float64] | None) -> None:
        super().__init__(build(SPEC))
        self._value = value

    def fit(self, rows: Rows, run: LocalRun) -> None:
        if self._value is None:
            del self._tensors["weight"]
        else:
            self._tensors["weight"] = self._value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "missing"),
        (np.zeros((2, 6)), r"shape \(2, 6\)"),
        (np.full((1, 6), np.nan), "nan"),
        (np.full((1, 6), np.inf), "inf"),
        (np.full((1, 6), 2048.0), "does not fit"),
    ],
)
def test_an_unusable_tensor_is_named(value: NDArray[np.float64] | None, reason: str) -> None:
    task = Broken(value)
    with pytest.raises(TensorError, match=reason) as caught:
        train(task, start(task), rows(), RUN)
    assert caught.value.tensor == "weight"


OWN = """
import torch
from fednode.training.torch_task import TorchTask

class Net(torch.nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.first = torch.nn.Linear(inputs, 12)
        self.norm = torch.nn.LayerNorm(12)
        self.last = torch.nn.Linear(12, outputs)

    def forward(self, x):
        return self.last(torch.tanh(self.norm(self.first(x))))

def make(spec):
    return TorchTask(Net(spec.input_shape[0], spec.outputs), 2000, private=spec.private)

def exact_claim(spec):
    return TorchTask(Net(spec.input_shape[0], spec.outputs), 0)

def normalised(spec):
    return TorchTask(torch.nn.BatchNorm1d(3), 2000)

def nothing(spec):
    return object()
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_task.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "own_task"


def own(module: str, factory: str, *private: str) -> TrainingTask:
    name = f"{module}:{factory}"
    return open_task(ModelSpec(name, (6,), 2, private=private), own=[name])


def test_a_user_s_torch_module_trains(own_module: str) -> None:
    task = own(own_module, "make", "last.bias")
    assert task.utility_tolerance == 2000
    assert task.tensors[0] == TensorSpec("first.weight", (12, 6))
    assert [s.name for s in task.tensors if s.kind is TensorKind.PRIVATE] == ["last.bias"]
    assert (task.initial(0)["norm.weight"] == 2**20).all()
    before = start(task)
    fitted = train(task, before, rows(), LocalRun(TrainingSpec(20, 16, 0.1, 0.9), 1, 2, 3))
    again = train(task, before, rows(), LocalRun(TrainingSpec(20, 16, 0.1, 0.9), 1, 2, 3))
    assert all(np.array_equal(fitted.update[n], again.update[n]) for n in fitted.update)
    assert set(fitted.private) == {"last.bias"}
    assert task.evaluate(rows(), "accuracy") > 900_000


def test_the_start_of_a_user_s_module_is_the_seed_s(own_module: str) -> None:
    first, second = own(own_module, "make"), own(own_module, "make")
    assert all(np.array_equal(first.initial(5)[n], v) for n, v in second.initial(5).items())
    assert not np.array_equal(first.initial(5)["first.weight"], first.initial(6)["first.weight"])


def test_a_user_s_module_measures_any_weights(own_module: str) -> None:
    task = own(own_module, "make")
    broken: Floats = {"first.weight": np.full((12, 6), np.nan)}
    task.set_tensors(broken)
    assert 0 <= task.evaluate(rows(), "auc") <= 1_000_000
    assert task.evaluate(rows(0), "auc") == 0


@pytest.mark.parametrize(
    ("factory", "reason"),
    [("exact_claim", "at least 1"), ("nothing", "neither an exact model nor a training task")],
)
def test_a_factory_that_makes_no_task_says_why(own_module: str, factory: str, reason: str) -> None:
    with pytest.raises(ModelDescriptionError, match=reason):
        own(own_module, factory)


def test_buffers_are_refused(own_module: str) -> None:
    with pytest.raises(ModelDescriptionError, match="buffers"):
        own(own_module, "normalised")


class NotAStack:
    """An exact model that is no stack of layers."""

    def __init__(self) -> None:
        self._inner = build(SPEC)

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def test_sgd_trains_stacks_only() -> None:
    task = SgdTask(NotAStack())  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="NotAStack"):
        train(task, start(task), rows(), RUN)
