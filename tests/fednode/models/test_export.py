import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save_file

from fednode.errors import FedNodeError
from fednode.models.base import ModelSpec
from fednode.models.errors import ExportError, TensorError
from fednode.models.export import ModelExport, encode_export, read_export, write_export
from fednode.models.registry import build, open_model

SPEC = ModelSpec("mlp", (4,), 2, {"hidden": (3,)}, private=("output.bias",))
PREPROCESSING = {"fraction_bits": 16, "numeric": [{"feature": "age", "mean": 12, "known": True}]}


def export(seed: int = 1) -> ModelExport:
    model = build(SPEC)
    values = {**model.initial(seed), **model.private_initial()}
    return ModelExport(SPEC, model.tensors, values, PREPROCESSING, {"version": 3})


def test_a_file_reads_back_as_the_very_version(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_export(path, export())
    back = read_export(path)
    assert back.model == SPEC
    assert back.tensors == export().tensors
    assert back.preprocessing == PREPROCESSING
    assert back.provenance == {"version": 3}
    assert all(np.array_equal(back.values[n], v) for n, v in export().values.items())
    features = np.arange(12, dtype=np.int32).reshape(3, 4) << 14
    logits = open_model(back.model).logits(back.values, features)
    assert np.array_equal(logits, build(SPEC).logits(export().values, features))
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.safetensors"]


def test_others_read_plain_floats(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    write_export(path, export())
    plain = load_file(path)
    assert plain["hidden1.weight"].dtype == np.float32
    assert np.array_equal(plain["hidden1.weight"] * 2**20, export().values["hidden1.weight"])


@settings(max_examples=30, deadline=None)
@given(
    hnp.arrays(np.int32, (3, 4), elements=st.integers(-(2**31), 2**31 - 1)),
    st.integers(0, 2**32),
)
def test_any_version_survives(
    tmp_path_factory: pytest.TempPathFactory, weight: np.ndarray, seed: int
) -> None:
    path = tmp_path_factory.mktemp("export") / "model.safetensors"
    version = export(seed)
    version.values["hidden1.weight"] = weight
    write_export(path, version)
    assert np.array_equal(read_export(path).values["hidden1.weight"], weight)


def test_the_same_version_gives_the_same_bytes() -> None:
    assert len({encode_export(export()) for _ in range(20)}) == 1


def test_a_version_without_all_tensors_is_not_written(tmp_path: Path) -> None:
    version = export()
    del version.values["output.bias"]
    with pytest.raises(TensorError, match=r"output\.bias"):
        write_export(tmp_path / "model.safetensors", version)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(FedNodeError, match="cannot be written"):
        write_export(tmp_path / "file" / "model.safetensors", export())


def test_other_files_are_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(ExportError, match="no such file"):
        read_export(path)
    for junk in (b"", b"junk", b"\xff" * 64, encode_export(export())[:-5]):
        path.write_bytes(junk)
        with pytest.raises(ExportError, match="not a safetensors file"):
            read_export(path)
    save_file({"w": np.zeros(3, dtype=np.float32)}, path)
    with pytest.raises(ExportError, match="not exported by fednode"):
        read_export(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "fednode model 9"}, "format"),
        ({"tensors": 3}, "tensors"),
        ({"extra": 1}, "extra"),
        (
            {"tensors": [{"name": "q", "shape": [1], "kind": "shared", "fraction_bits": 20}]},
            "missing",
        ),
        (
            {"tensors": [{"name": "w", "shape": [1], "kind": "shared", "fraction_bits": 20}]},
            "not in fixed point",
        ),
        ({"tensors": [{"name": "w", "shape": [1], "kind": "shared", "fraction_bits": 99}]}, "99"),
    ],
)
def test_bad_metadata_is_refused(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    path = tmp_path / "model.safetensors"
    write_export(path, ModelExport(SPEC, (), {}))
    metadata = {
        "format": "fednode model 1",
        "model": {
            "model": "mlp",
            "input_shape": [4],
            "classes": 2,
            "options": {},
            "private": [],
            "fraction_bits": 20,
        },
        "tensors": [],
        "preprocessing": {},
        "provenance": {},
    }
    stored = {"w": np.array([2.0**-22], dtype=np.float32)}
    save_file(stored, path, {"fednode": json.dumps({**metadata, **change})})
    with pytest.raises(ExportError, match=reason):
        read_export(path)
