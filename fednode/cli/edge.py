"""What all commands share: their options, how they print, and how an error ends them."""

import errno
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from fednode.cli.console import simplify
from fednode.cli.hooks import to_the_log
from fednode.cli.scrub import NO_SECRETS, Scrub
from fednode.errors import FedNodeError
from fednode.files import require_writable
from incentives.errors import IncentiveError
from ledger.errors import LedgerError
from ledger.lines import MOST, clean, indented, one_line
from ledger.whole_file import STANDARD_OUTPUT, is_standard_output

if TYPE_CHECKING:
    from rich.console import RenderableType

log = logging.getLogger("fednode")

AS_JSON = "fednode.json"
SCRUB = "fednode.scrub"
START = "fednode.start"
TAKEN = "fednode.taken"
"""Set when a file is written to standard output: what is said about it goes to standard error."""
WRITTEN = "fednode.written"
"""The files that options name for writing, each with its option."""
FAILED = 1
DOES_NOT_HOLD = 3
NOT_ALL_CHECKED = 4
SILENCE = 60.0
"""Seconds."""
MOST_TRACED = 400
"""Lines of a traceback."""
ADVICE = {
    "BlockNotFound": "check --ipfs or --store: a node that has the block must be connected to it",
    "BlockCorrupt": "remove it there, so that it is fetched again from a node that has it",
    "StoreUnreachable": "check --ipfs or --store",
    "BundleRefused": "check --trust-block, or get another bundle: nothing follows from this one "
    "about the federation",
    "RpcRefused": "check --rpc: the node may have limits, or keep no history; ask another one",
    "MalformedAnswer": "check --rpc",
}
"""What a user of the command can do about an error that does not say it itself."""

Command = TypeVar("Command", bound=Callable[..., object])


class Seconds(click.FloatRange):
    """A number of seconds in a range; click's own ranges let `nan` through."""

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, or fail."""
        seconds: float = super().convert(value, param, ctx)
        if isnan(seconds):
            self.fail(f"{value} is not a number of seconds.", param, ctx)
        return seconds


class Failing(click.Group):
    """A group that ends with one line and exit code 1 whatever goes wrong, never with a traceback.

    Usage errors stay click's own: the usage, then the error, exit code 2.
    """

    def main(self, *args: Any, **extra: Any) -> Any:  # noqa: ANN401
        """Run as a program, on a console of any encoding."""
        simplify()
        to_the_log()
        return super().main(*args, **extra)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:  # noqa: ANN401
        """Read the program's own options; a wrong one is quoted cleanly."""
        try:
            return super().make_context(*args, **extra)
        except click.UsageError as error:
            message = scrub_of(error.ctx)(error.format_message())
            raise click.UsageError(one_line(message), error.ctx) from None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Learn from the whole command line what must not be printed."""
        ctx.meta.setdefault(SCRUB, Scrub.of(args, os.environ))
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401
        """Run a command; turn an error into one line."""
        scrub = scrub_of(ctx)
        if logging.lastResort is not None:  # what prints warnings of commands that keep no log
            logging.lastResort.setFormatter(CleanLines("%(message)s", scrub))
        try:
            return super().invoke(ctx)
        except (FedNodeError, LedgerError, IncentiveError) as error:
            _fail(ctx, error, advised(error))
        except click.UsageError as error:
            _print_json(ctx, error, error.format_message())
            raise click.UsageError(one_line(scrub(error.format_message())), error.ctx) from None
        except click.ClickException as error:
            raise click.ClickException(one_line(scrub(error.format_message()))) from None
        except (click.Abort, click.exceptions.Exit):
            raise
        except KeyboardInterrupt:
            raise click.Abort from None
        except MemoryError as error:
            _fail(ctx, error, "out of memory: close other programs, or use a larger machine")
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            _fail(ctx, error, _cause(error))
        except Exception as error:
            log.debug("unexpected", exc_info=True)
            _fail(ctx, error, f"{_place(error)} (a fault of FedNode's, or of your own model's)")


def _fail(ctx: click.Context, error: Exception, text: str) -> NoReturn:
    """End with one line that says what was wrong; as JSON, too, where that was asked for."""
    _print_json(ctx, error, text)
    click.echo(f"error: {one_line(scrub_of(ctx)(text))}", err=True)
    sys.exit(FAILED)


def scrub_of(ctx: click.Context | None) -> Scrub:
    """Give what hides the secrets of a command's addresses."""
    found = ctx.meta.get(SCRUB) if ctx is not None else None
    return found if isinstance(found, Scrub) else NO_SECRETS


