"""What commands print passes one cleaner, and what they write stays the kind of place it is."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from fednode.cli import main
from fednode.cli.edge import NewFile, OutFile, Output
from fednode.cli.screen import Screen
from fednode.errors import FedNodeError
from fednode.files import write_file, write_own
from ledger import whole_file
from tests.fednode.cli.test_edge import walk
from tests.fednode.cli.world import POLICY, require_one_line
from tests.test_import_rules import PACKAGES, ROOT, Module, modules

FORGED = "x\r\n2026-01-01 00:00:00,000 INFO voted\x1b[2J\x9b1A\u2028\u202e\U000e0041\udc80"

# Where output leaves the program; every other module hands its texts to these.
EDGE = {
    "fednode.cli.edge",
    "fednode.cli.console",
    "fednode.cli.hooks",
    "fednode.cli.open",
    "fednode.cli.screen",
}
DIRECT = re.compile(
    r"print|(rich\.)?print|(\w+\.)?Console|(click\.)?(echo|secho|prompt|confirm|progressbar|pager"
    r"|echo_via_pager)|sys\.(__)?std(out|err)(__)?\..*|(logging\.)?(StreamHandler|FileHandler"
    r"|basicConfig|captureWarnings)|traceback\.print_\w+|os\.write"
)
# Options and arguments that name what is read, or a folder of the node's own.
READ = {
    "bundle",
    "data_dir",
    "directory",
    "eval_data",
    "file",
    "invitation",
    "journal",
    "key_files",
    "keystore",
    "password_file",
    "policy_file",
    "request",
    "slices",
    "store",
}
WRITTEN = {
    ("audit", "html_file"),
    ("audit", "write_bundle"),
    ("evaluation", "out"),
    ("export", "out"),
    ("invite", "out"),
    ("join", "request"),
    ("new", "file"),
}


def require_clean(text: str) -> None:
    """Require that no line of a text is forged, and that nothing steers a terminal."""
    assert [line for line in text.splitlines() if line.startswith("2026-01-01")] == []
    assert "".join(text.split("\n")).isprintable(), ascii(text)


def calls(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def test_only_the_edge_prints() -> None:
    found = [
        f"{module.path}: {name}"
        for package in PACKAGES
        for module in modules(ROOT, package)
        if module.name not in EDGE
        for name in calls(module)
        if DIRECT.fullmatch(name)
    ]
    assert found == []


def test_the_edge_prints_nothing_uncleaned() -> None:
    """Each text that the edge prints is a call of the cleaner, JSON, or a literal."""
    cleaners = ("indented(", "json.dumps(", "prompt", "f'error: {one_line(")
    for name in EDGE:
        path = ROOT / (name.replace(".", "/") + ".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "click.echo" and node.args:
                assert ast.unparse(node.args[0]).startswith(cleaners), ast.unparse(node)


def test_every_path_of_a_command_is_read_or_written_by_its_type() -> None:
    written = set()
    for command in walk(main):
        for parameter in command.params:
            if isinstance(parameter.type, OutFile | NewFile):
                written.add((command.name, parameter.name))
            elif isinstance(parameter.type, click.Path):
                assert parameter.name in READ, (command.name, parameter.name)
    assert written == WRITTEN


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.mark.parametrize(
    "words",
    [
        (f"--{FORGED}",),
        (FORGED,),
        ("data", f"--{FORGED}"),
        ("data", "check", FORGED),
        ("data", "check", "--policy", FORGED, "--site", "x"),
        ("audit", "--bundle", FORGED, "--trust-block", "0x" + "00" * 32),
        ("audit", "--bundle", "x", "--trust-block", FORGED),
        ("audit", "--html", f"/dev/null/{FORGED}"),
        ("key", "show", FORGED),
        ("account", "new", f"/dev/null/{FORGED}", "--password-file", FORGED),
        ("account", "new", FORGED),
        ("demo", "--account", FORGED),
    ],
)
def test_words_of_the_command_line_are_cleaned(words: tuple[str, ...]) -> None:
    result = run(*words)
    assert result.exit_code in (1, 2)
    require_clean(result.output)


def escaped(text: str) -> str:
    """Write a text for a string of TOML."""
    return "".join(f"\\U{ord(character):08x}" for character in text if character != "\udc80")


def test_names_units_and_codes_of_a_policy_are_cleaned(tmp_path: Path) -> None:
    name = "age\x9b\u2028\u202e"
    policy = (
        POLICY.format(open="true")
        .replace('"b"]', f'"{escaped(FORGED)}"]')
        .replace('name = "age"', f'name = "{escaped(name)}"\nunit = "{escaped(FORGED[:50])}"')
    )
    (tmp_path / "p.toml").write_text(policy, encoding="utf-8")
    (tmp_path / "north.csv").write_text(f"{name},kind,sick\n50,a,no\n", encoding="utf-8")
    line = ["data", "check", "--policy", str(tmp_path / "p.toml"), "--data", str(tmp_path)]
    result = run(*line, "--site", "north")
    assert (result.exit_code, result.stderr) == (0, "")
    require_clean(result.stdout)
    assert "INFO voted" in result.stdout
    assert len(result.stdout.splitlines()) == 5


def test_lines_of_a_result_and_tables_are_cleaned(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=False)
    output.result({}, "first", f"  second {FORGED}")
    output.aside(FORGED)
    output.error(FORGED)
    Output(as_json=True).result({"name": FORGED})
    Screen().print(f"[bold]{FORGED}[/bold]", "\x1b[2J")
    found = capsys.readouterr()
    assert found.out.startswith("first\n  second x 2026")
    assert json.loads(found.out[found.out.index("{") : found.out.index("}") + 1])["name"] == FORGED
    without_table = found.out[: found.out.index("[bold]")]
    require_clean(without_table)
    require_clean(found.err)
    assert "\x1b" not in found.out
    assert "[bold]" in found.out


LOGGING = f"""
import logging, sys, threading, warnings
from fednode.cli.edge import Failing, start_logging
from fednode.cli.hooks import to_the_log
import click
forged = {FORGED!a}
to_the_log()
def fails():
    raise ValueError(forged)
