import numpy as np
import pytest
import torch

from fednode.evaluation.metrics import LabelledRows, utility
from fednode.models.base import ModelSpec
from fednode.models.layout import FloatTensors, dequantise
from fednode.models.registry import build
from fednode.models.stack import StackModel
from fednode.models.torch_stack import forward
from fednode.training.run import LocalRun, TrainingSpec
from fednode.training.sgd import batches, deterministic_algorithms, fit, loss

SPECS = [
    ModelSpec("logistic", (6,), 2, private=("bias",)),
    ModelSpec("mlp", (6,), 3),
    ModelSpec("cnn", (1, 8, 8), 3, {"channels": (2,), "dense": 8}),
]


def rows(spec: ModelSpec, number: int = 90) -> LabelledRows:
    rng = np.random.default_rng(2)
    features = rng.integers(-(2**17), 2**17, (number, *spec.input_shape)).astype(np.int32)
    flat = features.reshape(number, -1)
    labels = flat[:, : spec.classes].argmax(axis=1)
    return LabelledRows(features, labels.astype(np.int64), np.zeros(number, dtype=np.int64))


def stack(spec: ModelSpec) -> StackModel:
    model = build(spec)
    assert isinstance(model, StackModel)
    return model


def start(model: StackModel) -> FloatTensors:
    tensors = {**model.initial(7), **model.private_initial()}
    return {name: dequantise(values) for name, values in tensors.items()}


def run(epochs: int = 2, *, round_: int = 0, participant: int = 0, **rates: float) -> LocalRun:
    return LocalRun(TrainingSpec(epochs, 16, 0.05, **rates), 11, round_, participant)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.model)
def test_training_equals_torch_s_own_sgd(spec: ModelSpec) -> None:
    model = stack(spec)
    fitted = fit(model, start(model), rows(spec), run(momentum=0.9, weight_decay=0.01))
    parameters = {
        name: torch.nn.Parameter(torch.from_numpy(values).float())
        for name, values in start(model).items()
    }
    optimiser = torch.optim.SGD(parameters.values(), 0.05, 0.9, weight_decay=0.01)
    features = torch.from_numpy(rows(spec).features / 2**16).float()
    for batch in batches(90, run(momentum=0.9, weight_decay=0.01)):
        optimiser.zero_grad()
        logits = forward(model, parameters, features[batch])
        loss(logits, torch.from_numpy(rows(spec).labels[batch])).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    for name, parameter in parameters.items():
        np.testing.assert_allclose(fitted[name], parameter.detach().numpy(), atol=2e-5)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.model)
def test_training_is_a_function_of_its_arguments(spec: ModelSpec) -> None:
    model = stack(spec)
    torch.manual_seed(1)
    np.random.seed(1)
    first = fit(model, start(model), rows(spec), run(momentum=0.5))
    torch.manual_seed(2)
    np.random.seed(2)
    state = torch.get_rng_state()
    second = fit(model, start(model), rows(spec), run(momentum=0.5))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert torch.equal(state, torch.get_rng_state())
    other = fit(model, start(model), rows(spec), run(momentum=0.5, round_=1))
    another = fit(model, start(model), rows(spec), run(momentum=0.5, participant=1))
    weight = next(iter(first))
    assert not np.array_equal(first[weight], other[weight])
    assert not np.array_equal(first[weight], another[weight])


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.model)
def test_training_learns_every_tensor(spec: ModelSpec) -> None:
    model = stack(spec)
    fitted = fit(model, start(model), rows(spec), run(30, momentum=0.9))
    assert all(not np.array_equal(fitted[name], start(model)[name]) for name in fitted)
    tensors = {name: np.rint(v * 2**20).astype(np.int32) for name, v in fitted.items()}
    assert utility(model, tensors, rows(spec), "accuracy") > 700_000


def test_every_epoch_sees_every_row_once_in_another_order() -> None:
    seen = list(batches(50, run(3)))
    assert [len(batch) for batch in seen] == [16, 16, 16, 2] * 3
    epochs = [np.concatenate(seen[i : i + 4]) for i in (0, 4, 8)]
    assert all(np.array_equal(np.sort(epoch), np.arange(50)) for epoch in epochs)
    assert not np.array_equal(epochs[0], epochs[1])


def test_no_step_leaves_every_bit() -> None:
    model = stack(SPECS[1])
    before = {name: values + 100.123456789 for name, values in start(model).items()}
    spec = TrainingSpec(1, 16, 0.0)
    after = fit(model, before, rows(SPECS[1]), LocalRun(spec, 0, 0, 0))
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_torch_is_left_as_it_was_found() -> None:
    assert not torch.are_deterministic_algorithms_enabled()
    with deterministic_algorithms():
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
