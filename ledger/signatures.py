"""What is signed off the chain and counted on it: typed messages under the contract's own domain.

A message is a struct of static words, so its type and its encoding follow from its fields. The
domain names chain and contract and each message its federation, so a signature is worth nothing
anywhere else; round, attempt or index in it see that it is worth nothing a second time. Only
signatures with s in the lower half exist, as in OpenZeppelin's ECDSA: the other half would be a
second signature of the same act.

Source: EIP-712, EIP-2098 (the compact form), EIP-2.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Self, get_args

from coincurve import PublicKey
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from ledger import words
from ledger.chain.accounts import Account
from ledger.errors import MalformedRecord
from ledger.types import Address, Digest
from ledger.words import (
    AddressWord,
    BoolWord,
    Bytes32,
    FederationWord,
    UInt8,
    UInt32,
    UInt64,
    UInt256,
)

NAME = "FedNode Federations"
VERSION = "1"
COMPACT_SIZE = 64
_DOMAIN = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
_KIND = "signature"
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_SIGN_BIT = 1 << 255


@dataclass(frozen=True, slots=True)
class Commit:
    """A participant's commit to an update of a round."""

    federation: FederationWord
    round: UInt32
    participant: UInt32
    digest: Bytes32


@dataclass(frozen=True, slots=True)
class Vote:
    """A committee member's vote on the standing proposal."""

    federation: FederationWord
    round: UInt32
    attempt: UInt8
    result: Bytes32
    support: BoolWord


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposer's result, which somebody else may bring to the chain and pay the bond for."""

    federation: FederationWord
    round: UInt32
    attempt: UInt8
    result: Bytes32
    index: Bytes32


@dataclass(frozen=True, slots=True)
class Join:
    """A controller's consent to join through somebody else's transaction."""

    federation: FederationWord
    signer: AddressWord
    payout: AddressWord
    identity: Bytes32
    key: Bytes32
    dataset_root: Bytes32
    rows: UInt32


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a creator attests about a participant: who it is and how many rows it has.

    `dataset` is the index that the commitment will get in the participant's list, 0 in the one that
    it joins with: so no invitation can be used twice.
    """

    federation: FederationWord
    controller: AddressWord
    identity: Bytes32
    dataset_root: Bytes32
    dataset: UInt32 = field(default=0, kw_only=True)
    rows: UInt32
    expires: UInt64


@dataclass(frozen=True, slots=True)
class Receipt:
    """A relay's word that it holds a signed message and will post it before a deadline.

    `digest` is that of the update in a commit's receipt, and a vote's own in that of a vote.
    """

    federation: FederationWord
    round: UInt32
    participant: UInt32
    digest: Bytes32
    deadline: UInt64


Message = Commit | Vote | Proposal | Join | Invitation | Receipt


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature in its compact form: `vs` is s with the parity of the point in its top bit."""

    r: Bytes32
    vs: Bytes32

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Read a signature of 64 bytes (compact) or 65 (r, s, v)."""
        if len(data) == COMPACT_SIZE:
            return cls(Digest(data[:32]), Digest(data[32:]))
        if len(data) != COMPACT_SIZE + 1 or data[64] not in (27, 28) or data[32] >= 128:
            raise MalformedRecord(_KIND, "expected r, vs (64 bytes) or r, s, v (65), with low s")
        s = int.from_bytes(data[32:64], "big") | (data[64] == 28) * _SIGN_BIT
        return cls(Digest(data[:32]), Digest(s.to_bytes(32, "big")))

    @property
    def compact(self) -> bytes:
        """Its 64 bytes."""
        return self.r + self.vs

    @property
    def full(self) -> bytes:
        """Its 65 bytes r, s, v, as a contract takes them where it takes `bytes`."""
        s, odd = self._split
        return self.r + s.to_bytes(32, "big") + bytes([27 + odd])

    @property
    def _split(self) -> tuple[int, int]:
        vs = int.from_bytes(self.vs, "big")
        return vs & ~_SIGN_BIT, vs >> 255

    def signer(self, digest: Digest) -> Address | None:
        """Recover the account that signed a digest; None where nobody can have."""
        s, odd = self._split
        if s > _ORDER // 2:
            return None
        try:
            point = PublicKey.from_signature_and_message(
                self.r + s.to_bytes(32, "big") + bytes([odd]), digest, hasher=None
            )
        except ValueError:
            # Libsecp256k1's own text for what is no signature: r or s out of range, or no point.
            return None
        return Address(_checksummed(keccak(point.format(compressed=False)[1:])[12:]))


@dataclass(frozen=True)
class Domain:
    """Where a signature counts: one contract on one chain."""

    chain_id: int
    ledger: Address

    @cached_property
    def _prefix(self) -> bytes:
        place = _Place(self.chain_id, self.ledger)
        names = keccak(text=_DOMAIN) + keccak(text=NAME) + keccak(text=VERSION)
        return b"\x19\x01" + keccak(names + words.encode(place, kind="signature's domain"))

    def digest(self, message: Message) -> Digest:
        """Hash a message: what a signature of it signs."""
        content = keccak(_TYPE_HASHES[type(message)] + words.encode(message, kind="typed message"))
        return Digest(keccak(self._prefix + content))

    def sign(self, account: Account, message: Message) -> Signature:
        """Sign a message."""
        return Signature.of(account.sign_digest(self.digest(message)))

    def signer(self, message: Message, signature: Signature) -> Address | None:
        """Recover the account that signed a message; None where nobody can have."""
        return signature.signer(self.digest(message))


@dataclass(frozen=True, slots=True)
class _Place:
    chain_id: UInt256
    ledger: AddressWord


def type_of(message: type) -> str:
    """Write a message's type as EIP-712 names it: `Commit(bytes32 federation,uint32 round,...)`."""
    fields = (f"{_kind(kind)} {_camel(name)}" for name, kind in words.layout(message))
    return f"{message.__name__}({','.join(fields)})"


def _kind(word: words.WordType | type) -> str:
    assert not isinstance(word, type), "a typed message has no structs in it"
    return word.name


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


@lru_cache(maxsize=1 << 16)
def _checksummed(account: bytes) -> str:
    return to_checksum_address(account)


_TYPE_HASHES: dict[type, bytes] = {kind: keccak(text=type_of(kind)) for kind in get_args(Message)}
