"""How an error ends a command, whatever it is."""

import errno
import json
import logging
import sys

import click
import pytest
from click.testing import CliRunner, Result

from fednode.cli import COMMANDS, main
from fednode.cli.edge import SILENCE, CleanLines, Failing, NotAgain, json_option
from fednode.errors import FedNodeError
from ledger.errors import MalformedRecord
from ledger.stores import StoreUnreachable


def raising(error: BaseException) -> click.Group:
    @click.group(cls=Failing)
    def group() -> None:
        pass

    @group.command()
    @json_option
    def act(as_json: bool) -> None:
        raise error

    return group


def run(error: BaseException, *arguments: str) -> Result:
    return CliRunner().invoke(raising(error), ["act", *arguments])


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FedNodeError("a\nb\x1b[2J"), "error: a b\ufffd[2J"),
        (MalformedRecord("CAR", "cut"), "error: malformed CAR: cut"),
        (
            StoreUnreachable("here", "gone"),
            "error: content store here is unreachable: gone; check --ipfs or --store",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "/x/y"),
            "error: /x/y: No space left on device",
        ),
        (PermissionError(errno.EACCES, "Permission denied"), "error: Permission denied"),
        (
            MemoryError(),
            "error: out of memory: close other programs, or use a larger machine",
        ),
    ],
)
def test_an_error_is_one_line(error: BaseException, line: str) -> None:
    result = run(error)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"{line}\n")
    result = run(error, "--json")
    assert (result.exit_code, result.stderr) == (1, f"{line}\n")
    told = json.loads(result.stdout)["error"]
    assert told == {"type": type(error).__name__, "message": line.removeprefix("error: ")}


@pytest.mark.parametrize(
    "error", [KeyError("x"), RecursionError("deep"), AssertionError(), ValueError("a\nb")]
)
def test_what_nobody_foresaw_is_one_line_too(error: Exception) -> None:
    result = run(error)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: unexpected {type(error).__name__} at test_edge.py:")
    assert result.stderr.count("\n") == 1


def test_a_closed_pipe_ends_quietly() -> None:
    result = run(BrokenPipeError(errno.EPIPE, "Broken pipe"))
    assert (result.exit_code, result.output) == (1, "")


def test_ctrl_c_ends_with_1() -> None:
    result = run(KeyboardInterrupt())
    assert (result.exit_code, result.stderr.strip()) == (1, "Aborted!")


def test_usage_errors_are_clicks_own_with_exit_code_2() -> None:
    result = run(click.UsageError("so not"), "--json")
    assert result.exit_code == 2
    assert "Usage:" in result.stderr
    assert json.loads(result.stdout)["error"]["message"] == "so not"


def test_verbose_logs_where_it_came_from(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="fednode"):
        run(ValueError("deep inside"))
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_helps(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage:")


def walk(command: click.Command) -> list[click.Command]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        names = command.list_commands(context)
        return [c for name in names for c in walk(_get(command, context, name))]
    return [command]


def _get(group: click.Group, context: click.Context, name: str) -> click.Command:
    found = group.get_command(context, name)
    assert found is not None
    return found


def test_every_command_has_json() -> None:
    without = [c.name for c in walk(main) if all(p.name != "as_json" for p in c.params)]
    assert without == []


def test_a_line_is_logged_once_a_minute() -> None:
    now = 0.0
    again = NotAgain(lambda: now)

    def logged(line: str, *arguments: object) -> bool:
        record = logging.LogRecord("fednode", logging.WARNING, "", 0, line, arguments, None)
        return again.filter(record)

    assert logged("trying again: %s", "no node")
    assert not logged("trying again: %s", "no node")
    assert logged("trying again: %s", "no store")
    now = SILENCE - 1
    assert not logged("trying again: %s", "no node")
    now = SILENCE
    assert logged("trying again: %s", "no node")


def test_what_strangers_write_is_one_line_of_the_log() -> None:
    record = logging.LogRecord("fednode", logging.INFO, "", 0, "refused: %s", ("x",), None)
    record.args = ("a\r\n2026-01-01 INFO all is well\x1b[2J\u202e",)
    line = CleanLines("%(levelname)s %(message)s").format(record)
    assert line == "INFO refused: a 2026-01-01 INFO all is well\ufffd[2J\ufffd"


def test_no_line_of_a_traceback_can_be_taken_for_a_record() -> None:
    try:
        raise FedNodeError("a\n2026-01-01 INFO all is well\x1b[2J")
    except FedNodeError:
        raised = sys.exc_info()
    record = logging.LogRecord("fednode", logging.ERROR, "", 0, "failed", None, raised)
    first, *rest = CleanLines("%(levelname)s %(message)s").format(record).splitlines()
    assert first == "ERROR failed"
    assert len(rest) > 3
    assert all(line.startswith("  | ") and line.isprintable() for line in rest)
