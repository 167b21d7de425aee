"""Of an address only scheme, host and port are shown, however it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.urls import HIDDEN, fault_of, secrets_of, shown

ADDRESSES = [
    ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
    ("https://rpc.example/", "https://rpc.example"),
    ("https://user:password@rpc.example:443/v3/key?token=t#f", "https://rpc.example:443"),
    ("HTTPS://RPC.example/v3/key", "https://RPC.example"),
    ("wss://key@rpc.example/ws", "wss://rpc.example"),
    ("ipc://user:secret@/run/geth.ipc", f"ipc://{HIDDEN}"),
    ("http://[::1]:8545/key", "http://[::1]:8545"),
    ("http://[::1/key", f"http://{HIDDEN}"),
    ("http://user:pa@ss:wo@rpc.example/x", "http://rpc.example"),
    # A delimiter in a password that was not escaped: what comes before it is no host.
    ("http://user:12/34@rpc.example", f"http://{HIDDEN}"),
    ("http://user:12?34@rpc.example", f"http://{HIDDEN}"),
    ("http://user:12#34@rpc.example", f"http://{HIDDEN}"),
    ("http://rpc.example:password", "http://rpc.example:***"),
    ("http://rpc.example\\key", "http://rpc.example"),
    ("http:///v3/key", f"http://{HIDDEN}"),
    ("/ip4/127.0.0.1/tcp/5001", "/ip4/127.0.0.1/tcp/5001"),
    ("/dns4/ipfs.example/tcp/443/https/", "/dns4/ipfs.example/tcp/443/https"),
    ("/ip4/127.0.0.1/tcp/9/KEYKEYKEY", f"/ip4/127.0.0.1/tcp/9/{HIDDEN}"),
    ("/ip6/::1/tcp/9/KEYKEYKEY", f"/ip6/::1/tcp/9/{HIDDEN}"),
    ("/dns4/localhost/tcp/9/http/KEYKEYKEY", f"/dns4/localhost/tcp/9/http/{HIDDEN}"),
    ("/dns/localhost/tcp/9/httpKEYKEY", f"/dns/localhost/tcp/9/{HIDDEN}"),
    ("/dns/localhost/tcp/9KEYKEYKEY", f"/dns/localhost/{HIDDEN}"),
    ("/dns/localhost/KEYKEYKEY", f"/dns/localhost/{HIDDEN}"),
    ("/run/geth.ipc", "/run/geth.ipc"),
    ("here", "here"),
    ("localhost:8545", "localhost:8545"),
    ("rpc.example/v3/key", f"rpc.example/{HIDDEN}"),
    ("user:password@rpc.example", HIDDEN),
    ("rpc.example?token=t", HIDDEN),
    ("https:/rpc.example/v3/key", f"https/{HIDDEN}"),
]


@pytest.mark.parametrize(("address", "told"), ADDRESSES)
def test_what_is_shown(address: str, told: str) -> None:
    assert shown(address) == told
    assert shown(told) == told or HIDDEN in told


FAULTS = [
    ("http://127.0.0.1", None),
    ("https://user:password@rpc.example:443/v3/key?token=t#f", None),
    ("http://[::1]:8545/key", None),
    ("http://[::ffff:127.0.0.1]", None),
    ("http://127.0.0.1:65535", None),
    ("http://127.0.0.1:65536", "port"),
    ("http://127.0.0.1:99999", "port"),
    ("http://127.0.0.1:0", "port"),
    ("http://127.0.0.1:-1", "port"),
    ("http://127.0.0.1:", "port"),
    ("http://127.0.0.1:八", "port"),
    ("http://rpc.example:password", "port"),
    ("http://::1:8545", "in brackets"),
    ("http://[::1:8545", "in brackets"),
    ("http://::1]:8545", "in brackets"),
    ("http://[::g]:8545", "no IPv6 address"),
    ("http://", "names no host"),
    ("http://:8545", "names no host"),
    ("http:///v3/key", "names no host"),
    ("http://user:12/34@rpc.example", "%2F"),
]


@pytest.mark.parametrize(("address", "fault"), FAULTS)
def test_what_is_wrong_with_an_address(address: str, fault: str | None) -> None:
    found = fault_of(address)
    assert (fault is None and found is None) or (found is not None and str(fault) in found)
    assert "password" not in str(found).replace("user or password", "")


SECRET = st.text("abcdefghXYZ0123456789-_%/?#@: !'\"\\é", min_size=8, max_size=24).map(
    lambda text: f"q{text}q"
)
FORMS = [
    "{scheme}://{secret}@node.example:8545/",
    "{scheme}://name:{secret}@node.example/path",
    "{scheme}://node.example/v3/{secret}",
    "{scheme}://node.example/?token={secret}",
    "{scheme}://node.example/#{secret}",
    "{scheme}://node.example/a?b=c&key={secret}&d",
]


@given(st.sampled_from(["http", "https", "ws", "wss", "ipc"]), st.sampled_from(FORMS), SECRET)
def test_no_piece_of_a_secret_is_shown(scheme: str, form: str, secret: str) -> None:
    address = form.format(scheme=scheme, secret=secret)
    told = shown(address)
    rest = told.removeprefix(f"{scheme}://")
    pieces = {secret[at : at + 4] for at in range(len(secret) - 3)}
    assert rest.rpartition(":")[0] in ("", "node.example") or rest in ("node.example", HIDDEN)
    assert not any(piece in rest for piece in pieces - {"node"})


@given(st.sampled_from(FORMS), st.text("abcXYZ0189", min_size=8, max_size=20))
def test_every_secret_is_known(form: str, secret: str) -> None:
    assert secret in secrets_of(form.format(scheme="https", secret=secret))


def test_an_open_address_has_no_secret() -> None:
    assert not secrets_of("http://127.0.0.1:8545")
    assert not secrets_of("http://127.0.0.1:8545/")
    assert not secrets_of("/run/geth.ipc")


def test_a_multiaddrs_rest_is_a_secret() -> None:
    found = secrets_of("/dns4/localhost/tcp/9/http/KEYKEYKEY")
    assert "KEYKEYKEY" in found
    assert not {"localhost", "/dns4/localhost/tcp/9/http"} & found
