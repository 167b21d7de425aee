"""The exact forward pass against Python's own integers, and against torch."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from fednode.models.base import ModelSpec
from fednode.models.errors import ModelDescriptionError, TensorError
from fednode.models.exact import (
    ACTIVATION_LIMIT,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    parameter_names,
)
from fednode.models.layout import Tensors
from fednode.models.registry import build
from fednode.models.stack import StackModel
from fednode.models.torch_stack import forward

BITS = 20


def shift(total: int) -> int:
    return max(-ACTIVATION_LIMIT, min(ACTIVATION_LIMIT, total >> BITS))


def slow_layer(layer: Layer, tensors: Tensors, x: NDArray[np.object_]) -> NDArray[np.object_]:
    """One row through one layer, in Python's integers; images are (channels, high, wide)."""
    match layer:
        case ReLU():
            return np.asarray(np.maximum(x, 0), dtype=object)
        case Flatten():
            return x.reshape(-1)
        case Linear():
            weight, bias = (tensors[name].tolist() for name in parameter_names(layer.name))
            return np.array(
                [
                    shift(sum(w * v for w, v in zip(row, x, strict=True)) + (b << 16))
                    for row, b in zip(weight, bias, strict=True)
                ],
                dtype=object,
            )
        case MaxPool2d(kernel, stride):
            channels, high, wide = layer.output_shape(x.shape)
            return np.array(
                [
                    [
                        [
                            x[
                                c,
                                i * stride : i * stride + kernel,
                                j * stride : j * stride + kernel,
                            ].max()
                            for j in range(wide)
                        ]
                        for i in range(high)
                    ]
                    for c in range(channels)
                ],
                dtype=object,
            )
        case Conv2d():
            return slow_convolution(layer, tensors, x)


def slow_convolution(
    layer: Conv2d, tensors: Tensors, x: NDArray[np.object_]
) -> NDArray[np.object_]:
    weight, bias = (tensors[name].astype(object) for name in parameter_names(layer.name))
    outputs, high, wide = layer.output_shape(x.shape)
    side = (layer.padding, layer.padding)
    padded = np.pad(x, ((0, 0), side, side), constant_values=0)
    y = np.empty((outputs, high, wide), dtype=object)
    for o, i, j in np.ndindex(outputs, high, wide):
        top, left = i * layer.stride, j * layer.stride
        window = padded[:, top : top + layer.kernel, left : left + layer.kernel]
        y[o, i, j] = shift(int((window * weight[o]).sum()) + (int(bias[o]) << 16))
    return y


def slow_logits(
    model: StackModel, tensors: Tensors, features: NDArray[np.int32]
) -> list[list[int]]:
    rows = []
    for row in features:
        clamp = np.vectorize(
            lambda v: max(-ACTIVATION_LIMIT, min(ACTIVATION_LIMIT, int(v))), otypes=[object]
        )
        x = clamp(row)
        for layer in model.layers:
            x = slow_layer(layer, tensors, x)
        rows.append([int(value) for value in x])
    return rows


def random_tensors(model: StackModel, seed: int, scale: int) -> Tensors:
    rng = np.random.default_rng(seed)
    return {
        spec.name: rng.integers(-scale, scale, spec.shape, endpoint=True).astype(np.int32)
        for spec in model.tensors
    }


DENSE = StackModel((Linear("a", 5, 4), ReLU(), Linear("b", 4, 3)), (5,))
CONVOLUTIONAL = StackModel(
    (
        Conv2d("a", 2, 3, kernel=3, stride=1, padding=1),
        ReLU(),
        MaxPool2d(2, 2),
        Conv2d("b", 3, 2, kernel=2, stride=2, padding=1),
        Flatten(),
        Linear("c", 8, 2),
    ),
    (2, 7, 5),
)


