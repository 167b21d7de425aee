"""Signed transactions of every type: written from a node's fields, read back, and hostile bytes."""

import random
from collections.abc import Mapping

import pytest
from eth_account import Account as EthAccount
from eth_utils.crypto import keccak

from ledger.chain.blocks import raw_transaction
from ledger.chain.transactions import read_transaction
from ledger.errors import MalformedRecord

SIGNER = EthAccount.from_key(bytes([7] * 32))
TO = "0x" + "12" * 20
BASE: dict[str, object] = {
    "nonce": 3,
    "gas": 100_000,
    "to": TO,
    "value": 5,
    "data": b"\1\2\3\4" * 20,
    "chainId": 31337,
}
FEES = {"maxFeePerGas": 9, "maxPriorityFeePerGas": 1}
ACCESS = [{"address": TO, "storageKeys": ["0x" + "34" * 32]}]
AUTHORISATION = SIGNER.sign_authorization({"chainId": 31337, "address": TO, "nonce": 4})
KINDS: dict[str, dict[str, object]] = {
    "legacy": {**BASE, "gasPrice": 9},
    "access list": {**BASE, "gasPrice": 9, "accessList": ACCESS, "type": 1},
    "dynamic fee": {**BASE, **FEES, "accessList": ACCESS, "type": 2},
    "delegation": {
        **BASE,
        **FEES,
        "accessList": ACCESS,
        "authorizationList": [AUTHORISATION],
        "type": 4,
    },
}


def signed(fields: Mapping[str, object]) -> bytes:
    return bytes(SIGNER.sign_transaction(dict(fields)).raw_transaction)


def as_node(fields: Mapping[str, object]) -> dict[str, object]:
    """Write the fields as a node's JSON-RPC gives them."""
    done = SIGNER.sign_transaction(dict(fields))
    named = {k: hex(v) if isinstance(v, int) else v for k, v in fields.items()}
    parity = {"v": hex(done.v), "yParity": hex(done.v), "r": hex(done.r), "s": hex(done.s)}
    listed = [
        {
            "chainId": hex(AUTHORISATION.chain_id),
            "address": TO,
            "nonce": hex(AUTHORISATION.nonce),
            "yParity": hex(AUTHORISATION.y_parity),
            "r": hex(AUTHORISATION.r),
            "s": hex(AUTHORISATION.s),
        }
    ]
    return {**named, **parity, "input": "0x" + "01020304" * 20, "authorizationList": listed}


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_is_read_and_written_again(kind: str) -> None:
    raw = signed(KINDS[kind])
    sent = read_transaction(raw)
    assert (sent.sender, sent.chain_id) == (SIGNER.address, 31337)
    assert (sent.to or "").lower() == TO
    assert sent.data == BASE["data"]
    fields = as_node(KINDS[kind])
    assert raw_transaction(fields, keccak(raw)) == raw
    assert raw_transaction({**fields, "nonce": "0x9"}, keccak(raw)) is None


def test_one_that_counts_on_every_chain_and_one_that_creates() -> None:
    fields = {k: v for k, v in KINDS["legacy"].items() if k != "chainId"}
    assert read_transaction(signed(fields)).chain_id is None
    fields = {k: v for k, v in KINDS["dynamic fee"].items() if k != "to"}
    assert read_transaction(signed(fields)).to is None


@pytest.mark.parametrize("kind", KINDS)
def test_altered_bytes_are_another_transaction_or_none(kind: str) -> None:
    raw, rng = signed(KINDS[kind]), random.Random(kind)
    for _ in range(400):
        altered = bytearray(raw)
        for _ in range(rng.randint(1, 3)):
            altered[rng.randrange(len(raw))] = rng.randrange(256)
        cut = bytes(altered[: rng.choice((len(raw), rng.randrange(len(raw) + 1)))])
        try:
            found = read_transaction(cut)
        except MalformedRecord:
            continue
        assert cut == raw or found.sender != SIGNER.address


HOSTILE = {
    "nothing": b"",
    "a type alone": b"\x02",
    "an unknown type": b"\x7f\xc0",
    "a string": b"\xb8\x01\x01",
    "a length beyond the end": b"\xff" * 100,
    "lists without end": b"\xc1" * 200_000,
    "lists within lists": b"\xf9\xff\xff" + b"\xc1" * 65_535,
    "too few fields": b"\x02\xc3\x01\x02\x03",
    "lists for fields": b"\x02\xcc" + b"\xc0" * 12,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_refused(name: str) -> None:
    with pytest.raises(MalformedRecord):
        read_transaction(HOSTILE[name])
