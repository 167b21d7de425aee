"""A model version as one safetensors file that says how to use it.

Tensors are floats under their own names: float32 where that is exact, else float64, so reading the
file back gives the very integers of the model version. The metadata holds one entry, `fednode`:
JSON with the model's description, its tensors' kinds and fractional bits, the preprocessing of its
inputs and where the version comes from. The same version always gives the same bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fednode.files import write_file
from fednode.models.base import ModelSpec
from fednode.models.errors import ExportError, ModelError, TensorError
from fednode.models.layout import TensorKind, Tensors, TensorSpec, dequantise, quantise

FORMAT = "fednode model 1"
_KEY = "fednode"


@dataclass(frozen=True, slots=True)
class ModelExport:
    """A model version with all that is needed to use it; the two records are JSON values."""

    model: ModelSpec
    tensors: tuple[TensorSpec, ...]
    values: Tensors
    preprocessing: Mapping[str, object] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)


class _Tensor(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    shape: tuple[int, ...]
    kind: TensorKind
    fraction_bits: int

    def spec(self) -> TensorSpec:
        return TensorSpec(self.name, self.shape, self.kind, self.fraction_bits)


class _Description(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    input_shape: tuple[int, ...]
    classes: int
    options: dict[str, object]
    private: tuple[str, ...]
    fraction_bits: int

    def spec(self) -> ModelSpec:
        options = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in self.options.items()
        }
        return ModelSpec(
            self.model, self.input_shape, self.classes, options, self.private, self.fraction_bits
        )


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str
    model: _Description
    tensors: tuple[_Tensor, ...]
    preprocessing: dict[str, object]
    provenance: dict[str, object]


def write_export(path: Path, export: ModelExport) -> None:
    """Write the file, or leave what was there before."""
    write_file(path, encode_export(export))


def encode_export(export: ModelExport) -> bytes:
    """Return the bytes of the file."""
    floats: dict[str, NDArray[np.floating]] = {}
    for spec in export.tensors:
        values = export.values.get(spec.name)
        if values is None or values.shape != spec.shape:
            raise TensorError(spec.name, f"is missing, or not of shape {spec.shape}")
        floats[spec.name] = _shortest(dequantise(values, spec.fraction_bits))
    metadata = {
        "format": FORMAT,
        "model": {**asdict(export.model), "options": dict(export.model.options)},
        "tensors": [{**asdict(spec), "kind": spec.kind.value} for spec in export.tensors],
        "preprocessing": dict(export.preprocessing),
        "provenance": dict(export.provenance),
    }
    data: bytes = save(floats, {_KEY: json.dumps(metadata, sort_keys=True)})
    return data


def read_export(path: Path) -> ModelExport:
    """Read a file that `write_export` wrote; raise ExportError for anything else."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = _metadata(path, (file.metadata() or {}).get(_KEY))
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise ExportError(str(path), "there is no such file") from error
    except (SafetensorError, OSError) as error:
        raise ExportError(str(path), f"not a safetensors file ({error})") from error
    try:
        specs = tuple(tensor.spec() for tensor in metadata.tensors)
        values = {spec.name: _exact(spec, stored.get(spec.name)) for spec in specs}
    except ModelError as error:
        raise ExportError(str(path), str(error)) from error
    return ModelExport(
        model=metadata.model.spec(),
        tensors=specs,
        values=values,
        preprocessing=metadata.preprocessing,
        provenance=metadata.provenance,
    )


def _metadata(path: Path, text: str | None) -> _Metadata:
    if text is None:
        raise ExportError(str(path), f"has no {_KEY!r} metadata: it was not exported by fednode")
    try:
        metadata = _Metadata.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ExportError(str(path), f"metadata {where}: {first['msg']}") from error
    if metadata.format != FORMAT:
        raise ExportError(str(path), f"format {metadata.format!r} is not {FORMAT!r}")
    return metadata


def _shortest(values: NDArray[np.float64]) -> NDArray[np.floating]:
    short = values.astype(np.float32)
    exact = bool((short.astype(np.float64) == values).all())
    return np.ascontiguousarray(short if exact else values)


def _exact(spec: TensorSpec, values: NDArray[np.floating] | None) -> NDArray[np.int32]:
    if values is None or values.shape != spec.shape or values.dtype.kind != "f":
        raise TensorError(spec.name, f"is missing, or not floats of shape {spec.shape}")
    fixed = quantise(spec.name, values, spec.fraction_bits)
    if not np.array_equal(dequantise(fixed, spec.fraction_bits), values):
        raise TensorError(spec.name, f"is not in fixed point of {spec.fraction_bits} bits")
    return fixed
