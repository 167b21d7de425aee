"""The documentation names what there is."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from fednode.cli import COMMANDS
from fednode.policy import Policy, load_policy

DOCS = Path(__file__).parents[2] / "docs"
ROOT = Path(__file__).parents[2]


def _keys(model: type[BaseModel]) -> set[str]:
    found: set[str] = set()
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= _keys(inner)
        else:
            found.add(field.alias or name)
    return found


def test_every_key_of_a_policy_is_explained() -> None:
    text = (DOCS / "policy.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`\[?([a-z_.]+)", text)) | set(re.findall(r"\[([a-z]+)[\].]", text))
    named |= {part for name in named for part in name.split(".")}
    later = {"proposer_fee", "attester_fee", "unavailable_fee", "rejection_fee"}
    assert _keys(Policy) - later <= named


def test_every_command_is_explained() -> None:
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert {name for name in COMMANDS if f"fednode {name}" not in text} == set()


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", "docs/design.md", "docs/liveness.md"]
)
def test_links_lead_somewhere(page: str) -> None:
    source = ROOT / page
    links = re.findall(r"\]\(([^)#:]+)\)", source.read_text(encoding="utf-8"))
    assert [link for link in links if not (source.parent / link).exists()] == []


@pytest.mark.parametrize("name", ["heart", "digits", "mnist"])
def test_shipped_policies_load(name: str) -> None:
    assert load_policy(ROOT / "fednode" / "policies" / f"{name}.toml").federation.name
