"""What participants and relays send each other: small JSON objects, bytes as hexadecimal digits."""

import re
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from fednode.relay.situation import Application, SignedResult
from ledger.address import parse_address
from ledger.headers import ResultHeader
from ledger.signatures import COMPACT_SIZE, Commit, Join, Receipt, Signature, Vote
from ledger.types import Address, Digest, FederationId
from ledger.words import size_of

MAX_MESSAGE = 1 << 13
"""Bytes of the longest message: a result's header and a signature, as text, fit several times."""
MAX_SIGNATURE = 1 << 10
_HEX = re.compile(r"(?:[0-9a-f]{2})*")


def _address(value: object) -> Address:
    return parse_address(str(value))


def _hex(least: int, most: int) -> tuple[BeforeValidator, PlainSerializer]:
    """Read and write so many bytes as text."""

    def read(value: object) -> bytes:
        data = value
        if isinstance(value, str) and _HEX.fullmatch(value):
            data = bytes.fromhex(value)
        if not isinstance(data, bytes) or not least <= len(data) <= most:
            digits = f"{2 * most}" if least == most else f"at most {2 * most}"
            raise ValueError(f"expected {digits} hexadecimal digits, in lower case")
        return data

    return BeforeValidator(read), PlainSerializer(bytes.hex, return_type=str)


_WORD = _hex(32, 32)
_COMPACT = _hex(COMPACT_SIZE, COMPACT_SIZE)
_HEADER = _hex(size_of(ResultHeader), size_of(ResultHeader))
_LONG = _hex(0, MAX_SIGNATURE)
Word = Annotated[bytes, *_WORD]
Compact = Annotated[bytes, *_COMPACT]
HeaderBytes = Annotated[bytes, *_HEADER]
SignatureBytes = Annotated[bytes, *_LONG]
Account = Annotated[str, BeforeValidator(_address)]
Number8 = Annotated[int, Field(strict=True, ge=0, lt=1 << 8)]
Number32 = Annotated[int, Field(strict=True, ge=0, lt=1 << 32)]
Number64 = Annotated[int, Field(strict=True, ge=0, lt=1 << 64)]
Flag = Annotated[bool, Field(strict=True)]


class Message(BaseModel):
    """A message has exactly its own fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    federation: Word


class SignedCommit(Message):
    """A participant's commit to an update."""

    round: Number32
    participant: Number32
    digest: Word
    signature: Compact

    @property
    def content(self) -> Commit:
        """What is signed."""
        federation = FederationId(self.federation)
        return Commit(federation, self.round, self.participant, Digest(self.digest))


class SignedBallot(Message):
    """A committee member's vote."""

    round: Number32
    attempt: Number8
    result: Word
    support: Flag
    signature: Compact

    @property
    def content(self) -> Vote:
        """What is signed."""
        federation = FederationId(self.federation)
        return Vote(federation, self.round, self.attempt, Digest(self.result), self.support)


class SignedProposal(Message):
    """A result that a sponsor is asked to propose, signed by whose turn it is."""

    header: HeaderBytes
    index: Word
    signature: Compact

    @property
    def content(self) -> SignedResult:
        """The result; its attempt is the one that is due."""
        header = ResultHeader.decode(self.header)
        return SignedResult(header, Digest(self.index), Signature.of(self.signature))


class SignedJoin(Message):
    """A site that asks a sponsor to let it join."""

    controller: Account
    signer: Account
    payout: Account
    identity: Word
    key: Word
    dataset_root: Word
    rows: Number32
    expires: Number64
    invitation: SignatureBytes
    consent: Compact

    @property
    def content(self) -> Application:
        """What is signed, and what goes with it."""
        join = Join(
            FederationId(self.federation),
            Address(self.signer),
            Address(self.payout),
            Digest(self.identity),
            Digest(self.key),
            Digest(self.dataset_root),
            self.rows,
        )
        consent = Signature.of(self.consent)
        return Application(join, Address(self.controller), consent, self.invitation, self.expires)


class SignedReceipt(Message):
    """A relay's word for a commit or a vote."""

    round: Number32
    participant: Number32
    digest: Word
    deadline: Number64
    signature: Compact

    @classmethod
    def of(cls, receipt: Receipt, signature: Signature) -> Self:
        """Write a receipt."""
        return cls(
            federation=receipt.federation,
            round=receipt.round,
            participant=receipt.participant,
            digest=receipt.digest,
            deadline=receipt.deadline,
            signature=signature.compact,
        )

    @property
    def content(self) -> Receipt:
        """What is signed."""
        federation, digest = FederationId(self.federation), Digest(self.digest)
        return Receipt(federation, self.round, self.participant, digest, self.deadline)
