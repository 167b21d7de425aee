"""Signed transactions of every type: written from a node's fields, read back, and hostile bytes."""

import random
from collections.abc import Mapping

import pytest
from eth_account import Account as EthAccount
from eth_utils.crypto import keccak

from ledger.chain import answers
from ledger.chain.blocks import raw_transaction
from ledger.chain.errors import MalformedAnswer
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
LISTED = {
    "chainId": hex(AUTHORISATION.chain_id),
    "address": TO,
    "nonce": hex(AUTHORISATION.nonce),
    "yParity": hex(AUTHORISATION.y_parity),
    "r": hex(AUTHORISATION.r),
    "s": hex(AUTHORISATION.s),
}
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
    return {**named, **parity, "input": "0x" + "01020304" * 20, "authorizationList": [LISTED]}


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


BAD: list[object] = ["-0x1", "0x-1", "0x" + "f" * 65, "0x1_0", 7, True, [], {}, "1" * 9999]


@pytest.mark.parametrize("kind", KINDS)
def test_each_field_of_a_nodes_transaction_is_bounded(kind: str) -> None:
    fields = as_node(KINDS[kind]) | {"type": hex(list(KINDS).index(kind) + (kind == "delegation"))}
    hash_ = keccak(signed(KINDS[kind]))
    assert raw_transaction(fields, hash_) is not None
    used = {"type", "nonce", "gas", "value", "input", "r", "s", "to"}
    used |= {"v", "gasPrice"} if kind == "legacy" else {"yParity", "chainId"}
    used |= FEES.keys() if "maxFeePerGas" in KINDS[kind] else {"gasPrice"}
    for name in used:
        for bad in BAD:
            if name == "to" and not bad:
                continue  # as one that creates a contract
            with pytest.raises(MalformedAnswer):
                raw_transaction({**fields, name: bad}, hash_)


INNER = [
    ("accessList", ACCESS[0], "storageKeys", ["-0x1"]),
    ("accessList", ACCESS[0], "address", "0x12"),
    ("authorizationList", LISTED, "chainId", "-0x1"),
    ("authorizationList", LISTED, "r", "-0x1"),
    ("authorizationList", LISTED, "yParity", "0xfff"),
]


@pytest.mark.parametrize(("where", "entry", "name", "value"), INNER)
def test_fields_in_lists_are_bounded(
    where: str, entry: Mapping[str, object], name: str, value: object
) -> None:
    fields = as_node(KINDS["delegation"]) | {"type": "0x4", where: [{**entry, name: value}]}
    with pytest.raises(MalformedAnswer):
        raw_transaction(fields, bytes(32))


@pytest.mark.parametrize("blob", [{"maxFeePerBlobGas": "-0x1"}, {"blobVersionedHashes": ["0x12"]}])
def test_fields_of_blobs_are_bounded(blob: Mapping[str, object]) -> None:
    fields = as_node(KINDS["dynamic fee"]) | {"type": "0x3", "maxFeePerBlobGas": "0x1"}
    fields["blobVersionedHashes"] = ["0x" + "01" * 32]
    assert raw_transaction(fields, bytes(32)) is None
    with pytest.raises(MalformedAnswer):
        raw_transaction({**fields, **blob}, bytes(32))


def test_an_input_that_no_gas_pays_for_is_refused_before_it_is_read() -> None:
    fields = as_node(KINDS["legacy"]) | {"blockHash": "0x" + "00" * 32, "from": TO}
    assert answers.transaction(fields, bytes(32)) is not None
    with pytest.raises(MalformedAnswer, match=f"more than {answers.MAX_INPUT} bytes"):
        answers.transaction({**fields, "input": "0x" + "zz" * (answers.MAX_INPUT + 1)}, bytes(32))


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
