"""The wheel holds the three packages whole, and nothing else.

What runs from a checkout can still break once installed: artifacts, data and policies are files
that a build may leave out, and `.gitignore` may hide more than is meant. The wheel is built by the
environment's hatchling, without a network.
"""

import json
import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("fednode", "incentives", "ledger")
# What the packages cannot work without, beside the code.
NEEDED = {
    "fednode/py.typed",
    "incentives/py.typed",
    "ledger/py.typed",
    "ledger/contracts/artifacts/Federations.json",
    "ledger/contracts/artifacts/Create2Deployer.json",
}


def build_wheel(into: Path) -> Path:
    pytest.importorskip("hatchling", reason="hatchling is not installed: make lint installs it")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(into)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = into.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


def members(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    here = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    metadata = {name for name in members(wheel) if name.split("/")[0].endswith(".dist-info")}
    assert members(wheel) - metadata == here
    assert here >= NEEDED
    assert any(name.startswith("fednode/data/heart/") for name in here)
    assert any(name.startswith("fednode/policies/") and name.endswith(".toml") for name in here)


def test_the_wheel_stays_small(wheel: Path) -> None:
    assert wheel.stat().st_size < 1_000_000


def test_the_metadata_names_licence_command_and_python(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (info,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
        licence = archive.read(f"{info}/licenses/LICENSE").decode()
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "fednode = fednode.cli:main" in entry_points
    assert "Version 2.0, January 2004" in licence


def test_an_installed_wheel_finds_its_files(wheel: Path, tmp_path: Path) -> None:
    """Run from the unpacked wheel alone, far from the checkout: command and artifacts."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import fednode, ledger.contracts
from fednode.cli import main
assert fednode.__file__.startswith({str(tmp_path)!r}), fednode.__file__
assert ledger.contracts.artifact("Federations").bytecode
try:
    main(["--help"])
except SystemExit as stop:
    assert not stop.code, stop.code
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_pin_everything_and_name_no_address(lock: str) -> None:
    lines = (ROOT / lock).read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.lstrip().startswith("#")]
    assert all("==" in line for line in pins)
    assert not [line for line in lines if "://" in line or "--index" in line or "--find" in line]


def test_the_locks_agree() -> None:
    """What the demo runs on is what the tests ran on."""
    base, everything = (
        {line for line in (ROOT / lock).read_text("utf-8").splitlines() if line[:1].isalnum()}
        for lock in ("requirements.lock", "requirements-dev.lock")
    )
    assert base <= everything


def test_the_npm_lock_names_no_address_and_every_platform() -> None:
    """Where an entry for some platform is left out, `npm ci` fails everywhere."""
    text = (ROOT / "contracts/package-lock.json").read_text("utf-8")
    assert "resolved" not in text
    packages: dict[str, dict[str, object]] = json.loads(text)["packages"]
    for package in packages.values():
        optional = package.get("optionalDependencies", {})
        assert isinstance(optional, dict)
        for name, version in optional.items():
            assert packages[f"node_modules/{name}"]["version"] == version
