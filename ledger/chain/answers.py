"""A node's JSON-RPC answers as values, each checked and bounded where it is read.

Source: execution-apis `src/schemas`; EIP-1474.
"""

from collections.abc import Mapping
from reprlib import Repr
from typing import Final

from eth_utils.address import is_hex_address, to_checksum_address

from ledger.chain.blocks import HEADER_FIELDS, HEADER_INTEGERS, integer, raw_transaction
from ledger.chain.errors import MalformedAnswer
from ledger.chain.quantities import COUNT, HASH, PRICE, WORD, data, number
from ledger.chain.types import MAX_GAS, Block, Log, Receipt, Transaction
from ledger.types import Address, Wei

__all__ = ["COUNT", "HASH", "PRICE", "WORD", "data", "number"]

Json = Mapping[str, object]

MAX_WORDS: Final = 1_000
"""Characters of an error's message: the line that it stands in has to keep its end."""
MAX_REVERT: Final = 1 << 14
"""Bytes of a revert's data."""
LAST_MOMENT: Final = 253_402_300_799
"""The last second of the year 9999: a later timestamp is no date."""
MAX_INPUT: Final = MAX_GAS // 4
"""Bytes that a transaction of anyone's can pay for: none costs less than 4 units of gas."""

_SHORT: Final = Repr()


def hexed(data: bytes) -> str:
    """Write bytes as JSON-RPC takes them."""
    return "0x" + data.hex()


def error(found: object) -> tuple[int, str, bytes]:
    """Read an error object: its code, message, and the revert data wherever the node put it."""
    if not isinstance(found, Mapping):
        return 0, _words(found), b""
    code = found.get("code")
    given = found.get("data")
    while isinstance(given, Mapping):
        given = given.get("data") or given.get("result")
    text = given[: 2 * MAX_REVERT].removeprefix("Reverted ") if isinstance(given, str) else ""
    try:
        reverted = bytes.fromhex(text[2:]) if text.startswith("0x") else b""
    except ValueError:
        reverted = b""
    known = code if isinstance(code, int) and abs(code) < 1 << COUNT else 0
    return known, _words(found.get("message", "no message")), reverted


def _words(value: object) -> str:
    """Give the start of a text, or of what stands in its place."""
    return (value if isinstance(value, str) else _SHORT.repr(value))[:MAX_WORDS]


def fields_of(value: object, method: str) -> Json:
    """Read an object."""
    if not isinstance(value, Mapping):
        raise MalformedAnswer(method, "not an object")
    return value


def integer_of(fields: Json, name: str, *, bits: int = COUNT) -> int:
    """Read an object's quantity."""
    return number(fields.get(name), name, bits=bits)


def moment(fields: Json, name: str = "timestamp") -> int:
    """Read an object's timestamp, in seconds."""
    found = integer_of(fields, name)
    if found > LAST_MOMENT:
        raise MalformedAnswer(name, f"{found} is after the year 9999")
    return found


def block(fields: Json) -> Block:
    """Read a block without its transactions' bodies."""
    transactions = fields.get("transactions")
    if not isinstance(transactions, list):
        raise MalformedAnswer("eth_getBlock", "no list of transactions")
    return Block(
        number=integer_of(fields, "number"),
        hash=_hash(fields, "hash"),
        parent=_hash(fields, "parentHash"),
        timestamp=moment(fields),
        header={
            name: _header_item(fields, name)
            for name in HEADER_FIELDS
            if fields.get(name) is not None
        },
        transactions=tuple(data(hash_, "transactions", size=HASH) for hash_ in transactions),
    )


def transaction(found: object, hash_: bytes) -> Transaction | None:
    """Read a transaction; None if it is not mined."""
    if found is None:
        return None
    fields = fields_of(found, "eth_getTransactionByHash")
    if fields.get("blockHash") is None:
        return None
    input_ = data(fields.get("input"), "input", most=MAX_INPUT)
    return Transaction(
        hash=hash_,
        sender=_address(fields, "from"),
        to=_address(fields, "to") if fields.get("to") else None,
        nonce=integer_of(fields, "nonce"),
        value=Wei(integer_of(fields, "value", bits=WORD)),
        data=input_,
        raw=raw_transaction(fields, hash_),
    )


def log(fields: Json) -> Log:
    """Read a log."""
    topics = fields.get("topics")
    if not isinstance(topics, list):
        raise MalformedAnswer("log", "no list of topics")
    return Log(
        address=_address(fields, "address"),
        topics=tuple(data(topic, "topics", size=HASH) for topic in topics),
        data=data(fields.get("data"), "data"),
        block_number=integer_of(fields, "blockNumber"),
        block_hash=_hash(fields, "blockHash"),
        transaction=_hash(fields, "transactionHash"),
        log_index=integer_of(fields, "logIndex"),
        timestamp=(moment(fields, "blockTimestamp") if fields.get("blockTimestamp") else 0) or None,
    )


def receipt(fields: Json) -> Receipt:
    """Read a mined transaction's receipt."""
    logs = fields.get("logs")
    if not isinstance(logs, list):
        raise MalformedAnswer("eth_getTransactionReceipt", "no list of logs")
    price = fields.get("effectiveGasPrice")
    paid = 0 if price is None else number(price, "effectiveGasPrice", bits=WORD)
    return Receipt(
        transaction=_hash(fields, "transactionHash"),
        transaction_index=integer_of(fields, "transactionIndex"),
        block_number=integer_of(fields, "blockNumber"),
        block_hash=_hash(fields, "blockHash"),
        sender=_address(fields, "from"),
        status=integer_of(fields, "status", bits=1),
        gas_used=integer_of(fields, "gasUsed"),
        cumulative_gas_used=integer_of(fields, "cumulativeGasUsed"),
        effective_gas_price=Wei(paid),
        type=0 if fields.get("type") is None else integer_of(fields, "type", bits=8),
        logs=tuple(log(fields_of(entry, "log")) for entry in logs),
        contract=_address(fields, "contractAddress") if fields.get("contractAddress") else None,
    )


def _header_item(fields: Json, name: str) -> bytes:
    """Read a header's field as the bytes that RLP takes."""
    if name in HEADER_INTEGERS and fields[name] != "0x":
        return integer(integer_of(fields, name, bits=WORD))
    return data(fields[name], name)


def _hash(fields: Json, name: str) -> bytes:
    return data(fields.get(name), name, size=HASH)


def _address(fields: Json, name: str) -> Address:
    value = fields.get(name)
    if not isinstance(value, str) or not is_hex_address(value):
        raise MalformedAnswer(name, f"{str(value)[:44]!r} is not an address")
    return Address(to_checksum_address(value))
