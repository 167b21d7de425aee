"""Mutants of Python: what the operators make, which are drawn, and what is kept of them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts.assurance.campaign import (
    VOID,
    Journal,
    Outcome,
    draw,
    read_equivalents,
    report,
    wilson,
)
from scripts.assurance.nearest import module, nearest
from scripts.assurance.python_mutants import Mutant, compile_mutant, find_mutants

ROOT = Path(__file__).parents[2]
FILE = "package/module.py"


def texts(source: str) -> set[str]:
    return {mutant.new for mutant in find_mutants(FILE, source)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", {"x = a <= b", "x = a >= b"}),
        ("x = a == b", {"x = a != b"}),
        ("x = a not in b", {"x = a in b"}),
        (
            "x = a < b <= c",
            {"x = a <= b <= c", "x = a >= b <= c", "x = a < b < c", "x = a < b > c"},
        ),
        ("x = a + b * c", {"x = a - b * c", "x = a + b // c"}),
        ("x = a // b", {"x = a * b", "x = -(-a // b)"}),
        ("x <<= a", {"x >>= a", "pass"}),
        ("x = a and b", {"x = a or b", "x = a", "x = b"}),
        ("x = not a", {"x = a"}),
        ("x = True", {"x = False"}),
        ("x = 7", {"x = 8", "x = 6"}),
        ("x = -a", {"x = a"}),
        ("if f(a):\n    x = a", {"if not f(a): pass"}),
        ("x = a if b else c", {"x = a if not b else c"}),
        ("x = [y for y in a if f(y)]", {"x = [y for y in a if not f(y)]"}),
        ("def f(a):\n    return g(a)", {"return None"}),
        ("def f(a):\n    return a > b", {"return a >= b", "return a <= b"}),
        ("f()", {"pass"}),
        ("a.b = c", {"pass"}),
        ("while f():\n    break", {"while not f(): pass", "pass", "continue"}),
        ("raise ValueError(1 + a)", {"pass"}),
        ("x = f(a, b, c=d)", {"x = f(b, a, c=d)"}),
        ("x = max(a, b)", {"x = min(a, b)"}),
        ("x = a[b:]", {"x = a[:]", "x = a[b + 1:]", "x = a[b - 1:]"}),
        ("x = a[:2]", {"x = a[:]", "x = a[:3]", "x = a[:1]"}),
    ],
)
def test_operators(source: str, expected: set[str]) -> None:
    assert texts(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "assert a < 1",
        "x: Literal[1] = a",
        "@cache(1)\ndef f(): ...",
        '"""A text."""',
        'x = f"{a + 1}"',
        "if TYPE_CHECKING:\n    x = 1",
        "x = zip(a, strict=True)",
        "x = isinstance(a, b)",
        "x = f(a, *b)",
        "x = a",
    ],
)
def test_what_no_test_could_tell_is_no_mutant(source: str) -> None:
    assert texts(source) == set()


def test_a_mutant_is_its_module_with_one_change() -> None:
    source = "def f(a, b):\n    c = a - b\n    return 2 * c\n"
    results = {}
    for mutant in find_mutants(FILE, source):
        names: dict[str, object] = {}
        exec(compile_mutant(source, mutant.number, FILE), names)
        results[mutant.line, mutant.new] = names["f"](10, 4)  # type: ignore[operator]
    assert results == {
        (2, "c = a + b"): 28,
        (3, "return None"): None,
        (3, "return 2 // c"): 0,
        (3, "return 3 * c"): 18,
        (3, "return 1 * c"): 6,
    }
    with pytest.raises(IndexError, match="no change 99"):
        compile_mutant(source, 99, FILE)


def test_names_outlast_changes_elsewhere() -> None:
    source = "x = a + b\ny = a + b\nx = a + b\n"
    before = find_mutants(FILE, source)
    after = find_mutants(FILE, "import os\nz = f(a)\n" + source)
    assert len({mutant.name for mutant in before}) == 3
    assert [m.name for m in after] == [m.name for m in before]
    assert [m.line for m in after] == [m.line + 2 for m in before]
    assert {m.name for m in find_mutants("other.py", source)}.isdisjoint(m.name for m in before)


# -- the sample


def mutants(count: int, file: str = FILE) -> list[Mutant]:
    return [
        Mutant(f"{file} {n}", file, n, "constant", f"x = {n}", "x = 0", n) for n in range(count)
    ]


def test_a_sample_has_each_files_share_and_grows() -> None:
    every = mutants(90, "a.py") + mutants(30, "b.py") + mutants(1, "c.py")
    small, large = draw(every, 12, seed=1), draw(every, 40, seed=1)
    assert [sum(m.file == name for m in small) for name in ("a.py", "b.py", "c.py")] == [9, 3, 1]
    assert {m.name for m in small} < {m.name for m in large}
    assert {m.name for m in draw(every, 12, seed=2)} != {m.name for m in small}
    assert {m.name for m in draw(every[::-1], 12, seed=1)} == {m.name for m in small}
    assert len(draw(every, 0, seed=1)) == len(every)
    # The first of a sample are one as well.
    assert [sum(m.file == name for m in large[:20]) for name in ("a.py", "b.py")] == [15, 5]


def test_the_interval_of_a_share() -> None:
    assert wilson(141, 141) == pytest.approx((0.97348, 1.0), abs=1e-5)
    assert wilson(5, 10) == pytest.approx((0.23659, 0.76341), abs=1e-5)


# -- what is kept


def test_a_journal_remembers_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.jsonl"
    first, second, third = mutants(3)
    journal = Journal(path)
    journal.write(first, Outcome("survived", "", 1.0))
    journal.write(second, Outcome("survived", "", 1.0))
    journal.write(first, Outcome("killed", "test_it", 2.5))
    again = Journal(path)
    assert again.outcomes == journal.outcomes
    assert again.outcomes[first.name] == Outcome("killed", "test_it", 2.5)
    assert json.loads(path.read_text().splitlines()[-1])["place"] == f"{FILE}:0"
    assert again.waiting([first, second, third], {}) == [third]
    assert again.waiting([first, second, third], {}, again=True) == [second, third]
    explained = {(FILE, second.old, second.new): "It is so."}
    assert again.waiting([first, second, third], explained, again=True) == [third]


@pytest.mark.parametrize(
    ("statuses", "explained", "status", "said"),
    [
        (["killed", "timeout", "killed"], 0, 0, "3 of 3 killed (1 by running out of time)"),
        (["killed", "survived", "killed"], 0, 1, "2 of 3 killed"),
        (["killed", "survived", "killed"], 1, 0, "2 of 2 killed"),
        (["killed", VOID], 0, 0, "1 could not be built\ndrawn from 9 mutants; 1 are still"),
    ],
)
def test_a_survivor_fails_unless_it_is_explained(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    statuses: Sequence[str],
    explained: int,
    status: int,
    said: str,
) -> None:
    drawn = mutants(3)
    journal = Journal(tmp_path / "outcomes.jsonl")
    for mutant, outcome in zip(drawn, statuses, strict=False):
        journal.write(mutant, Outcome(outcome, "", 1.0))
    path = tmp_path / "equivalent.toml"
    row = f'[[mutant]]\nfile = "{FILE}"\nold = "x = 1"\nnew = "x = 0"\nwhy = "It is so."\n'
    path.write_text(row * explained)
    found = report(drawn, 9, journal=journal, equivalents=read_equivalents(path))
    printed = capsys.readouterr().out
    assert found == status
    assert said in printed
    assert ("- x = 1\n  + x = 0" in printed) == bool(status)


def test_what_is_explained_is_a_mutant() -> None:
    explained = read_equivalents(ROOT / "scripts/assurance/equivalent-python.toml")
    for file in {file for file, _, _ in explained}:
        found = find_mutants(file, (ROOT / file).read_text(encoding="utf-8"))
        made = {(m.file, m.old, m.new) for m in found}
        assert {key for key in explained if key[0] == file} - made == set()


# -- which tests are near


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {
        "tests/ledger/records/test_cid.py": "from ledger.cid import CID",
        "tests/ledger/test_batch.py": "from ledger import batch, cid",
        "tests/ledger/stores/test_car.py": "import ledger.stores.car",
        "tests/ledger/stores/test_kubo.py": "from ledger.types import Digest",
        "tests/fednode/test_cid.py": "from ledger.cid import CID",
        "tests/e2e/test_car.py": "import ledger.stores.car",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "named", "others"),
    [
        ("ledger/cid.py", {"tests/ledger/records/test_cid.py"}, {"tests/ledger/test_batch.py"}),
        (
            "ledger/stores/car.py",
            {"tests/ledger/stores/test_car.py"},
            {"tests/ledger/stores/test_kubo.py"},
        ),
        ("ledger/types.py", set(), {"tests/ledger/stores/test_kubo.py"}),
        ("incentives/games.py", set(), set()),
    ],
)
def test_nearest(tree: Path, file: str, named: set[str], others: set[str]) -> None:
    near = nearest(tree, file)
    assert (set(near.named), set(near.others)) == (named, others)
    assert near.whole == ()


def test_tests_of_whole_federations_count_for_the_audit() -> None:
    root = Path(__file__).parents[2]
    whole = set(nearest(root, "ledger/audit/erasures.py").whole)
    assert whole >= {"tests/ledger/audit/test_replay.py", "tests/tamper/test_tampering.py"}


def test_modules_have_the_names_they_are_imported_by() -> None:
    assert module(Path("ledger/stores/car.py")) == "ledger.stores.car"
    assert module(Path("ledger/audit/__init__.py")) == "ledger.audit"