class Broken:
    def __del__(self):
        fails()
@click.group(cls=Failing)
def group():
    pass
@group.command()
@click.option("--logs", is_flag=True)
def act(logs):
    if logs:
        start_logging(verbose=True)
    for name in ("fednode", "asyncio", "py.warnings", forged):
        logging.getLogger(name).error("%s", forged)
    try:
        fails()
    except ValueError:
        logging.getLogger("fednode").exception(forged, stack_info=True)
    warnings.warn(forged)
    thread = threading.Thread(target=fails)
    thread.start()
    thread.join()
    Broken()
    fails()
group()
"""


@pytest.mark.parametrize("logs", [(), ("--logs",)])
def test_all_that_reaches_standard_error_is_cleaned(logs: tuple[str, ...]) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", LOGGING, "act", *logs],
        capture_output=True,
        check=False,
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    )
    assert (ran.returncode, ran.stdout) == (1, b"")
    text = ran.stderr.decode("ascii")
    require_clean(text)
    assert text.count("INFO voted") > 8
    record = (
        r"\d{4}-\d\d-\d\d \S+ (DEBUG|ERROR|WARNING) "
        if logs
        else r"x 2026|UserWarning|a thread|not r"
    )
    for line in text.splitlines():
        assert re.match(rf"  \| |error: |{record}", line), line


def test_an_over_long_text_is_cut() -> None:
    result = run("audit", "--bundle", "x", "--trust-block", "z" * 100_000)
    assert len(result.stderr) < 5000


def test_a_pipe_without_a_reader_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setattr(whole_file, "READER_WAIT", 0.1)
    with pytest.raises(FedNodeError, match="pipe cannot be written: a pipe that no program reads"):
        write_file(pipe, b"x")
    assert pipe.is_fifo()


def test_links_are_kept_and_never_replaced(tmp_path: Path) -> None:
    file, link, far = tmp_path / "file", tmp_path / "link", tmp_path / "far"
    file.write_bytes(b"old")
    file.chmod(0o640)
    link.symlink_to("file")
    far.symlink_to("link")
    write_file(far, b"new")
    assert (far.is_symlink(), link.is_symlink(), file.read_bytes()) == (True, True, b"new")
    assert file.stat().st_mode & 0o777 == 0o640
    write_file(far, b"secret", private=True)
    assert file.stat().st_mode & 0o777 == 0o600
    dangling, ring = tmp_path / "dangling", tmp_path / "ring"
    dangling.symlink_to("folder/new")
    write_file(dangling, b"made")
    assert (tmp_path / "folder" / "new").read_bytes() == b"made"
    ring.symlink_to("ring")
    with pytest.raises(FedNodeError, match="Too many levels of symbolic links"):
        write_file(ring, b"x")
    os.link(file, tmp_path / "other")
    with pytest.raises(FedNodeError, match="has other names"):
        write_file(link, b"x")
    assert file.read_bytes() == b"secret"
    write_own(file, b"journal")  # a backup may hold the other name
    assert ((tmp_path / "other").read_bytes(), file.read_bytes()) == (b"secret", b"journal")
    assert not list(tmp_path.glob(".new-*"))


def test_a_file_that_may_not_be_written_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda *_: False)  # as for another than root
    with pytest.raises(FedNodeError, match="Permission denied"):
        write_file(file, b"new")
    assert file.read_bytes() == b"old"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_keeps_its_owner(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    os.chown(file, 12345, 12346)
    write_file(file, b"new")
    assert (file.stat().st_uid, file.stat().st_gid, file.read_bytes()) == (12345, 12346, b"new")


def test_outputs_are_refused_before_any_work(tmp_path: Path) -> None:
    file, ring = tmp_path / "file", tmp_path / "ring"
    file.write_bytes(b"")
    os.link(file, tmp_path / "other")
    ring.symlink_to("ring")
    reasons = {file: "has other names", ring: "Too many levels", tmp_path: "Is a directory"}
    rest = [
        "--rpc",
        "http://127.0.0.1:1",
        "--ledger",
        "0x0",
        "--federation",
        "0",
        "--ipfs",
        "http://127.0.0.1:1",
    ]
    account = ["--account", "none.json"]
    for path, reason in reasons.items():
        for line in (
            ["audit", "--html", str(path)],
            ["audit", "--write-bundle", str(path)],
            ["model", "export", *rest, "--out", str(path)],
            ["invite", "request.json", *rest[:4], *account, "--out", str(path)],
        ):
            require_one_line(run(*line), 1, f"{path} cannot be written: {reason}")
    for line in (["account", "new", "-"], ["key", "new", "-"]):
        require_one_line(run(*line), 1, "'-' is no place for a private file")
    for name in ("-", "/dev/stdout", "/dev/fd/1"):
        result = run("audit", "--html", name, "--json")
        require_one_line(result, 1, "--json prints there")
        assert json.loads(result.stdout)["error"]["type"] == "FedNodeError"


def test_two_outputs_are_two_files(tmp_path: Path) -> None:
    """The second would replace the first; a link or another spelling does not hide that."""
    file, link = tmp_path / "both", tmp_path / "link"
    link.symlink_to(file)
    for other in (file, link, tmp_path / "." / "both"):
        result = run("audit", "--html", str(file), "--write-bundle", str(other))
        assert result.exit_code == 1
        assert "--html and --write-bundle name one file" in result.stderr
    result = run("audit", "--html", "/dev/null", "--write-bundle", "/dev/null")
    assert "name one file" not in result.stderr


@pytest.mark.parametrize("to", ["pipe", "file"])
@pytest.mark.parametrize("name", ["-", "/dev/stdout", "link", "self"])
def test_a_file_on_standard_output_has_it_to_itself(name: str, to: str, tmp_path: Path) -> None:
    """The place can be a link to standard output, or the file that standard output is."""
    program = (
        "import click\n"
        "from fednode.cli.edge import Failing, OutFile, Output\n"
        "from fednode.files import write_file\n"
        "group = Failing('group')\n"
        "@group.command()\n"
        "@click.option('--out', type=OutFile())\n"
        "def act(out):\n"
        "    write_file(out, b'the file')\n"
        "    Output(False).result({}, 'what is said of it')\n"
        "group()\n"
    )
    out = tmp_path / "out"
    (tmp_path / "link").symlink_to("/dev/stdout")
    place = {"link": str(tmp_path / "link"), "self": str(out)}.get(name, name)
    with out.open("wb") as file:
        ran = subprocess.run(
            [sys.executable, "-c", program, "act", "--out", place],
            stdout=subprocess.PIPE if to == "pipe" else file,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    if name == "self" and to == "pipe":
        assert (out.read_bytes(), ran.stdout) == (b"the file", b"what is said of it\n")
        return
    assert ran.stderr == b"what is said of it\n"
    assert (ran.stdout if to == "pipe" else out.read_bytes()) == b"the file"
