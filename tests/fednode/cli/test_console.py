"""Consoles of other encodings, full disks and files that cannot be written: never an accusation."""

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from click.testing import CliRunner

from fednode.auditing import run_audit
from fednode.cli import COMMANDS, main
from fednode.errors import FedNodeError
from fednode.files import require_writable, write_file
from ledger.audit.sources import bundle_evidence
from ledger.stores import RecordingStore
from tests.fednode.cli.world import require_one_line
from tests.tamper.test_on_chain import told

ENCODINGS: dict[str, Mapping[str, str]] = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "cp437, strictly": {"PYTHONIOENCODING": "cp437:strict"},
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "ascii, strictly": {"PYTHONIOENCODING": "ascii:strict"},
    "no locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "utf-8": {"PYTHONIOENCODING": "utf-8"},
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Give a good bundle and its trusted block."""
    live = told()
    evidence = replace(live.evidence(), store=RecordingStore(live.store))
    assert run_audit(evidence).holds
    path = tmp_path_factory.mktemp("bundle") / "evidence.car"
    return path, "0x" + bundle_evidence(path, evidence, live.chain).hash.hex()


def audit(
    bundle: tuple[Path, str],
    *more: str,
    stdout: int = subprocess.PIPE,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.CompletedProcess[bytes]:
    """Audit a bundle as a program of its own."""
    path, trust = bundle
    program = "from fednode.cli import main; main()"
    line = [sys.executable, "-c", program, "audit", "--bundle", str(path), "--trust-block", trust]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FEDNODE_", "PYTHONIO"))}
    return subprocess.run(
        [*line, *more],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**kept, **variables},
        check=False,
    )


@pytest.mark.parametrize("name", ENCODINGS)
def test_an_audit_prints_on_any_console(name: str, bundle: tuple[Path, str]) -> None:
    ran = audit(bundle, variables=ENCODINGS[name])
    assert (ran.returncode, ran.stderr) == (0, b"")
    encoding = ENCODINGS[name].get("PYTHONIOENCODING", "ascii").partition(":")[0]
    text = ran.stdout.decode(encoding)
    mark = "✓" if encoding == "utf-8" else "+"
    assert f"{mark} The contract" in " ".join(text.split())
    assert "Everything" in text


@pytest.mark.parametrize("charset", ["cp1252", "ascii"])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_prints_on_any_console(name: str, charset: str) -> None:
    result = CliRunner(charset=charset).invoke(main, [name, "--help"])
    assert result.exit_code == 0
    result.stdout_bytes.decode(charset)
    wrong = CliRunner(charset=charset).invoke(main, [name, "--nö-✗"])
    assert wrong.exit_code == 2
    wrong.stderr_bytes.decode(charset)


@pytest.mark.parametrize("more", [(), ("--json",), ("--html", "/dev/full")])
def test_a_full_disk_is_one_line(more: tuple[str, ...], bundle: tuple[Path, str]) -> None:
    with Path("/dev/full").open("wb") as full:
        to = subprocess.PIPE if "--html" in more else full.fileno()
        ran = audit(bundle, *more, stdout=to)
    assert ran.returncode == 1
    assert b"No space left on device" in ran.stderr
    assert (b"/dev/full" if "--html" in more else b"standard output") in ran.stderr
    assert ran.stderr.count(b"\n") == 1
    if "--html" in more:
        assert b"Everything that was checked holds." in ran.stdout


def test_outputs_are_refused_before_the_audit(bundle: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file" / "report.html"):
        line = ["audit", "--html", str(place), "--bundle", "none.car", "--trust-block", "0x00"]
        require_one_line(CliRunner().invoke(main, line), 1, str(place), "cannot be written")
    line = ["audit", "--write-bundle", str(tmp_path), "--rpc", "http://127.0.0.1:1"]
    require_one_line(CliRunner().invoke(main, line), 1, "cannot be written: Is a directory")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_the_disk_cannot_take_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "report.html"
    path.write_bytes(b"older")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FedNodeError, match="No space left"):
        write_file(path, b"newer")
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"older", [path])


def test_devices_pipes_and_links_stay_what_they_are(tmp_path: Path) -> None:
    write_file(Path("/dev/null"), b"gone")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    pipe, link, file = tmp_path / "pipe", tmp_path / "link", tmp_path / "elsewhere" / "file"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_file(pipe, b"through")
    reader.join(10)
    assert read == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    link.symlink_to(file)
    require_writable(link)
    write_file(link, b"behind a link")
    assert (link.is_symlink(), file.read_bytes()) == (True, b"behind a link")


def test_a_report_can_go_to_standard_output(bundle: tuple[Path, str], tmp_path: Path) -> None:
    for to in ("pipe", "file"):
        with (tmp_path / "out").open("wb") as out:
            target = subprocess.PIPE if to == "pipe" else out.fileno()
            ran = audit(bundle, "--html", "/dev/stdout", stdout=target)
        text = (ran.stdout or (tmp_path / "out").read_bytes()).decode()
        assert ran.returncode == 0
        assert text.startswith("<!DOCTYPE html>")
        assert "holds" in text[text.rindex("</html>") :]


def test_without_a_terminal_python_does_not_warn(tmp_path: Path) -> None:
    code = "from fednode.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", code, "account", "new", str(tmp_path / "0.json")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        start_new_session=True,
    )
    assert ran.returncode == 1
    assert b"Warning" not in ran.stderr
    assert ran.stderr.endswith(b"\nerror: no password: type it, or give --password-file FILE\n")
    assert ran.stderr.count(b"\n") == 2