def _print_json(ctx: click.Context, error: Exception, text: str) -> None:
    if ctx.meta.get(AS_JSON):
        fields = {"type": type(error).__name__, "message": one_line(scrub_of(ctx)(text))}
        with suppress(OSError):  # a full disk or a closed pipe must not hide the error itself
            click.echo(json.dumps({"error": fields}))


def advised(error: Exception) -> str:
    """Give an error's text, with what a user of the command can do about it."""
    advice = ADVICE.get(type(error).__name__)
    return f"{error}; {advice}" if advice else str(error)


def _cause(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename:
        return f"{error.filename}: {reason}"
    return f"standard output cannot be written: {reason}" if _printing(error) else reason


def _printing(error: OSError) -> bool:
    """Whether an error was raised where click or rich print."""
    names = [frame.f_globals["__name__"] for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(names) and names[-1].partition(".")[0] in ("click", "rich")


def _place(error: Exception) -> str:
    """Say where an error came from that nobody foresaw."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"unexpected {type(error).__name__}{where}: {error}"


@dataclass(frozen=True, slots=True)
class Output:
    """Prints for people, line by line, or one JSON object. Every line passes the cleaner, so none
    can end within a text of strangers and begin as another.
    """

    as_json: bool

    def result(self, fields: Mapping[str, object], *lines: str) -> None:
        """Print a command's result."""
        if self.as_json:
            click.echo(json.dumps(_scrub().record(fields), indent=2))
            return
        for line in lines:
            self.note(line)

    def error(self, text: str) -> None:
        """Print one line that says what was wrong, after a result that is not all there was."""
        click.echo(f"error: {one_line(_scrub()(text))}", err=True)

    def note(self, line: str) -> None:
        """Print a line that a person may like to know."""
        if not self.as_json:
            click.echo(indented(_scrub().known(line)), err=_taken())

    def picture(self, drawn: "Callable[[], RenderableType]") -> None:
        """Print tables and panels; what draws them is imported only now."""
        from fednode.cli.screen import Screen

        Screen(stderr=_taken()).print(drawn())

    def aside(self, line: str) -> None:
        """Print a line about a file that was written, next to JSON, too."""
        click.echo(indented(_scrub().known(line)), err=self.as_json or _taken())


def warn(line: str) -> None:
    """Print a line on standard error, next to JSON, too."""
    click.echo(indented(_scrub().known(line)), err=True)


def _scrub() -> Scrub:
    return scrub_of(click.get_current_context(silent=True))


def _taken() -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(TAKEN))


class OutFile(click.ParamType):  # type: ignore[type-arg] # no type argument before click 8.4
    """A file that a command writes, refused before any work if it cannot be written. `-` is
    standard output; what is printed follows a `text` there.
    """

    name = "file"

    def __init__(self, *, text: bool = False) -> None:
        self._text = text

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """Give the path."""
        text = _given(value, param)
        path = STANDARD_OUTPUT if text == "-" else Path(text)
        require_writable(path)
        if ctx is None:
            return path
        option = _option(param)
        if is_standard_output(path):
            if ctx.meta.get(AS_JSON):
                raise FedNodeError(f"{option} {path}: --json prints there; write it to a file")
            ctx.meta[TAKEN] = ctx.meta.get(TAKEN) or not self._text
        elif path.is_file() or not path.exists():
            other = ctx.meta.setdefault(WRITTEN, {}).setdefault(path.resolve(), option)
            if other != option:
                raise FedNodeError(f"{other} and {option} name one file, {path}: give two")
        return path


class NewFile(click.ParamType):  # type: ignore[type-arg]
    """A private file that a command makes anew: it cannot be standard output."""

    name = "file"

    def convert(
        self, value: object, param: click.Parameter | None, _ctx: click.Context | None
    ) -> Path:
        """Give the path."""
        text = _given(value, param)
        if text == "-":
            raise FedNodeError("'-' is no place for a private file: give the path of a new file")
        return Path(text)


def _given(value: object, param: click.Parameter | None) -> str:
    """Give a file's path as it was written; refuse an empty one, which would be the folder."""
    if not str(value):
        raise FedNodeError(f"{_option(param)} '' names no file: give the path of one")
    return str(value)


def _option(param: click.Parameter | None) -> str:
    return param.opts[0] if param else "the file"


def options(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Join options, in the order in which the help shows them."""

    def joined(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return joined


class NotAgain(logging.Filter):
    """Lets a line through once a minute: a node that waits for something meets it at every poll."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line was not let through within the last minute."""
        now, line = self._now(), record.getMessage()
        self._said = {said: at for said, at in self._said.items() if now - at < SILENCE}
        again = line in self._said
        self._said.setdefault(line, now)
        return not again


class CleanLines(logging.Formatter):
    """Writes a record as one line without secrets, whatever texts of strangers it quotes; a
    traceback's lines after it cannot be taken for records.
    """

    def __init__(self, form: str, scrub: Scrub = NO_SECRETS) -> None:
        super().__init__(form)
        self._scrub = scrub

    def format(self, record: logging.LogRecord) -> str:
        """Write the record, its traceback included, without secrets."""
        record.exc_text = None  # another formatter's, which may not have cleaned it
        return self._scrub(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Write the line."""
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: ANN401, N802
        """Write the traceback, its lines marked."""
        return _marked(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        """Write the stack, its lines marked."""
        return _marked(super().formatStack(stack_info))


def _marked(text: str) -> str:
    """Write a traceback's lines so that none can be taken for a record; of many the two ends."""
    lines = text.splitlines()
    if len(lines) > MOST_TRACED:
        half = MOST_TRACED // 2
        lines = [*lines[:half], f"... {len(lines) - 2 * half} lines ...", *lines[-half:]]
    return "\n".join(f"  | {clean(line, MOST)}" for line in lines)


def start_logging(*, verbose: bool) -> None:
    """Log to standard error; results alone go to standard output."""
    handler = logging.StreamHandler(sys.stderr)
    scrub = scrub_of(click.get_current_context(silent=True))
    handler.setFormatter(CleanLines("%(asctime)s %(levelname)s %(message)s", scrub))
    if not verbose:
        handler.addFilter(NotAgain())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("fednode").setLevel(logging.DEBUG if verbose else logging.INFO)


def json_flag(text: str) -> Callable[[Command], Command]:
    """Make the option --json; read before the others, so that their errors come as JSON, too."""
    return click.option(
        "--json", "as_json", is_flag=True, is_eager=True, callback=_remember, help=text
    )


def _remember(ctx: click.Context, _parameter: click.Parameter, as_json: bool) -> bool:
    ctx.meta[AS_JSON] = as_json
    return as_json


def _remember_start(ctx: click.Context, _parameter: click.Parameter, block: int | None) -> None:
    ctx.meta[START] = block


def start_block() -> int | None:
    """Give the block that the command was told to read logs from."""
    ctx = click.get_current_context(silent=True)
    found = ctx.meta.get(START) if ctx is not None else None
    return found if isinstance(found, int) else None


json_option = json_flag("Print one JSON object.")
verbose_option = click.option("--verbose", is_flag=True, help="Log every step.")
chain_options = options(
    click.option(
        "--rpc",
        envvar="FEDNODE_RPC",
        required=True,
        metavar="URL",
        help="JSON-RPC endpoint of a chain node. [FEDNODE_RPC]",
    ),
    click.option("--chain-id", type=int, metavar="N", help="Refuse a node of any other chain."),
)
start_option = click.option(
    "--from-block",
    envvar="FEDNODE_FROM_BLOCK",
    type=click.IntRange(0, (1 << 63) - 1),
    expose_value=False,
    callback=_remember_start,
    metavar="N",
    help="Read the contract's logs from this block on; by default from its deployment, which the "
    "node is asked for. [FEDNODE_FROM_BLOCK]",
)
ledger_option = options(
    click.option(
        "--ledger",
        envvar="FEDNODE_LEDGER",
        required=True,
        metavar="ADDRESS",
        help="Address of the contract. [FEDNODE_LEDGER]",
    ),
    start_option,
)
deployer_option = click.option(
    "--deployer",
    "deployers",
    envvar="FEDNODE_DEPLOYER",
    multiple=True,
    metavar="ADDRESS",
    help="The account or contract that deployed the contract, if it was not the well-known "
    "deployer. [FEDNODE_DEPLOYER]",
)
federation_option = click.option(
    "--federation",
    envvar="FEDNODE_FEDERATION",
    required=True,
    metavar="ID",
    help="The federation's id, as `fednode create` printed it. [FEDNODE_FEDERATION]",
)
store_options = options(
    click.option(
        "--ipfs",
        envvar="FEDNODE_IPFS",
        metavar="URL",
        help="RPC address of your Kubo node. [FEDNODE_IPFS] A token for it comes from "
        "FEDNODE_IPFS_TOKEN or FEDNODE_IPFS_TOKEN_FILE.",
    ),
    click.option(
        "--store",
        envvar="FEDNODE_STORE",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="A directory of blocks instead of Kubo. [FEDNODE_STORE]",
    ),
)
account_options = options(
    click.option(
        "--account",
        "keystore",
        envvar="FEDNODE_ACCOUNT",
        required=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Keystore of the account that signs. [FEDNODE_ACCOUNT]",
    ),
    click.option(
        "--password-file",
        envvar="FEDNODE_PASSWORD_FILE",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="File with the keystore's password; asked for without it. [FEDNODE_PASSWORD_FILE]",
    ),
)
policy_option = click.option(
    "--policy",
    "policy_file",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The policy (TOML).",
)
data_option = click.option(
    "--data",
    "data_dir",
    envvar="FEDNODE_DATA",
    default=".",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder that the policy's paths of data start in and cannot leave, or the one file "
    "that stands for them. [FEDNODE_DATA]",
)
public_option = click.option(
    "--public-rows",
    envvar="FEDNODE_PUBLIC_ROWS",
    is_flag=True,
    help="Say, for the rows' owner, that everyone may see them; a --journal keeps it. "
    "[FEDNODE_PUBLIC_ROWS]",
)
site_options = options(
    click.option("--site", required=True, metavar="NAME", help="The site, as the policy names it."),
    data_option,
)
own_rows_options = options(site_options, public_option)
journal_option = click.option(
    "--journal",
    envvar="FEDNODE_JOURNAL",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="This node's own memory; keep it private and keep it. [FEDNODE_JOURNAL]",
)
key_option = click.option(
    "--key",
    "key_files",
    envvar="FEDNODE_KEY",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Key that sealed artefacts are read with; repeat it for older ones. [FEDNODE_KEY]",
)
own_option = click.option(
    "--allow-model",
    "own",
    multiple=True,
    metavar="MODULE:FACTORY",
    help="Let a policy run this model of your own; its code runs on this machine.",
)
