"""From pydantic's errors to one line that names the key and says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from fednode.policy.errors import PolicyError

_KEYED = re.compile(r"([a-z][a-z_]*(?:\.[a-z_]+)*): (.*)", re.DOTALL)
_SHOWN = 60
_NOTHING = object()


def first_error(
    model: type[BaseModel], error: ValidationError, value: object, *, source: str
) -> PolicyError:
    """Turn the first of the errors into a PolicyError; the number of others is told."""
    details = error.errors(include_url=False)
    key, reason = _explain(model, details[0], value)
    if len(details) > 1:
        reason += f" (and {len(details) - 1} more)"
    return PolicyError(key or "policy", reason, source=source)


def _explain(model: type[BaseModel], detail: ErrorDetails, value: object) -> tuple[str, str]:
    path = _path(detail["loc"], value, absent=detail["type"] in ("missing", "extra_forbidden"))
    key = _name(path)
    if detail["type"] == "extra_forbidden":
        return key, _unknown(model, detail["loc"])
    if detail["type"] == "missing":
        return key, "missing; every policy needs it"
    message = detail["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    inner = _KEYED.fullmatch(message)
    if detail["type"] == "value_error" and inner is not None:
        return ".".join(part for part in (key, inner[1]) if part), inner[2]
    found = detail.get("input")
    if isinstance(found, str | int | float) and _short(found):
        message += f" (found {found!r})"
    return key, message


def _short(found: str | int | float) -> bool:
    # Python refuses to write an integer of thousands of digits.
    if isinstance(found, int) and found.bit_length() > 256:
        return False
    return len(repr(found)) <= _SHOWN


def _path(loc: Sequence[int | str], value: object, *, absent: bool) -> list[int | str]:
    """Leave out the parts of a location that name a choice of types, not a key of the file.

    `absent`: the last part is a key that is wrong or not there at all.
    """
    path: list[int | str] = []
    for position, part in enumerate(loc):
        inner = _inner(value, part)
        if inner is not _NOTHING:
            value = inner
        elif not (absent and position == len(loc) - 1):
            continue
        path.append(part)
    return path


def _inner(value: object, part: int | str) -> object:
    if isinstance(value, Mapping):
        return value.get(part, _NOTHING)
    if isinstance(value, list | tuple) and isinstance(part, int) and part < len(value):
        return value[part]
    return _NOTHING


def _name(path: Sequence[int | str]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _unknown(model: type[BaseModel], loc: Sequence[int | str]) -> str:
    known = sorted({name for fits in _models_at(model, loc[:-1]) for name in _keys(fits)})
    near = get_close_matches(str(loc[-1]), known, 1)
    if near:
        return f"unknown key; did you mean '{near[0]}'?"
    return f"unknown key; known here: {', '.join(known)}"


def _keys(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield field.alias or name


def _models_at(model: type[BaseModel], loc: Sequence[int | str]) -> list[type[BaseModel]]:
    """Find the sections that a location may be in."""
    models = [model]
    for part in loc:
        if isinstance(part, int):
            continue
        inner = [
            found
            for outer in models
            for name, field in outer.model_fields.items()
            if part == (field.alias or name)
            for found in _models_in(field.annotation)
        ]
        models = inner or [fits for fits in models if _is_kind(fits, part)] or models
    return models


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _is_kind(model: type[BaseModel], kind: str) -> bool:
    field = model.model_fields.get("kind")
    return (
        field is not None
        and get_origin(field.annotation) is Literal
        and kind in get_args(field.annotation)
    )