@settings(max_examples=60, deadline=None)
@given(
    model=st.sampled_from([DENSE, CONVOLUTIONAL]),
    seed=st.integers(0, 2**32),
    scale=st.sampled_from([2**10, 2**20, 2**24]),
    reach=st.sampled_from([2**8, 2**16, 2**24, 2**31 - 1]),
)
def test_forward_equals_integer_arithmetic(
    model: StackModel, seed: int, scale: int, reach: int
) -> None:
    tensors = random_tensors(model, seed, scale)
    assert model.admissible(tensors)
    rng = np.random.default_rng(seed)
    features = rng.integers(-reach, reach, (3, *model.input_shape)).astype(np.int32)
    assert model.logits(tensors, features).tolist() == slow_logits(model, tensors, features)


@pytest.mark.parametrize("model", [DENSE, CONVOLUTIONAL])
@pytest.mark.parametrize("rows", [0, 1, 31, 32, 33, 70])
def test_many_versions_at_once_equal_one_by_one(model: StackModel, rows: int) -> None:
    versions = [random_tensors(model, seed, 2**20) for seed in range(5)]
    rng = np.random.default_rng(rows)
    features = rng.integers(-(2**17), 2**17, (rows, *model.input_shape)).astype(np.int32)
    together = model.logits_of_all(versions, features)
    assert together.shape == (5, rows, model.outputs)
    for version, logits in zip(versions, together, strict=True):
        assert np.array_equal(model.logits(version, features), logits)
        alone = [model.logits(version, features[i : i + 1])[0] for i in range(rows)]
        assert np.array_equal(logits, np.array(alone).reshape(rows, model.outputs))


def admits(weight: Sequence[int], bias: int) -> bool:
    model = StackModel((Linear("", len(weight), 1),), (len(weight),))
    return model.admissible(
        {
            "weight": np.array([weight], dtype=np.int32),
            "bias": np.array([bias], dtype=np.int32),
        }
    )


@given(
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=4),
    st.integers(-(2**31), 2**31 - 1),
)
def test_admission_is_the_stated_inequality(weight: list[int], bias: int) -> None:
    bound = sum(map(abs, weight)) * (2**24 - 1) + abs(bias) * 2**16
    assert admits(weight, bias) == (bound < 2**53)


