"""From the policy's words to a model: the built-in ones by name, a user's own as `module:factory`.

A user's own model is program code. A policy that came from somebody else must not decide which code
runs here, so a factory is called only if the node's owner has allowed it by name.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from fednode.models.base import Model, ModelSpec
from fednode.models.cnn import CnnOptions, cnn
from fednode.models.errors import ModelDescriptionError, ModelNotAllowed, OwnModelError
from fednode.models.layout import WEIGHT_BITS
from fednode.models.logistic import LogisticOptions, logistic
from fednode.models.mlp import MlpOptions, mlp
from fednode.models.stack import StackModel

Options = TypeVar("Options", bound=BaseModel)
Around = Callable[[], AbstractContextManager[object]]


class DataShape(Protocol):
    """The policy's schema, as far as a model needs it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one encoded row."""
        ...

    @property
    def classes(self) -> int:
        """Count the classes."""
        ...


class Task(Protocol):
    """The policy's task section, as far as a model needs it."""

    @property
    def model(self) -> str:
        """Return a built-in model's name, or `module:factory`."""
        ...

    @property
    def options(self) -> Mapping[str, object]:
        """Return the model's own options."""
        ...

    @property
    def private(self) -> Sequence[str]:
        """Return the names of the private tensors."""
        ...


def describe(task: Task, schema: DataShape, *, fraction_bits: int = WEIGHT_BITS) -> ModelSpec:
    """Join the policy's task section with the shape of its data."""
    if schema.classes < 2:
        raise ModelDescriptionError("schema", f"{schema.classes} classes; at least 2 are needed")
    return ModelSpec(
        model=task.model,
        input_shape=tuple(schema.shape),
        classes=schema.classes,
        options=dict(task.options),
        private=tuple(task.private),
        fraction_bits=fraction_bits,
    )


def open_model(spec: ModelSpec, *, own: Collection[str] = ()) -> Model:
    """Open the policy's model; `own` names the users' factories that may run here.

    Raises ModelNotAllowed, or ModelDescriptionError, naming the policy's key.
    """
    made = open_spec(spec, own=own)
    if not isinstance(made, Model):
        raise OwnModelError(
            "task.model", f"{spec.model!r} makes a {type(made).__name__}, not an exact model"
        )
    return made


def open_spec(
    spec: ModelSpec, *, own: Collection[str] = (), around: Around = nullcontext
) -> object:
    """Build a built-in model, or whatever the user's factory makes of the description.

    `around` is entered once the factory's module is imported.
    """
    return call_factory(spec, own, around) if is_own(spec.model) else build(spec)


def build(spec: ModelSpec) -> Model:
    """Build a built-in model."""
    if spec.model == "logistic":
        return _built_in(spec, LogisticOptions, logistic)
    if spec.model == "mlp":
        return _built_in(spec, MlpOptions, mlp)
    if spec.model == "cnn":
        return _built_in(spec, CnnOptions, cnn)
    raise ModelDescriptionError(
        "task.model", f"{spec.model!r} is none of logistic, mlp, cnn, nor a module:factory"
    )


def is_own(model: str) -> bool:
    """Tell whether a policy's model is a user's own factory."""
    return ":" in model


def call_factory(spec: ModelSpec, allowed: Collection[str], around: Around = nullcontext) -> object:
    """Import `module:factory` and call it with the model's description."""
    if spec.model not in allowed:
        raise ModelNotAllowed(spec.model)
    module_name, _, name = spec.model.partition(":")
    try:
        factory = getattr(import_module(module_name), name)
    except ImportError as error:
        raise OwnModelError(
            "task.model", f"cannot import {module_name!r} ({error}); put its folder on PYTHONPATH"
        ) from error
    except AttributeError as error:
        raise OwnModelError("task.model", f"module {module_name!r} has no {name!r}") from error
    except (Exception, SystemExit) as error:
        raise OwnModelError(
            "task.model", f"module {module_name!r} cannot be imported: {told(error)}"
        ) from error
    if not callable(factory):
        raise OwnModelError("task.model", f"{spec.model!r} is not a function")
    try:
        with around():
            made: object = factory(spec)
    except OwnModelError:
        raise
    except (Exception, SystemExit) as error:
        raise OwnModelError(
            "task.model", f"{spec.model!r} refuses the description: {told(error)}"
        ) from error
    return made


def told(error: BaseException) -> str:
    """Name an exception of a user's code and its text, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _built_in(
    spec: ModelSpec, kind: type[Options], make: Callable[[ModelSpec, Options], StackModel]
) -> StackModel:
    try:
        options = kind.model_validate(dict(spec.options))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in ("task.options", *first["loc"]))
        raise ModelDescriptionError(key, first["msg"]) from error
    return make(spec, options)
