"""A plain run draws the same examples each time, and a seed that is shown repeats a fresh one."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAMPLE = """
import {module}
from hypothesis import given, settings, strategies

@settings(max_examples=8)
@given(strategies.integers())
def test_drawn(number):
    print("drawn", number)
"""


def run(folder: Path, *arguments: str, module: str = "json") -> tuple[str, list[str]]:
    """Run a property test that imports a module; give the header on its examples, and them."""
    file = folder / "test_sample.py"
    file.write_text(SAMPLE.format(module=module), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "tests.examples", "-p", "no:cacheprovider"]
    text = subprocess.run(
        [*command, "-s", f"--rootdir={folder}", *arguments, str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return re.findall(r"^examples: (.*)", text, re.M)[0], re.findall(r"drawn (\S+)", text)


def test_a_plain_run_draws_the_same_whatever_is_imported(tmp_path: Path) -> None:
    shown, drawn = run(tmp_path)
    assert shown == "always the same"
    assert len(drawn) == 8
    assert run(tmp_path, module="ledger.merkle") == (shown, drawn)


@pytest.mark.parametrize("profile", ["fresh", "long"])
def test_a_seed_that_is_shown_repeats_a_run(tmp_path: Path, profile: str) -> None:
    shown, drawn = run(tmp_path, f"--hypothesis-profile={profile}")
    assert re.search(r"--hypothesis-seed=\d+$", shown)
    assert run(tmp_path, *shown.split()) == (shown, drawn)
    assert run(tmp_path, "--hypothesis-seed=-1")[1] != drawn
