"""A torch module as a task: its weights stay, what cannot be trained is refused when the task is
made, and training is a function of its run.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from fednode.evaluation.metrics import LabelledRows
from fednode.models.base import ModelSpec
from fednode.models.errors import ModelDescriptionError, TensorError
from fednode.models.layout import TensorKind, Tensors
from fednode.training.run import LocalRun, TrainingError, TrainingSpec
from fednode.training.task import Fitted, open_task, train
from fednode.training.torch_task import TorchTask

RUN = LocalRun(TrainingSpec(2, 16, 0.1, 0.9, 0.01), 1, 2, 3)


def rows(number: int = 40, *, classes: int = 2) -> LabelledRows:
    rng = np.random.default_rng(4)
    features = rng.integers(-(2**17), 2**17, (number, 6)).astype(np.int32)
    labels = np.arange(number, dtype=np.int64) % classes
    return LabelledRows(features, labels, np.zeros(number, dtype=np.int64))


def linear(value: float = 0.25) -> nn.Linear:
    module = nn.Linear(6, 1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(value)
    return module


def start(task: TorchTask) -> Tensors:
    return {**task.initial(0), **task.private_initial()}


def test_given_weights_are_where_the_federation_starts() -> None:
    module = linear()
    task = TorchTask(module, 1000, private=["bias"])
    for seed in (0, 7):
        assert (task.initial(seed)["weight"] == 2**18).all()
        assert (task.private_initial(seed)["bias"] == 2**18).all()
    assert (task.get_tensors()["weight"] == 0.25).all()
    train(task, start(task), rows(), RUN)
    assert (task.initial(0)["weight"] == 2**18).all()
    assert all((parameter == 0.25).all() for parameter in module.parameters())
    assert module.training


def test_set_values_come_back_to_the_last_bit_where_nothing_moves_them() -> None:
    task = TorchTask(linear(), 1000)
    given = np.full((1, 6), 100.123456789)
    task.set_tensors({"weight": given})
    task.fit(rows(), LocalRun(TrainingSpec(1, 16, 0.0), 0, 0, 0))
    assert np.array_equal(task.get_tensors()["weight"], given)
    with pytest.raises(TensorError, match="shape"):
        task.set_tensors({"weight": np.zeros((1, 1))})


FACTORY = """
import torch
from fednode.training.torch_task import TorchTask

def given(spec):
    module = torch.nn.Linear(6, 1)
    torch.nn.init.constant_(module.weight, 0.5)
    return TorchTask(module, 1000, private=["bias"])

def narrow(spec):
    return TorchTask(torch.nn.Linear(5, 1), 1000)

def wide(spec):
    return TorchTask(torch.nn.Linear(6, 2), 1000)

def idle(spec):
    module = torch.nn.Linear(6, 1)
    module.spare = torch.nn.Linear(2, 2)
    return TorchTask(module, 1000)

def shares(spec):
    return TorchTask(torch.nn.Linear(6, 1), 1000)
