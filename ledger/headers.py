"""Headers: the records that a contract may have to open, mirrors of `contracts/src/Headers.sol`.

A header's bytes are `abi.encode(struct)`, all static words, stored as one raw block, so that
`sha256(abi.encode(header))` in Solidity is its digest here and its address on IPFS. Every header
starts with a type tag, the chain, the contract, the federation, the round and the parent result:
what was signed for one lineage is worthless on another.
"""

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self

from eth_utils.crypto import keccak

from ledger import words
from ledger.cid import CID, Codec
from ledger.errors import MalformedRecord
from ledger.types import Address, Digest, FederationId
from ledger.words import (
    AddressWord,
    BoolWord,
    Bytes32,
    FederationWord,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    UInt128,
    UInt256,
)

POLICY_TAG = Digest(keccak(text="fednode.policy.1"))
UPDATE_TAG = Digest(keccak(text="fednode.update.1"))
RESULT_TAG = Digest(keccak(text="fednode.result.1"))


class Rule(IntEnum):
    """How updates become a model."""

    WEIGHTED_MEAN = 0
    TRIMMED_MEAN = 1
    MEDIAN = 2


class Valuation(IntEnum):
    """How contributions are computed."""

    NONE = 0
    LEAVE_ONE_OUT = 1
    EXACT = 2


class Visibility(IntEnum):
    """Who can read the artefacts."""

    PUBLIC = 0
    MEMBERS = 1


class Evaluation(IntEnum):
    """Which rows utilities are measured on."""

    NONE = 0
    PUBLIC = 1
    SLICES = 2
    SHARDS = 3


@dataclass(frozen=True, slots=True)
class Common:
    """What every header starts with."""

    tag: Bytes32
    chain_id: UInt256
    ledger: AddressWord
    federation: FederationWord
    round: UInt32
    parent: Bytes32


class _Header:
    """Encoding shared by the three kinds of header."""

    __slots__ = ()
    TAG: ClassVar[Digest]
    KIND: ClassVar[str]
    common: Common

    def encode(self) -> bytes:
        """Return `abi.encode(header)`; a field beyond its Solidity type is an error naming it."""
        if self.common.tag != self.TAG:
            raise MalformedRecord(self.KIND, f"tag is {self.common.tag.hex()}, not its own")
        return words.encode(self, kind=self.KIND)

    def digest(self) -> Digest:
        """Return sha-256 of the encoding: the header's name on the chain and in the store."""
        return Digest(hashlib.sha256(self.encode()).digest())

    def cid(self) -> CID:
        """Return the raw block's CID."""
        return CID(Codec.RAW, self.digest())

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read `abi.encode(header)`; refuse any other length, padding or tag."""
        header = words.decode(cls, data, kind=cls.KIND)
        if header.common.tag != cls.TAG:
            raise MalformedRecord(cls.KIND, f"tag {header.common.tag.hex()} is of another kind")
        return header


@dataclass(frozen=True, slots=True)
class PolicyHeader(_Header):
    """The part of a policy that the contract enforces; its federation and round are zero."""

    TAG: ClassVar[Digest] = POLICY_TAG
    KIND: ClassVar[str] = "policy header"

    common: Common
    ancestor: FederationWord
    initial_model_root: Bytes32
    rest: Bytes32
    rule: UInt8
    rule_parameters: Bytes32
    leaves: UInt32
    coordinates: UInt32
    bound: UInt32
    weight_cap: UInt32
    start_participants: UInt32
    max_participants: UInt32
    least_updates: UInt32
    open: BoolWord
    statistics: UInt32
    committee_size: UInt32
    quorum_bps: UInt16
    attempts: UInt8
    commit_window: UInt32
    reveal_window: UInt32
    propose_window: UInt32
    attest_window: UInt32
    challenge_window: UInt32
    idle_window: UInt32
    batch_window: UInt32
    unbonding_window: UInt32
    answer_window: UInt32
    relay: AddressWord
    stake: UInt128
    proposer_bond: UInt128
    challenge_bond: UInt128
    proposer_fee: UInt128
    attester_fee: UInt128
    relay_fee: UInt128
    unavailable_fee: UInt128
    rejection_fee: UInt128
    rounds: UInt32
    reward_period: UInt32
    token: AddressWord
    pool: UInt128
    target: UInt64
    value_exponent: UInt8
    scale_exponent: UInt8
    valuation: UInt8
    valuation_every: UInt32
    visibility: UInt8
    evaluation: UInt8
    staleness: UInt8

    @property
    def reserve(self) -> int:
        """Return what is kept of the pool for the fees of all results."""
        results = self.rounds + (1 if self.statistics else 0)
        ballots = self.committee_size * self.attester_fee
        return results * (self.proposer_fee + ballots + self.relay_fee)

    @property
    def purse(self) -> int:
        """Return what payouts are released from."""
        return self.pool - self.reserve

    def draws(self, known: int) -> bool:
        """Whether a committee is drawn from so many participants: not all of them fit in."""
        return known > self.committee_size

    def ends_period(self, trained: int) -> bool:
        """Whether a reward period ends with the training result of this number, from 1 on."""
        every = self.reward_period
        return trained > 0 and (trained == self.rounds or (every > 0 and trained % every == 0))


@dataclass(frozen=True, slots=True)
class UpdateHeader(_Header):
    """What a participant commits to in a round."""

    TAG: ClassVar[Digest] = UPDATE_TAG
    KIND: ClassVar[str] = "update header"

    common: Common
    participant: UInt32
    base: Bytes32
    payload_root: Bytes32
    dataset: UInt32
    index: Bytes32
    training: Bytes32
    evaluation: Bytes32


@dataclass(frozen=True, slots=True)
class ResultHeader(_Header):
    """What a round came to."""

    TAG: ClassVar[Digest] = RESULT_TAG
    KIND: ClassVar[str] = "result header"

    common: Common
    nodes: Bytes32
    weight: UInt64
    number: UInt32
    model_root: Bytes32
    model_digest: Bytes32
    utilities: Bytes32
    gain: Int64
    values: Bytes32
    scores: UInt256
    payouts: Bytes32
    payout_total: UInt128
    stop: BoolWord


def federation_id(
    chain_id: int, ledger: Address, *, creator: Address, policy: Digest, salt: Digest
) -> FederationId:
    """Compute the id that the contract gives a federation; `policy` is its header's digest."""
    packed = words.encode(_Identity(chain_id, ledger, creator, policy, salt), kind="federation id")
    return FederationId(keccak(packed))


@dataclass(frozen=True, slots=True)
class _Identity:
    chain_id: UInt256
    ledger: AddressWord
    creator: AddressWord
    policy: Bytes32
    salt: Bytes32
