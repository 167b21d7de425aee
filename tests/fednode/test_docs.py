"""The documentation names what there is."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from fednode.cli import COMMANDS
from fednode.policy import Policy, load_policy

DOCS = Path(__file__).parents[2] / "docs"
ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{page.name}" for page in DOCS.glob("*.md"))]


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


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    source = ROOT / page
    links = re.findall(r"\]\(([^)#:]+)\)", source.read_text(encoding="utf-8"))
    assert [link for link in links if not (source.parent / link).exists()] == []


def _tests() -> tuple[set[str], set[str], str]:
    """Name all files of tests, all tests, and give the text of the faults of `tests/chaos`."""
    python = sorted((ROOT / "tests").rglob("*.py"))
    solidity = sorted((ROOT / "contracts" / "test").rglob("*.t.sol"))
    code = "".join(path.read_text(encoding="utf-8") for path in (*python, *solidity))
    named = set(re.findall(r"(?:def|function) ((?:test|testFuzz|invariant|after)\w+)", code))
    files = {path.name for path in python} | {path.name.split(".")[0] for path in solidity}
    return files, named, (ROOT / "tests/chaos/faults.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["threats", "liveness", "assurance"])
def test_what_is_shown_by_a_test_is(page: str) -> None:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    files, named, faults = _tests()
    quoted = set(re.findall(r"`([^`\s]+)`", text))
    paths = {name for name in quoted if name.startswith(("tests/", "scripts/", "contracts/"))}
    assert {name for name in paths if "*" not in name and not (ROOT / name).exists()} == set()
    tests = {
        name for name in quoted if re.match(r"(test|invariant|after)\w*[A-Z_]\w*(\.py)?$", name)
    }
    assert {name for name in tests if name not in files | named} == set()
    suites = set(re.findall(r"forge: (\w+(?:, [A-Z]\w+)*)", text))
    assert {name for suite in suites for name in suite.split(", ")} <= files | {"verifier"}
    chaos = {
        name
        for names in re.findall(r"((?:`\w+`, )*`\w+`) \(chaos\)", text)
        for name in re.findall(r"\w+", names)
    }
    assert {name for name in chaos if f"class {name}" not in faults} == set()


@pytest.mark.parametrize("name", ["heart", "digits", "mnist"])
def test_shipped_policies_load(name: str) -> None:
    assert load_policy(ROOT / "fednode" / "policies" / f"{name}.toml").federation.name