"""


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TorchTask]:
    (tmp_path / "given_task.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(str(tmp_path))

    def opened(name: str, *private: str) -> TorchTask:
        spec = ModelSpec(f"given_task:{name}", (6,), 2, private=private)
        return cast(TorchTask, open_task(spec, own=[spec.model]))

    return opened


def test_a_factory_draws_from_the_seed_and_keeps_what_is_given(
    factory: Callable[..., TorchTask],
) -> None:
    state = torch.get_rng_state()
    first = factory("given").private_initial()["bias"]
    torch.rand(3)
    task = factory("given")
    assert (task.initial(5)["weight"] == 2**19).all()
    assert np.array_equal(task.private_initial()["bias"], first)
    assert not np.array_equal(task.private_initial(6)["bias"], first)
    torch.set_rng_state(state)
    task.initial(7)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("name", "private", "reason"),
    [
        ("narrow", (), "fails on rows of this shape: RuntimeError: .*mat1 and mat2"),
        ("wide", (), r"shape \(2, 2\) for 2 rows, not logits of shape \(2, 1\)"),
        ("idle", (), "'spare.weight' has no part in the logits"),
        ("shares", ("bias",), "shares it"),
    ],
)
def test_a_factory_s_module_that_does_not_fit_the_policy_is_refused(
    factory: Callable[..., TorchTask], name: str, private: Sequence[str], reason: str
) -> None:
    with pytest.raises(ModelDescriptionError, match=reason) as caught:
        factory(name, *private)
    assert "\n" not in str(caught.value)


def frozen() -> nn.Module:
    module = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 1))
    cast(nn.Linear, module[0]).weight.requires_grad = False
    return module


def overlapping() -> nn.Module:
    module = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    module[1].weight = nn.Parameter(cast(nn.Linear, module[0]).weight.data)
    return module


class Holding(nn.Module):
    """A module with one parameter, and something else."""

    def __init__(self, parameter: torch.Tensor, other: object = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(parameter)
        self.other = other


def nowhere() -> nn.Module:
    return nn.Linear(6, 1, device="meta")


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "frozen": (frozen, "'0.weight' is frozen"),
    "nothing to train": (nn.ReLU, "no parameters"),
    "no module": (lambda: "linear", "a str is no torch module"),
    "lazy": (lambda: nn.LazyLinear(1), "'weight' has no shape yet"),
    "meta": (nowhere, "on device meta"),
    "double": (lambda: linear().double(), "torch.float64"),
    "bfloat16": (lambda: linear().bfloat16(), "torch.bfloat16"),
    "complex": (lambda: Holding(torch.zeros(3, dtype=torch.complex64)), "complex64"),
    "buffers": (lambda: nn.BatchNorm1d(3), "has buffers"),
    "not finite": (lambda: linear(float("nan")), "'weight' starts with a weight"),
    "too large": (lambda: linear(3000.0), "not below 2048"),
    "empty": (lambda: Holding(torch.zeros(0)), "is empty"),
    "expanded": (lambda: Holding(torch.zeros(1).expand(3)), "repeats one number"),
    "overlapping": (overlapping, "'0.weight' and '1.weight' share memory"),
    "not to be copied": (
        lambda: Holding(torch.zeros(3), torch.zeros(3, requires_grad=True) * 2),
        "cannot be copied",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trained_is_refused_when_the_task_is_made(case: str) -> None:
    make, reason = REFUSED[case]
    with pytest.raises(TrainingError, match=reason) as caught:
        TorchTask(cast(nn.Module, make()), 1000)
    assert "\n" not in str(caught.value)


def test_private_names_a_parameter_or_a_layer() -> None:
    module = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 1))
    kinds = [spec.kind for spec in TorchTask(module, 1000, private=["1"]).tensors]
    assert kinds == [TensorKind.SHARED] * 2 + [TensorKind.PRIVATE] * 2
    with pytest.raises(TrainingError, match="private names 'head'"):
        TorchTask(module, 1000, private=["head"])


class Moody(nn.Module):
    """Draws random numbers in both modes, makes tensors of the default type, and counts passes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.tied = nn.Linear(6, 6), nn.Linear(6, 6)
        self.tied.weight = self.first.weight
        self.drop, self.last, self.passes = nn.Dropout(0.5), nn.Linear(6, 1), 0

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        noise = torch.rand(features.shape) * self.passes
        hidden = self.drop(self.tied(torch.tanh(self.first(features))) + noise)
        return cast(torch.Tensor, self.last(functional.dropout(hidden, 0.2)))


def once(task: TorchTask) -> tuple[Fitted, int]:
    given = start(task)
    fitted = train(task, given, rows(), RUN)
    return fitted, task.evaluate(rows(), "auc")


def same(first: tuple[Fitted, int], second: tuple[Fitted, int]) -> bool:
    names = first[0].update
    equal = all(np.array_equal(names[n], second[0].update[n]) for n in names)
    return equal and first[1] == second[1]


@contextmanager
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


SETTINGS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "nothing": nullcontext,
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "device": lambda: torch.device("meta"),
    "double": double,
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_training_and_measuring_are_functions_of_tensors_rows_and_run(setting: str) -> None:
    torch.default_generator.set_state(torch.Generator().manual_seed(1).get_state())
    module = Moody()
    module.drop.eval()
    task = TorchTask(module, 1000)
    assert "tied.weight" not in [spec.name for spec in task.tensors]
    expected = once(task)
    other = LocalRun(RUN.spec, RUN.seed, RUN.round + 1, RUN.participant)
    train(task, start(task), rows(), other)
    module(torch.ones(1, 6))
    state = torch.get_rng_state()
    with SETTINGS[setting]():
        assert same(once(task), expected)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_default_dtype() is torch.float32
    assert (module.passes, module.training, module.drop.training) == (1, True, False)
    assert not same((train(task, start(task), rows(), other), expected[1]), expected)


class Now(nn.Module):
    """Uses its second layer in every other pass."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, 1, sparse=True)
        self.skipped, self.passes = nn.Linear(6, 1), 0

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        found = self.table((features[:, 0] > 0).long())
        return cast(torch.Tensor, found + self.skipped(features) if self.passes % 2 else found)


def test_sparse_gradients_and_passes_without_a_parameter_are_trained_as_torch_does() -> None:
    task = TorchTask(Now(), 1000)
    fitted = train(task, start(task), rows(), RUN)
    assert fitted.update["table.weight"][:2].all()
    assert fitted.update["skipped.weight"].any()


def test_labels_beyond_the_logits_are_named() -> None:
    task = TorchTask(nn.Linear(6, 3), 1000)
    with pytest.raises(TrainingError, match=r"not logits of shape \(16, 5\)"):
        train(task, start(task), rows(classes=5), RUN)
