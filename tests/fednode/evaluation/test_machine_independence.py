"""The same tensors have the same utilities, whatever threads and instructions compute them."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from fednode.evaluation.metrics import METRICS, LabelledRows, utilities
from fednode.models import stack
from fednode.models.base import ModelSpec
from fednode.models.layout import Tensors
from fednode.models.registry import build
from fednode.models.start import uniform

ROWS = 70
SPECS = (
    ModelSpec("logistic", (20,), 2, private=("bias",)),
    ModelSpec("mlp", (64,), 10, {"hidden": (200, 100)}),
    ModelSpec("cnn", (3, 20, 20), 4),
)


def measured(spec: ModelSpec) -> list[list[int]]:
    model = build(spec)
    versions: list[Tensors] = [
        {
            s.name: uniform(s.shape, 2**21 // s.shape[-1], seed=(version, position))
            for position, s in enumerate(model.tensors)
        }
        for version in range(3)
    ]
    rows = LabelledRows(
        uniform((ROWS, *spec.input_shape), 2**18, seed=(7, 0)),
        uniform((ROWS,), 2**20, seed=(7, 1)).astype(np.int64) % spec.classes,
        uniform((ROWS,), 2**20, seed=(7, 2)).astype(np.int64) % 3,
    )
    return [utilities(model, versions, rows, metric) for metric in METRICS]


def fingerprint() -> str:
    return hashlib.sha256(repr([measured(spec) for spec in SPECS]).encode()).hexdigest()


@pytest.fixture(scope="module")
def here() -> str:
    return fingerprint()


@pytest.mark.parametrize(
    "environment",
    [
        {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"},
        {"ATEN_CPU_CAPABILITY": "default"},
        {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"},
    ],
    ids=["one thread", "two threads", "torch without vectors", "old processor"],
)
def test_threads_and_instructions_do_not_matter(here: str, environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == here


@pytest.mark.parametrize("size", [1, 7, 70])
def test_the_batch_size_does_not_matter(
    here: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "CONVOLUTION_ROWS", size)
    monkeypatch.setattr(stack, "_BLOCK_VALUES", size * 300)
    assert fingerprint() == here


def test_utilities_are_what_they_were(here: str) -> None:
    assert here == "d348aa32924e9ce856ad6338cf3f9b9f226d190b44b0ad69fb2e43bc9578a369"


if __name__ == "__main__":
    sys.stdout.write(fingerprint())
