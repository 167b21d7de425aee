"""`fednode data evaluation` writes the very rows that a federation is measured on."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fednode.cli import main
from fednode.data.salted import SaltedRows
from fednode.evaluation.slices import cut
from fednode.membership import site_secret
from fednode.policy import load_policy
from fednode.site import evaluation_rows, load_site, open_sites

POLICY = """
[federation]
name = "Digits"
open = true
start_participants = 4
max_participants = 4
[task]
model = "logistic"
[schema]
kind = "image"
shape = [1, 8, 8]
range = [0, 16]
labels = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
[data]
source = "digits"
public = true
sites = 4
[data.partition]
kind = "iid"
[training]
rounds = 5
[evaluation]
mode = "{mode}"
rows = 40
[valuation]
kind = "{kind}"
"""


@pytest.fixture
def policy(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(
        POLICY.format(
            mode=request.param, kind="none" if request.param == "none" else "leave-one-out"
        )
    )
    return path


def write(policy: Path, *options: str) -> Result:
    out = str(policy.parent / "rows")
    command = ["data", "evaluation", "--policy", str(policy), "--out", out, "--json", *options]
    command.append("--public-rows")
    return CliRunner().invoke(main, command)


@pytest.mark.parametrize("policy", ["slices"], indirect=True)
def test_slices_are_printed_by_their_root(policy: Path) -> None:
    result = write(policy)
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    rows = SaltedRows.load(policy.parent / "rows")
    slices = cut(rows, 5)
    assert told["root"] == slices.root.hex()
    assert (told["rows"], [len(part) for part in slices.parts]) == (200, [40] * 5)


@pytest.mark.parametrize("policy", ["shards"], indirect=True)
def test_a_shard_is_the_one_that_its_site_joins_with(policy: Path) -> None:
    journal = policy.parent / "journal"
    result = write(policy, "--site", "site-1", "--journal", str(journal))
    assert result.exit_code == 0, result.output
    read = load_policy(policy)
    site = load_site(read, open_sites(read, public_rows=True), "site-1")
    committed = site.commitment(site_secret(journal))
    assert json.loads(result.stdout)["root"] == committed.root.hex()
    assert SaltedRows.load(policy.parent / "rows").commitment == committed.root
    assert committed.rows == len(site.train)
    assert len(site.shard or ()) == 40
    assert "give --site and --journal" in write(policy).stderr


@pytest.mark.parametrize("policy", ["public"], indirect=True)
def test_public_rows_are_the_published_ones(policy: Path) -> None:
    assert write(policy).exit_code == 0
    read = load_policy(policy)
    published = evaluation_rows(read, open_sites(read, public_rows=True))
    assert published is not None
    found = SaltedRows.load(policy.parent / "rows").rows
    assert found.artefact().roots == published.artefact().roots
    assert "cannot be written: File exists" in write(policy).stderr


@pytest.mark.parametrize("policy", ["none"], indirect=True)
def test_nothing_is_measured_on_no_rows(policy: Path) -> None:
    assert "measures on no rows" in write(policy).stderr


@pytest.mark.parametrize("policy", ["slices"], indirect=True)
def test_rows_that_cannot_be_cut_leave_no_file(policy: Path) -> None:
    policy.write_text(policy.read_text().replace("rounds = 5", "rounds = 5000"))
    result = write(policy)
    assert result.exit_code == 1
    assert "cannot be cut into 5000 slices" in result.stderr
    assert not (policy.parent / "rows").exists()
