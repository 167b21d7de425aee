"""Block headers, transactions and receipts as the bytes that Ethereum hashes (RLP, EIP-2718).

Header layouts grow with every fork, always at the end: a header is encoded by the fields that are
present, and its hash decides whether that was right. The last two fields are those of EIP-7928 and
EIP-7843, in go-ethereum's order (core/types/block.go).
"""

from collections.abc import Mapping, Sequence

import rlp
from eth_bloom.bloom import BloomFilter
from eth_utils.address import to_canonical_address
from eth_utils.crypto import keccak
from trie.hexary import HexaryTrie

from ledger.chain.bounded_rlp import decode_list
from ledger.chain.quantities import COUNT, HASH, WORD, data, number
from ledger.chain.types import Block, Log, Receipt
from ledger.errors import LedgerError

HEADER_FIELDS = (
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
    "baseFeePerGas",
    "withdrawalsRoot",
    "blobGasUsed",
    "excessBlobGas",
    "parentBeaconBlockRoot",
    "requestsHash",
    "blockAccessListHash",
    "slotNumber",
)
HEADER_INTEGERS = frozenset(
    {
        "difficulty",
        "number",
        "gasLimit",
        "gasUsed",
        "timestamp",
        "baseFeePerGas",
        "blobGasUsed",
        "excessBlobGas",
        "slotNumber",
    }
)


class UnknownHeaderLayout(LedgerError):
    """A header whose fields, encoded as Ethereum does, do not give the block's hash."""

    def __init__(self, number: int, expected: bytes, found: bytes) -> None:
        self.number = number
        self.expected = expected
        self.found = found
        super().__init__(
            f"block {number}: the header's fields hash to 0x{found.hex()}, the block is "
            f"0x{expected.hex()}; the chain uses a header layout that is not known here (a newer "
            "fork, or QBFT or IBFT2, whose hashes leave out the commit seals)"
        )


def integer(value: int) -> bytes:
    """Encode a number as RLP does: big-endian without leading zeros."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def header_rlp(block: Block) -> bytes:
    """Encode a header. Raise UnknownHeaderLayout if it does not hash to the block's hash."""
    items = [block.header[name] for name in HEADER_FIELDS if name in block.header]
    encoded = bytes(rlp.encode(items))
    found = keccak(encoded)
    if found != block.hash:
        raise UnknownHeaderLayout(block.number, block.hash, found)
    return encoded


def _bloom(logs: tuple[Log, ...]) -> bytes:
    bloom = BloomFilter()
    for log in logs:
        bloom.add(to_canonical_address(log.address))
        for topic in log.topics:
            bloom.add(topic)
    return int(bloom).to_bytes(256, "big")


def receipt_bytes(receipt: Receipt) -> bytes:
    """Encode a receipt as the receipts trie holds it (EIP-658, EIP-2718)."""
    body = [
        integer(receipt.status),
        integer(receipt.cumulative_gas_used),
        _bloom(receipt.logs),
        [[to_canonical_address(log.address), list(log.topics), log.data] for log in receipt.logs],
    ]
    prefix = bytes([receipt.type]) if receipt.type else b""
    return prefix + bytes(rlp.encode(body))


def trie_root(items: Sequence[bytes]) -> bytes:
    """Give the root of the trie that maps rlp(index) to each item."""
    return bytes(_trie(items).root_hash)


def trie_proof(items: Sequence[bytes], index: int) -> list[bytes]:
    """Give the nodes on the way from the root of such a trie to an item."""
    nodes = _trie(items).get_proof(rlp.encode(index))  # type: ignore[no-untyped-call]
    return [bytes(rlp.encode(node)) for node in nodes]


def trie_value(root: bytes, index: int, proof: Sequence[bytes]) -> bytes | None:
    """Give the item that a proof shows under a root; None for a proof that shows none."""
    try:
        nodes = [decode_list(node) for node in proof]
        key = rlp.encode(index)
        found = HexaryTrie.get_from_proof(root, key, nodes)  # type: ignore[no-untyped-call]
    except Exception:
        # The nodes are anybody's, and the trie has no errors of its own for most of what they hold.
        return None
    return bytes(found) or None


def _trie(items: Sequence[bytes]) -> HexaryTrie:
    trie = HexaryTrie({})
    for index, item in enumerate(items):
        trie[rlp.encode(index)] = item
    return trie


def raw_transaction(fields: Mapping[str, object], expected: bytes) -> bytes | None:
    """Rebuild a signed transaction from its JSON-RPC fields; None if it is of an unknown kind.

    Raise MalformedAnswer for a field that is no number or no bytes.
    """
    try:
        raw = _encode_transaction(fields)
    except (KeyError, TypeError):  # a kind of a chain's own lacks fields, or names others so
        return None
    return raw if raw is not None and keccak(raw) == expected else None


def _encode_transaction(fields: Mapping[str, object]) -> bytes | None:
    kind = 0 if fields.get("type") is None else number(fields["type"], "type", bits=8)
    if kind > 4:
        return None
    target = _address(fields, "to") if fields.get("to") else b""
    message = [target, _quantity(fields, "value"), data(fields["input"], "input")]
    nonce, gas = _quantity(fields, "nonce", COUNT), _quantity(fields, "gas", COUNT)
    r, s = _quantity(fields, "r"), _quantity(fields, "s")
    if kind == 0:
        price = _quantity(fields, "gasPrice")
        return bytes(rlp.encode([nonce, price, gas, *message, _quantity(fields, "v"), r, s]))
    parity = _quantity(fields, "yParity" if fields.get("yParity") is not None else "v")
    head: list[object] = [_quantity(fields, "chainId"), nonce]
    if kind == 1:
        head.append(_quantity(fields, "gasPrice"))
    else:
        head += [_quantity(fields, "maxPriorityFeePerGas"), _quantity(fields, "maxFeePerGas")]
    items = [*head, gas, *message, _access_list(fields.get("accessList"))]
    if kind == 3:
        hashes = _list(fields["blobVersionedHashes"])
        items += [
            _quantity(fields, "maxFeePerBlobGas"),
            [data(value, "blobVersionedHashes", size=HASH) for value in hashes],
        ]
    elif kind == 4:
        items.append(_authorisations(fields["authorizationList"]))
    return bytes([kind]) + bytes(rlp.encode([*items, parity, r, s]))


def _quantity(fields: Mapping[str, object], name: str, bits: int = WORD) -> bytes:
    return integer(number(fields[name], name, bits=bits))


def _address(fields: Mapping[str, object], name: str) -> bytes:
    return data(fields[name], name, size=20)


def _list(entries: object) -> list[Mapping[str, object]]:
    return entries if isinstance(entries, list) else []


def _access_list(entries: object) -> list[list[object]]:
    return [
        [
            _address(e, "address"),
            [data(key, "storageKeys", size=HASH) for key in _list(e["storageKeys"])],
        ]
        for e in _list(entries)
    ]


def _authorisations(entries: object) -> list[list[bytes]]:
    """Encode what EIP-7702 lets accounts authorise in a transaction of type 4."""
    return [
        [
            _quantity(e, "chainId"),
            _address(e, "address"),
            _quantity(e, "nonce", COUNT),
            _quantity(e, "yParity", 8),
            _quantity(e, "r"),
            _quantity(e, "s"),
        ]
        for e in _list(entries)
    ]