def test_admission_at_its_edge() -> None:
    most = (2**53 - 1) // (2**24 - 1)
    assert admits([most], 0)
    assert not admits([most + 1], 0)
    left = 2**53 - 1 - most * (2**24 - 1)
    assert admits([most], left // 2**16)
    assert not admits([most], left // 2**16 + 1)
    assert not admits([-(2**31)], 0)


def test_the_largest_admissible_sums_are_exact() -> None:
    weight = np.full((1, 4), 2**29 // 4, dtype=np.int32)
    model = StackModel((Linear("", 4, 1),), (4,))
    tensors = {"weight": weight, "bias": np.array([-1], dtype=np.int32)}
    assert model.admissible(tensors)
    features = np.full((1, 4), 2**24 - 1, dtype=np.int32)
    assert model.logits(tensors, features).tolist() == slow_logits(model, tensors, features)


@settings(max_examples=25, deadline=None)
@given(
    hnp.arrays(np.int32, (2, 3, 6, 5), elements=st.integers(-(2**16), 2**16)),
    st.sampled_from([(1, 0, 3), (2, 1, 3), (1, 1, 2), (3, 2, 4), (2, 0, 1)]),
    st.integers(0, 2**32),
)
def test_unfolding_equals_native_float64_convolution(
    features: NDArray[np.int32], form: tuple[int, int, int], seed: int
) -> None:
    stride, padding, kernel = form
    layer = Conv2d("a", 3, 4, kernel=kernel, stride=stride, padding=padding)
    size = int(np.prod(layer.output_shape((3, 6, 5))))
    model = StackModel((layer, Flatten(), Linear("b", size, 1)), (3, 6, 5))
    tensors = random_tensors(model, seed, 2**20)
    native = torch.nn.functional.conv2d(
        torch.from_numpy(features).double(),
        torch.from_numpy(tensors["a.weight"]).double(),
        torch.from_numpy(tensors["a.bias"]).double() * 2**16,
        stride,
        padding,
    )
    shifted = torch.floor(native / 2**BITS).reshape(2, -1).numpy()
    last = StackModel((Linear("b", size, 1),), (size,))
    expected = last.logits(tensors, shifted.astype(np.int32))
    assert np.array_equal(model.logits(tensors, features), expected)


@pytest.mark.parametrize(
    "spec",
    [
        ModelSpec("logistic", (13,), 2),
        ModelSpec("logistic", (1, 8, 8), 10),
        ModelSpec("mlp", (20,), 2, {"hidden": (16, 8)}),
        ModelSpec("mlp", (3, 4, 4), 5),
        ModelSpec("cnn", (1, 28, 28), 10),
        ModelSpec("cnn", (3, 11, 9), 4, {"channels": (4, 6), "dense": 12}),
    ],
    ids=lambda spec: f"{spec.model}{spec.input_shape}",
)
def test_exact_logits_agree_with_float32(spec: ModelSpec) -> None:
    model = build(spec)
    assert isinstance(model, StackModel)
    rng = np.random.default_rng(1)
    tensors = {
        name: values + rng.integers(-(2**17), 2**17, values.shape).astype(np.int32)
        for name, values in {**model.initial(3), **model.private_initial()}.items()
    }
    features = rng.integers(-(2**16), 2**16, (100, *spec.input_shape)).astype(np.int32)
    parameters = {name: torch.from_numpy(v / 2**BITS).float() for name, v in tensors.items()}
    with torch.no_grad():
        floats = forward(model, parameters, torch.from_numpy(features / 2**16).float()).numpy()
    exact = model.logits(tensors, features)
    assert np.abs(exact / 2**16 - floats).max() < 0.002
    margin = np.sort(floats, axis=1)
    clear = (
        np.abs(floats[:, 0]) > 0.002
        if spec.outputs == 1
        else (margin[:, -1] - margin[:, -2] > 0.004)
    )
    assert clear.mean() > 0.9
    said = (exact > 0)[:, 0] if spec.outputs == 1 else exact.argmax(axis=1)
    says = (floats > 0)[:, 0] if spec.outputs == 1 else floats.argmax(axis=1)
    assert np.array_equal(said[clear], says[clear])


@pytest.mark.parametrize(
    ("layers", "shape", "reason"),
    [
        ((Linear("a", 3, 2),), (4,), "expects 3 inputs"),
        ((Conv2d("a", 2, 1),), (1, 5, 5), "2 channels"),
        ((Conv2d("a", 1, 1, kernel=7), Flatten()), (1, 5, 5), "larger"),
        ((MaxPool2d(), Flatten()), (1, 1, 5), "larger"),
        ((MaxPool2d(),), (5,), "images"),
        ((Conv2d("a", 1, 1),), (1, 5, 5), "not in logits"),
    ],
)
def test_layers_that_do_not_fit_are_refused(
    layers: tuple[Layer, ...], shape: tuple[int, ...], reason: str
) -> None:
    with pytest.raises(ModelDescriptionError, match=reason):
        StackModel(layers, shape)


def test_features_of_another_shape_are_refused() -> None:
    tensors = random_tensors(DENSE, 0, 2**20)
    with pytest.raises(TensorError, match="features"):
        DENSE.logits(tensors, np.zeros((3, 6), dtype=np.int32))
    with pytest.raises(TensorError, match="missing"):
        DENSE.logits({}, np.zeros((3, 5), dtype=np.int32))
    wrong = {**tensors, "a.bias": np.zeros(5, dtype=np.int32)}
    with pytest.raises(TensorError, match=r"a\.bias"):
        DENSE.logits(wrong, np.zeros((3, 5), dtype=np.int32))
