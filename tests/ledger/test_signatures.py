"""Typed messages hash and sign as eth-account, an independent implementation, says they do."""

from dataclasses import fields, replace
from typing import Any

import pytest
from eth_account import Account as EthAccount
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from ledger.chain.accounts import from_key
from ledger.errors import MalformedRecord
from ledger.signatures import (
    Commit,
    Domain,
    Invitation,
    Join,
    Message,
    Proposal,
    Receipt,
    Signature,
    Vote,
    type_of,
)
from ledger.types import Address, Digest, FederationId

TYPES = {
    Commit: "Commit(bytes32 federation,uint32 round,uint32 participant,bytes32 digest)",
    Vote: "Vote(bytes32 federation,uint32 round,uint8 attempt,bytes32 result,bool support)",
    Proposal: (
        "Proposal(bytes32 federation,uint32 round,uint8 attempt,bytes32 result,bytes32 index)"
    ),
    Join: (
        "Join(bytes32 federation,address signer,address payout,bytes32 identity,bytes32 key,"
        "bytes32 datasetRoot,uint32 rows)"
    ),
    Invitation: (
        "Invitation(bytes32 federation,address controller,bytes32 identity,bytes32 datasetRoot,"
        "uint32 dataset,uint32 rows,uint64 expires)"
    ),
    Receipt: (
        "Receipt(bytes32 federation,uint32 round,uint32 participant,bytes32 digest,uint64 deadline)"
    ),
}
LEDGER = Address("0x" + "Ab" * 20)
OTHER = Address("0x" + "Cd" * 20)
DOMAIN = Domain(31337, LEDGER)
KEY = from_key(bytes([7]) * 32)
FEDERATION = FederationId(bytes([1]) * 32)
COMMIT = Commit(FEDERATION, 3, 4, Digest(bytes([5]) * 32))
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

digests = st.binary(min_size=32, max_size=32).map(Digest)
words = {
    "bytes32": digests,
    "uint8": st.integers(0, 255),
    "uint32": st.integers(0, 2**32 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "bool": st.booleans(),
    "address": st.sampled_from([LEDGER, OTHER]),
}


def members(kind: type[Message]) -> list[tuple[str, str]]:
    inside = TYPES[kind].partition("(")[2].rstrip(")")
    return [(word, name) for word, _, name in (part.partition(" ") for part in inside.split(","))]


@st.composite
def messages(draw: st.DrawFn) -> Message:
    kind = draw(st.sampled_from(list(TYPES)))
    names = [field.name for field in fields(kind)]
    values = {name: draw(words[word]) for name, (word, _) in zip(names, members(kind), strict=True)}
    made: Message = kind(**values)
    return made


def reference(message: Message, domain: Domain) -> dict[str, Any]:
    kind = type(message)
    text = [("string", "name"), ("string", "version")]
    place = [*text, ("uint256", "chainId"), ("address", "verifyingContract")]
    listed = {"EIP712Domain": place, kind.__name__: members(kind)}
    values = [getattr(message, field.name) for field in fields(kind)]
    return {
        "types": {
            name: [{"type": word, "name": field} for word, field in parts]
            for name, parts in listed.items()
        },
        "primaryType": kind.__name__,
        "domain": {
            "name": "FedNode Federations",
            "version": "1",
            "chainId": domain.chain_id,
            "verifyingContract": domain.ledger,
        },
        "message": dict(zip((name for _, name in members(kind)), values, strict=True)),
    }


@pytest.mark.parametrize("kind", TYPES)
def test_types_are_those_of_the_contract(kind: type[Message]) -> None:
    assert type_of(kind) == TYPES[kind]


@given(messages(), st.integers(1, 2**63))
def test_digests_are_those_of_eth_account(message: Message, chain_id: int) -> None:
    domain = Domain(chain_id, LEDGER)
    signable = encode_typed_data(full_message=reference(message, domain))
    assert domain.digest(message) == keccak(
        b"\x19" + signable.version + signable.header + signable.body
    )


@given(messages())
def test_signatures_are_those_of_eth_account(message: Message) -> None:
    ours = DOMAIN.sign(KEY, message)
    assert ours.full == KEY.sign_typed(reference(message, DOMAIN))
    assert Signature.of(ours.full) == Signature.of(ours.compact) == ours
    assert DOMAIN.signer(message, ours) == KEY.address
    signable = encode_typed_data(full_message=reference(message, DOMAIN))
    assert EthAccount.recover_message(signable, signature=ours.full) == KEY.address


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        (Domain(1, LEDGER), COMMIT),
        (Domain(31337, OTHER), COMMIT),
        (DOMAIN, replace(COMMIT, federation=FederationId(bytes(32)))),
        (DOMAIN, replace(COMMIT, round=4)),
        (DOMAIN, replace(COMMIT, participant=3)),
        (DOMAIN, replace(COMMIT, digest=Digest(bytes(32)))),
        (DOMAIN, Receipt(FEDERATION, 3, 4, COMMIT.digest, 0)),
    ],
)
def test_a_signature_counts_for_nothing_else(domain: Domain, message: Message) -> None:
    signature = DOMAIN.sign(KEY, COMMIT)
    assert domain.signer(message, signature) != KEY.address


def compact(r: int, s: int, parity: int) -> Signature:
    return Signature(Digest(r.to_bytes(32, "big")), Digest((s | parity << 255).to_bytes(32, "big")))


def parts(signature: Signature) -> tuple[int, int, int]:
    vs = int.from_bytes(signature.vs, "big")
    return int.from_bytes(signature.r, "big"), vs & (1 << 255) - 1, vs >> 255


def test_the_high_twin_of_a_signature_is_refused() -> None:
    """(r, n - s) with the other parity recovers to the same key: a second signature of one act."""
    r, s, parity = parts(DOMAIN.sign(KEY, COMMIT))
    high = r.to_bytes(32, "big") + (ORDER - s).to_bytes(32, "big") + bytes([28 - parity])
    signable = encode_typed_data(full_message=reference(COMMIT, DOMAIN))
    assert EthAccount.recover_message(signable, signature=high) == KEY.address
    with pytest.raises(MalformedRecord, match="with low s"):
        Signature.of(high)


R, S, PARITY = parts(DOMAIN.sign(KEY, COMMIT))


@pytest.mark.parametrize(
    "signature",
    [
        compact(0, S, PARITY),
        compact(R, 0, PARITY),
        compact(ORDER, S, PARITY),
        compact(2**256 - 1, S, PARITY),
        compact(R, ORDER // 2 + 1, PARITY),
        compact(R, 2**255 - 1, PARITY),
        compact(5, S, PARITY),
    ],
)
def test_what_is_no_signature_recovers_to_nobody(signature: Signature) -> None:
    assert DOMAIN.signer(COMMIT, signature) is None


@given(digests, digests)
def test_hostile_signatures_are_nobodys_of_interest(r: Digest, vs: Digest) -> None:
    assert DOMAIN.signer(COMMIT, Signature(r, vs)) != KEY.address


@pytest.mark.parametrize(
    "data",
    [b"", bytes(63), bytes(65), bytes(64) + b"\x01", bytes(66), bytes(32) + b"\xff" * 32 + b"\x1b"],
)
def test_bytes_that_are_no_signature_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedRecord, match="malformed signature"):
        Signature.of(data)


@pytest.mark.parametrize(
    "message", [replace(COMMIT, round=-1), replace(COMMIT, digest=Digest(b"short"))]
)
def test_a_field_that_does_not_fit_is_named(message: Commit) -> None:
    with pytest.raises(MalformedRecord, match=r"malformed typed message: (round|digest): "):
        DOMAIN.digest(message)
