"""The scripts are thin, and run from a checkout as they are."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.fednode.cli.world import World

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"


def script(
    name: str, *arguments: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder that is not the checkout's."""
    return subprocess.run(
        [sys.executable, str(SCRIPTS / name), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=SCRIPTS.parent.parent,
        env={"PATH": "", "LANG": "C.UTF-8", **(variables or {})},
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [("run_node.py", ["participant", "proposer"]), ("compile_contracts.py", ["--solc"])],
)
def test_a_script_says_how_it_is_used(name: str, words: list[str]) -> None:
    done = script(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert [word for word in words if word not in done.stdout] == []


def test_a_script_fails_as_the_command_does() -> None:
    done = script("deploy.py", "--rpc", "ftp://x", "--account", "none", "--json")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "unknown scheme" in json.loads(done.stdout)["error"]["message"]
    assert done.stderr.count("\n") == 1


def test_scripts_do_what_the_commands_do(world: World) -> None:
    desk = world.desk
    account = str(desk.folder / "2.json")
    found = script("deploy.py", "--account", account, "--json", variables=desk.variables)
    assert json.loads(found.stdout)["ledger"] == desk.variables["FEDNODE_LEDGER"]
    node = script("run_node.py", "proposer", "--account", account, variables=desk.variables)
    assert (node.returncode, "has ended: 2 results" in node.stdout) == (0, True)
    bundle = str(desk.folder / "bundle.car")
    audit = script("audit.py", "--bundle", bundle, "--trust-block", world.trust, "--json")
    assert (audit.returncode, json.loads(audit.stdout)["holds"]) == (0, True)
