"""Reading a policy file: TOML in, a checked policy or one line that says what is wrong."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from fednode.data.schema import MOST_NAME
from fednode.models.errors import ModelDescriptionError
from fednode.models.registry import build
from fednode.policy.bounds import check_keys, check_values
from fednode.policy.document import Policy, require_leaves
from fednode.policy.errors import PolicyError
from fednode.policy.messages import first_error
from ledger import cbor
from ledger.errors import MalformedRecord
from ledger.names import composed, name_fault
from ledger.utf8 import NotUtf8, decode

MOST_BYTES: Final = 1 << 20


def load_policy(path: Path | str) -> Policy:
    """Read and check a policy file; PolicyError names the key."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise PolicyError("policy", "no such file; check the path", source=str(path)) from None
    except OSError as error:
        raise PolicyError("policy", error.strerror or "unreadable", source=str(path)) from None
    if len(data) > MOST_BYTES:
        raise PolicyError("policy", f"larger than {MOST_BYTES} bytes", source=str(path))
    try:
        text = decode(data)
    except NotUtf8 as error:
        raise PolicyError("policy", str(error), source=str(path)) from None
    return parse_policy(text, source=str(path))


def parse_policy(text: str, *, source: str = "policy") -> Policy:
    """Check a policy's TOML text; its fractions stay the decimals that were written."""
    check_keys(text, source=source)
    try:
        document = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise PolicyError("policy", f"not TOML: {_reason(error)}", source=source) from None
    check_values(document, source=source)
    try:
        policy = Policy.model_validate(document)
    except ValidationError as error:
        raise first_error(Policy, error, document, source=source) from None
    _require_sound(policy, source)
    _require_readable(policy, source)
    _require_model(policy, source)
    return policy


def _require_sound(policy: Policy, source: str) -> None:
    """Refuse what no new federation needs. The records of earlier ones are still read."""
    fault = name_fault(composed(policy.federation.name), most=MOST_NAME)
    if fault is not None:
        raise PolicyError("federation.name", fault, source=source)
    training = policy.training
    if Fraction(training.weight_decay) * Fraction(training.learning_rate) > 1:
        raise PolicyError(
            "training.weight_decay",
            "times training.learning_rate is above 1, so each step takes more from a weight than "
            "all of it, and weights can grow without end: lower one of the two",
            source=source,
        )


def _reason(error: Exception) -> str:
    """Say why a text is no TOML; Python words its limit of digits for programmers."""
    return "a number of too many digits" if "int_max_str" in str(error) else str(error)[:300]


def _require_readable(policy: Policy, source: str) -> None:
    """Refuse a policy whose record no node could read back."""
    try:
        record = cbor.decode(cbor.encode(policy.rest_record()))
    except MalformedRecord as error:
        raise PolicyError("policy", f"is too large for a record: {error}", source=source) from None
    if Policy.from_record(record, source=source) != policy:
        raise PolicyError("policy", "another policy comes back from its record", source=source)


def built_in(name: str) -> Policy:
    """Read one of the policies that come with the package, such as "heart"."""
    folder = resources.files("fednode").joinpath("policies")
    file = folder.joinpath(f"{name}.toml")
    if not name.isidentifier() or not file.is_file():
        known = sorted(
            entry.name.removesuffix(".toml")
            for entry in folder.iterdir()
            if entry.name.endswith(".toml")
        )
        raise PolicyError("policy", f"no built-in policy '{name}'; there are {', '.join(known)}")
    return parse_policy(file.read_text(encoding="utf-8"), source=f"{name}.toml")


def _require_model(policy: Policy, source: str) -> None:
    """Build the policy's model, unless it is program code of somebody's own."""
    if policy.task.own:
        return
    try:
        require_leaves(build(policy.model_spec).layout(policy.numeric_columns).leaves)
    except ModelDescriptionError as error:
        known = error.key.partition(".")[0] in ("task", "schema", "aggregation")
        key = error.key if known else f"task.{error.key}"
        raise PolicyError(key, error.reason, source=source) from None
