"""A mutant is tried in a process of its own, which loads it in place of its module."""

import sys
from pathlib import Path

import pytest
from hypothesis import settings

from scripts.assurance.campaign import VOID, Outcome
from scripts.assurance.python_mutants import compile_mutant, find_mutants
from scripts.assurance.trial import run_tests

# Newer versions of Python warn of a fork beside threads, which the plugins of pytest may have.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
SOURCE = "LIMIT = 3\n\n\ndef within(n):\n    while n < 0:\n        n += 1\n    return n < LIMIT\n"
TESTS = """
import pytest

from sample_module import within

def test_within():
    assert within(-2)
    assert not within(3)

def test_with_an_engine(anvil):
    raise AssertionError

@pytest.mark.slow
def test_slow():
    raise AssertionError

@pytest.fixture
def anvil(): ...
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings.register_profile("mutation", settings.default)
    (tmp_path / "sample_module.py").write_text(SOURCE)
    (tmp_path / "test_sample.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tried(package: Path, new: str, source: str = SOURCE) -> Outcome:
    number = next(m.number for m in find_mutants("sample_module.py", source) if m.new == new)
    code = compile_mutant(source, number, str(package / "sample_module.py"))
    return run_tests(["test_sample.py"], mutated=("sample_module", code), seconds=1.0)


def test_a_mutant_that_fails_a_test_is_killed_by_it(package: Path) -> None:
    outcome = tried(package, "return n <= LIMIT")
    assert (outcome.status, outcome.by) == ("killed", "test_sample.py::test_within")
    assert "sample_module" not in sys.modules


def test_a_mutant_that_passes_the_tests_survives(package: Path) -> None:
    outcome = tried(package, "LIMIT = 2")
    assert (outcome.status, outcome.by) == ("survived", "")


def test_a_mutant_that_goes_on_is_ended(package: Path) -> None:
    outcome = tried(package, "n -= 1")
    assert (outcome.status, outcome.by) == ("timeout", "")
    assert 0.5 < outcome.seconds < 2.5


def test_a_mutant_that_does_not_load_is_none(package: Path) -> None:
    source = SOURCE + "assert LIMIT == 3\n"
    outcome = tried(package, "LIMIT = 4", source)
    assert (outcome.status, outcome.by) == (VOID, "AssertionError: ")


def test_without_a_mutant_the_module_is_itself(package: Path) -> None:
    assert run_tests(["test_sample.py"], mutated=None, seconds=5.0).status == "survived"
