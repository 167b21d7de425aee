"""No command prints a piece of a secret that stands in an address, whatever goes wrong."""

import json
import logging
import shlex
from base64 import b64encode
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from fednode.cli import main
from fednode.cli.edge import CleanLines, NotAgain
from fednode.cli.scrub import Scrub
from ledger.chain.accounts import create_keystore
from tests.fednode.cli.world import World, require_one_line
from tests.ledger.stores.test_kubo_store import body as respond
from tests.ledger.stores.test_kubo_store import server

SECRET = "s3cr3tKEYofOurs"
PIECES = {SECRET[at : at + 5] for at in range(len(SECRET) - 4)}
AWAY = "127.0.0.1:1"
NO_STORE: dict[str, str | None] = {"FEDNODE_STORE": None}
FORMS = [
    "http://{secret}@{host}",
    "http://user:{secret}@{host}/",
    "https://user:{secret}@{host}/x",
    "http://{host}/v3/{secret}",
    "http://{host}/?api_key={secret}",
    "http://{host}/v3/{secret}?token={secret}#{secret}",
    "ws://user:{secret}@{host}",
    "wss://{host}/ws/{secret}",
    "ipc://{host}/{secret}",
    "http:/{host}/v3/{secret}",
    "{host}/v3/{secret}",
    "user:{secret}@{host}",
    "http://{host}:{secret}/",
    "http://user:{secret}/@{host}",
    "http://[::1/{secret}",
    "http://nowhere.invalid/v3/{secret}",
]
COMMANDS = [
    "status",
    "status --json",
    "audit",
    "claim --account @0.json",
    "close --account @0.json",
    "leave --account @0.json",
    "deploy --account @0.json",
    "create --account @0.json --policy @policy.toml",
    "join --account @0.json --site north --name N --journal @j",
    "participant --account @0.json --site north --journal @j --verbose",
    "proposer --account @0.json --verbose",
    "challenge --account @0.json --journal @j --verbose",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("secrets")
    (made / "password").write_text("x")
    create_keystore(made / "0.json", "x", light=True)
    (made / "policy.toml").write_text("x = 1")
    (made / "store").mkdir()
    return made


def require_silence(output: str) -> None:
    assert [piece for piece in PIECES if piece.lower() in output.lower()] == [], output


def run(folder: Path, line: str, **variables: str) -> str:
    words = [str(folder / w[1:]) if w.startswith("@") else w for w in shlex.split(line)]
    given = {
        "FEDNODE_LEDGER": "0x" + "12" * 20,
        "FEDNODE_FEDERATION": "12" * 32,
        "FEDNODE_PASSWORD_FILE": str(folder / "password"),
        "FEDNODE_STORE": str(folder / "store"),
        **variables,
    }
    result = CliRunner().invoke(main, words, env=given, input="")
    assert result.exit_code in (1, 2), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


@pytest.mark.parametrize("form", FORMS)
def test_a_chains_address(folder: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.chain.questions.FIRST_PAUSE", 0)
    monkeypatch.setattr("ledger.chain.questions.LONGEST_PAUSE", 0)
    url = form.format(secret=SECRET, host=AWAY)
    for command in COMMANDS:
        require_silence(run(folder, command, FEDNODE_RPC=url))
    require_silence(run(folder, f"status --rpc {shlex.quote(url)}"))
    # The words of a command that is written wrong are secrets, too.
    require_silence(run(folder, f"status {shlex.quote(url)}", FEDNODE_RPC="http://x"))
    require_silence(run(folder, shlex.quote(url)))
    require_silence(run(folder, f"status --chain-id {shlex.quote(url)}", FEDNODE_RPC="http://x"))


@pytest.mark.parametrize("form", FORMS)
def test_a_stores_and_a_relays_address(world: World, form: str) -> None:
    url = form.format(secret=SECRET, host=AWAY)
    for line in (
        f"status --ipfs {shlex.quote(url)}",
        f"create --account @0.json --policy @open.toml --salt 55 --ipfs {shlex.quote(url)}",
        f"join --account @4.json --site north --name N --journal @j/s --ipfs {shlex.quote(url)}",
    ):
        result = world.desk.run(line, FEDNODE_STORE=None)
        assert result.exit_code == 1
        require_silence(result.output)
    result = world.desk.run(
        f"participant --account @1.json --site north --journal @j/north --relay {shlex.quote(url)}"
    )
    assert result.exit_code == 1
    require_silence(result.output)


def test_a_kubos_login(world: World, tmp_path: Path) -> None:
    """A node or proxy may repeat the login that it got, as it is or coded."""
    asked: list[str | None] = []

    def echo(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.headers["Authorization"])
        told = f"no access for {asked[-1]}"
        respond(json.dumps({"Message": told}).encode(), 500, "application/json")(request)

    tokens = tmp_path / "token"
    tokens.write_text(f"{SECRET}\n")
    coded = b64encode(f"user:{SECRET}".encode()).decode()
    with server(echo) as url:
        for address, variables in (
            (url, {"FEDNODE_IPFS_TOKEN": SECRET}),
            (url, {"FEDNODE_IPFS_TOKEN_FILE": str(tokens)}),
            (url.replace("//", f"//user:{SECRET}@"), {}),
        ):
            result = world.desk.run("status --json", **NO_STORE, FEDNODE_IPFS=address, **variables)
            require_one_line(result, 1, "no access for")
            require_silence(result.output)
            assert coded not in result.output
    assert asked == [f"Bearer {SECRET}"] * 2 + [f"Basic {coded}"]


def test_a_token_that_cannot_be_had(world: World, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for variables, reason in (
        ({"FEDNODE_IPFS_TOKEN_FILE": str(tmp_path / "none")}, "No such file"),
        ({"FEDNODE_IPFS_TOKEN_FILE": str(tmp_path / "empty")}, "its first line, the token, is"),
        ({"FEDNODE_IPFS_TOKEN_FILE": "x", "FEDNODE_IPFS_TOKEN": SECRET}, "keep one of them"),
        ({"FEDNODE_IPFS_TOKEN": f"{SECRET} x"}, "the token is empty, or holds a blank"),
    ):
        given = {"FEDNODE_IPFS": f"http://{AWAY}", **variables}
        result = world.desk.run("status", **NO_STORE, **given)
        require_one_line(result, 1, reason)
        require_silence(result.output)


def failure(url: str) -> BaseException:
    """Give what requests says about an address, with its chain of causes."""
    try:
        requests.post(url, timeout=0.1)
    except (requests.RequestException, ValueError, OSError) as error:
        return error
    raise AssertionError("something answered")


@pytest.mark.parametrize("form", FORMS)
def test_what_libraries_say_is_scrubbed(form: str) -> None:
    url = form.format(secret=SECRET, host=AWAY)
    scrub = Scrub.of(["status", "--rpc", url], {})
    line = CleanLines("%(message)s", scrub)
    try:
        raise RuntimeError(f"unforeseen: {url!r}") from failure(url)
    except RuntimeError as error:
        record = logging.LogRecord(
            "x", 40, "x", 1, "%s %r", (url, error), (RuntimeError, error, error.__traceback__)
        )
    assert NotAgain().filter(record)
    require_silence(line.format(record))
    warned = f"Retrying (Retry(total=0)) after connection broken: /v3/{SECRET}"
    require_silence(scrub(warned))
    require_silence(str(scrub.record({"failures": {1: f"project id {SECRET} is unknown"}})))


def test_secrets_of_proxies_are_known() -> None:
    scrub = Scrub.of([], {"HTTPS_PROXY": f"http://user:{SECRET}@proxy:3128"})
    require_silence(scrub(f"ProxyError: Basic user:{SECRET}"))


def test_what_is_no_secret_stays() -> None:
    words = ["--rpc", "http://127.0.0.1:8545", "--allow-model", "module:factory"]
    scrub = Scrub.of([*words, "--name", "Clinic: doctor@clinic.example"], {})
    own = "module:factory of Clinic: doctor@clinic.example, net/accounts/0.json"
    text = f"{own}: the chain at http://127.0.0.1:8545 does not answer; see /v3/x."
    assert scrub(text) == text
