"""Signed transactions as bytes: who signed one, for which chain, and what it calls.

Source: EIP-155 (legacy), EIP-2718 (envelopes), EIP-2930, EIP-1559, EIP-4844, EIP-7702.
"""

from dataclasses import dataclass

import rlp
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from ledger.chain.blocks import integer
from ledger.chain.bounded_rlp import LIST, decode_list
from ledger.errors import MalformedRecord
from ledger.signatures import Signature
from ledger.types import Address, Digest

_KIND = "transaction"
_FIELDS = {0: (9, 3), 1: (11, 4), 2: (12, 5), 3: (14, 5), 4: (13, 5)}
"""By envelope type, 0 for none: how many fields there are, and the place of the receiver."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What a signed transaction says. `chain_id` is None in one that counts on every chain, `to`
    in one that creates a contract.
    """

    sender: Address
    chain_id: int | None
    to: Address | None
    data: bytes


def read_transaction(raw: bytes) -> Sent:
    """Read a signed transaction and recover its sender. Raise MalformedRecord for all else."""
    if not raw:
        raise MalformedRecord(_KIND, "no bytes")
    kind = raw[0] if raw[0] < LIST else 0
    if kind not in _FIELDS:
        raise MalformedRecord(_KIND, f"of an unknown type ({kind})")
    count, place = _FIELDS[kind]
    fields = decode_list(raw[1:] if kind else raw)
    if len(fields) != count:
        raise MalformedRecord(_KIND, f"{len(fields)} fields, not {count}")
    *unsigned, parity, r, s = fields
    chain_id = _number(fields[0]) if kind else _protected(_number(parity))
    if kind:
        signed = bytes([kind]) + rlp.encode(unsigned)
        odd = _number(parity)
    else:
        tail = [] if chain_id is None else [integer(chain_id), b"", b""]
        signed = rlp.encode([*unsigned, *tail])
        odd = _number(parity) - (27 if chain_id is None else 35 + 2 * chain_id)
    if odd not in (0, 1):
        raise MalformedRecord(_KIND, "a parity that is neither 0 nor 1")
    return Sent(
        sender=_signer(keccak(signed), odd, _number(r), _number(s)),
        chain_id=chain_id,
        to=_receiver(_text(fields[place])),
        data=_text(fields[place + 2]),
    )


def _signer(digest: bytes, odd: int, r: int, s: int) -> Address:
    if s >> 255:
        raise MalformedRecord(_KIND, "a signature with s in the upper half")
    vs = (s | odd << 255).to_bytes(32, "big")
    signer = Signature(Digest(r.to_bytes(32, "big")), Digest(vs)).signer(Digest(digest))
    if signer is None:
        raise MalformedRecord(_KIND, "a signature that no account can have made")
    return signer


def _protected(v: int) -> int | None:
    """Give the chain that a legacy transaction's v names, if it names one (EIP-155)."""
    return (v - 35) // 2 if v >= 35 else None


def _receiver(to: bytes) -> Address | None:
    if len(to) not in (0, 20):
        raise MalformedRecord(_KIND, f"a receiver of {len(to)} bytes")
    return Address(to_checksum_address(to)) if to else None


def _text(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise MalformedRecord(_KIND, "a list where bytes belong")
    return value


def _number(value: object) -> int:
    found = _text(value)
    if len(found) > 32 or found[:1] == b"\0":
        raise MalformedRecord(_KIND, "a number that is not canonical")
    return int.from_bytes(found, "big")
