import hashlib
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from fednode.models.base import Model, ModelSpec
from fednode.models.errors import ModelDescriptionError, ModelNotAllowed
from fednode.models.layout import TensorKind, Tensors
from fednode.models.registry import build, describe, open_model
from fednode.models.stack import StackModel
from fednode.models.start import uniform


@dataclass(frozen=True)
class Task:
    model: str = "logistic"
    options: dict[str, object] = field(default_factory=dict)
    private: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shape:
    shape: tuple[int, ...] = (5,)
    classes: int = 2


def digest(tensors: Tensors) -> str:
    parts = [name.encode() + tensors[name].astype("<i4").tobytes() for name in sorted(tensors)]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def test_the_demo_s_model_shares_its_weights_and_keeps_its_bias() -> None:
    spec = describe(Task(private=("bias",)), Shape(), fraction_bits=20)
    model = open_model(spec)
    assert isinstance(model, Model)
    assert model.outputs == 1
    assert [(s.name, s.shape, s.kind) for s in model.tensors] == [
        ("weight", (1, 5), TensorKind.SHARED),
        ("bias", (1,), TensorKind.PRIVATE),
    ]
    assert model.layout(3).size == 9 + 5
    assert not model.initial(1)["weight"].any()
    assert model.private_initial()["bias"].tolist() == [0]


def test_absent_private_tensors_have_their_first_values() -> None:
    model = build(ModelSpec("logistic", (2,), 2, private=("bias",)))
    weight = np.array([[2**20, 0]], dtype=np.int32)
    features = np.array([[7, 9], [-3, 9]], dtype=np.int32)
    assert model.logits({"weight": weight}, features).tolist() == [[7], [-3]]
    bias = np.array([2**20], dtype=np.int32)
    own = model.logits({"weight": weight, "bias": bias}, features)
    assert own.tolist() == [[7 + 2**16], [-3 + 2**16]]


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        (ModelSpec("mlp", (4,), 3, {"hidden": [8, 6]}), ["hidden1", "hidden2", "output"]),
        (ModelSpec("cnn", (1, 8, 8), 10), ["conv1", "conv2", "dense", "output"]),
    ],
)
def test_layers_are_named(spec: ModelSpec, names: list[str]) -> None:
    tensors = [s.name for s in build(spec).tensors]
    assert tensors == [f"{name}.{part}" for name in names for part in ("weight", "bias")]


def test_a_whole_layer_may_be_private() -> None:
    model = build(ModelSpec("mlp", (4,), 3, private=("output",)))
    assert [s.name for s in model.layout().private] == ["output.weight", "output.bias"]
    assert model.private_initial(5)["output.weight"].any()
    assert set(model.initial(5)) == {"hidden1.weight", "hidden1.bias"}
    everything = build(ModelSpec("mlp", (4,), 3)).initial(5)
    assert np.array_equal(model.private_initial(5)["output.weight"], everything["output.weight"])


def test_weights_start_at_the_same_integers_for_ever() -> None:
    assert uniform((6,), 1000, seed=(1, 2)).tolist() == [-103, -138, -160, -446, 644, -901]
    assert digest(build(ModelSpec("mlp", (13,), 2)).initial(42)) == "174c91911c8379c6"
    assert digest(build(ModelSpec("cnn", (1, 28, 28), 10)).initial(42)) == "b70cb715fbe743e7"


def test_starts_depend_on_the_seed_and_stay_within_their_bound() -> None:
    model = build(ModelSpec("mlp", (24,), 2, {"hidden": [64]}))
    first, second = (model.initial(seed)["hidden1.weight"] for seed in (1, 2))
    assert not np.array_equal(first, second)
    assert np.abs(first).max() <= 2**19
    assert np.abs(first).max() > 0.98 * 2**19
    assert abs(first.mean()) < 2**15
    assert not model.initial(1)["hidden1.bias"].any()


def test_fraction_bits_are_the_policy_s() -> None:
    model = build(ModelSpec("mlp", (4,), 2, fraction_bits=16))
    assert {spec.fraction_bits for spec in model.tensors} == {16}
    weights = model.initial(0)
    assert np.abs(weights["hidden1.weight"]).max() <= 1.3 * 2**16


@pytest.mark.parametrize(
    ("spec", "key"),
    [
        (ModelSpec("perceptron", (4,), 2), "task.model"),
        (ModelSpec("mlp", (4,), 2, {"hiden": [3]}), "task.options.hiden"),
        (ModelSpec("mlp", (4,), 2, {"hidden": [0]}), "task.options.hidden.0"),
        (ModelSpec("mlp", (4,), 2, {"hidden": []}), "task.options.hidden"),
        (ModelSpec("logistic", (4,), 2, {"hidden": [3]}), "task.options.hidden"),
        (ModelSpec("cnn", (4,), 2), "task.model"),
        (ModelSpec("cnn", (1, 2, 2), 2, {"channels": [2, 2]}), "max pooling"),
        (ModelSpec("mlp", (4,), 2, private=("output.gain",)), "private"),
        (ModelSpec("logistic", (4,), 2, private=("weight", "bias")), "private"),
    ],
)
def test_a_bad_description_names_its_key(spec: ModelSpec, key: str) -> None:
    with pytest.raises(ModelDescriptionError) as caught:
        open_model(spec)
    assert caught.value.key == key


def test_one_class_is_none() -> None:
    with pytest.raises(ModelDescriptionError, match="at least 2"):
        describe(Task(), Shape(classes=1))


OWN = """
from fednode.models.exact import Linear
from fednode.models.stack import StackModel

def make(spec):
    return StackModel((Linear("only", spec.input_shape[0], spec.outputs),), spec.input_shape)

def wrong(spec):
    return 7

number = 3
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_models.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "own_models"


def test_a_user_s_factory_runs_once_it_is_allowed(own_module: str) -> None:
    name = f"{own_module}:make"
    model = open_model(ModelSpec(name, (4,), 3), own=[name])
    assert isinstance(model, StackModel)
    assert model.outputs == 3


def test_a_policy_alone_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "harmful_model.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModelNotAllowed, match="harmful_model:make"):
        open_model(ModelSpec("harmful_model:make", (4,), 2), own=["another:make"])


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("no_such_module:make", "PYTHONPATH"),
        ("own_models:none", "has no 'none'"),
        ("own_models:number", "not a function"),
        ("own_models:wrong", "not an exact model"),
    ],
)
def test_a_bad_factory_says_why(own_module: str, factory: str, reason: str) -> None:
    with pytest.raises(ModelDescriptionError, match=reason):
        open_model(ModelSpec(factory, (4,), 2), own=[factory])


def test_models_and_utilities_need_no_torch() -> None:
    code = (
        "import sys, fednode.models, fednode.models.export, fednode.evaluation.evaluator, "
        "fednode.training.task; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
