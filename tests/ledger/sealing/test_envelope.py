"""The envelope: standard HPKE, one content key for everybody, and nobody left out unnoticed."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hpke
from hypothesis import given
from hypothesis import strategies as st

from ledger import cbor
from ledger.errors import LedgerError, MalformedRecord
from ledger.sealing import MAX_READERS, Envelope, NotForUs, SealBroken, SealingKey, Vault, usable
from ledger.sealing.envelope import WRAP_SIZE

SECRET = bytes(range(32))
KEYS = tuple(SealingKey.from_seed(bytes([number]) * 32) for number in range(1, 6))
OURS, OTHERS = KEYS[0], KEYS[1:]
READERS = [key.public for key in KEYS]
ENVELOPE = Envelope.seal(SECRET, READERS)
SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
SMALL_ORDER = (
    bytes(32),
    (1).to_bytes(32, "little"),
    ((1 << 255) - 19).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
)


@given(st.binary(min_size=32, max_size=32), st.sets(st.sampled_from(KEYS), min_size=1))
def test_each_reader_opens_it_with_another_implementation(
    secret: bytes, keys: set[SealingKey]
) -> None:
    envelope = Envelope.decode(Envelope.seal(secret, (key.public for key in keys)).encode())
    for key in keys:
        wrap = envelope.wraps[envelope.readers.index(key.public)]
        assert SUITE.decrypt(wrap, key.private, b"fednode envelope 1") == secret
        assert envelope.open(key) == secret


def test_it_is_a_function_of_content_key_and_readers() -> None:
    assert Envelope.seal(SECRET, reversed(READERS)) == ENVELOPE
    assert Envelope.seal(SECRET, [*READERS, *READERS]) == ENVELOPE
    other = Envelope.seal(bytes(32), READERS)
    assert not set(other.wraps) & set(ENVELOPE.wraps)
    # No two readers share an ephemeral key.
    assert len({wrap[:32] for wrap in ENVELOPE.wraps}) == len(KEYS)


def test_the_newest_of_our_keys_that_is_listed_opens_it() -> None:
    stranger = SealingKey.from_seed(b"s" * 32)
    assert Vault((stranger, OURS)).open(ENVELOPE).secret == SECRET
    with pytest.raises(NotForUs, match="none of our 1 keys is one of them"):
        Vault((stranger,)).open(ENVELOPE)
    with pytest.raises(NotForUs, match="sealed for 5 keys, and no key of ours was given"):
        Vault().open(ENVELOPE)


def test_keys_that_are_none_are_left_out() -> None:
    assert Envelope.seal(SECRET, [*READERS, *SMALL_ORDER, b"", b"short"]) == ENVELOPE
    assert not any(usable(key) for key in (*SMALL_ORDER, b"", b"short", bytes(33)))


@pytest.mark.parametrize("readers", [[], [bytes(32)]])
def test_somebody_must_be_able_to_read(readers: list[bytes]) -> None:
    with pytest.raises(LedgerError, match="sealed for 1 to 1024 keys, not 0"):
        Envelope.seal(SECRET, readers)


def test_who_is_required_is_named_where_it_is_left_out() -> None:
    ENVELOPE.require(READERS[1:])
    stranger = SealingKey.from_seed(b"s" * 32).public
    with pytest.raises(MalformedRecord, match=f"not sealed for 1 of its readers: {stranger.hex()}"):
        ENVELOPE.require([*READERS, stranger])


def with_wrap(place: int, wrap: bytes) -> Envelope:
    wraps = list(ENVELOPE.wraps)
    wraps[place] = wrap
    return replace(ENVELOPE, wraps=tuple(wraps))


PLACE = ENVELOPE.readers.index(OURS.public)
ELSEWHERE = (PLACE + 1) % len(READERS)
RANDOMISED = SUITE.encrypt(SECRET, OTHERS[0].private.public_key(), b"fednode envelope 1")
FALSE = Envelope.seal(bytes(32), READERS)


@pytest.mark.parametrize(
    ("envelope", "reason"),
    [
        (with_wrap(PLACE, bytes(WRAP_SIZE)), "does not open"),
        (with_wrap(PLACE, ENVELOPE.wraps[ELSEWHERE]), "does not open"),
        (with_wrap(PLACE, ENVELOPE.wraps[PLACE][:-1] + b"\0"), "does not open"),
        (with_wrap(PLACE, FALSE.wraps[PLACE]), "is not of the same key"),
        (with_wrap(ELSEWHERE, FALSE.wraps[ELSEWHERE]), "is not of the same key"),
        (with_wrap(ELSEWHERE, bytes(WRAP_SIZE)), "is not of the same key"),
        (
            with_wrap(ENVELOPE.readers.index(OTHERS[0].public), RANDOMISED),
            "is not of the same key",
        ),
        (
            replace(
                ENVELOPE, readers=(bytes(32), *ENVELOPE.readers), wraps=(bytes(80), *ENVELOPE.wraps)
            ),
            "for a key that is none",
        ),
    ],
)
def test_an_envelope_that_does_not_open_alike_for_all_opens_for_nobody(
    envelope: Envelope, reason: str
) -> None:
    with pytest.raises(SealBroken, match=reason) as caught:
        envelope.open(OURS)
    assert "\n" not in str(caught.value)


def test_a_wrapped_key_of_another_length_is_none() -> None:
    wrap = SUITE.encrypt(b"", OURS.private.public_key(), b"fednode envelope 1")
    short = Envelope((OURS.public,), (wrap,))
    with pytest.raises(SealBroken, match="wraps no content key"):
        short.open(OURS)


Record = dict[str, cbor.Value]


def changed(**fields: cbor.Value) -> bytes:
    record: Record = {**ENVELOPE.record(), **fields}
    return cbor.encode(record)


WRAPS = list(ENVELOPE.wraps)
SORTED = sorted(READERS)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated"),
        (ENVELOPE.encode()[:-1], "truncated"),
        (ENVELOPE.encode() + b"\0", "malformed"),
        (cbor.encode([]), "expected a map"),
        (changed(more=1), "keys missing or unknown: more"),
        (changed(readers="all"), "readers must be list"),
        (changed(readers=[*SORTED[:-1], 7]), "readers must be strings of 32 bytes"),
        (changed(readers=[*SORTED[:-1], bytes(31)]), "readers must be strings of 32 bytes"),
        (changed(wraps=[*WRAPS[:-1], bytes(81)]), "wraps must be strings of 80 bytes"),
        (changed(readers=SORTED[:-1]), "4 readers and 5 wraps"),
        (changed(readers=[], wraps=[]), "0 readers and 0 wraps"),
        (changed(readers=SORTED[::-1]), "not in ascending order"),
        (changed(readers=[SORTED[0]] * 5), "not in ascending order"),
        (
            changed(
                readers=[number.to_bytes(32, "big") for number in range(MAX_READERS + 1)],
                wraps=[bytes(WRAP_SIZE)] * (MAX_READERS + 1),
            ),
            "1025 readers and 1025 wraps, expected 1 to 1024",
        ),
        (changed(wraps=[bytes(300_000)]), "262144"),
    ],
)
def test_decoding_refuses(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedRecord, match=reason) as caught:
        Envelope.decode(data)
    assert "\n" not in str(caught.value)


def test_the_largest_envelope_is_within_its_limit() -> None:
    readers = tuple(number.to_bytes(32, "big") for number in range(MAX_READERS))
    largest = Envelope(readers, (bytes(WRAP_SIZE),) * MAX_READERS)
    assert Envelope.decode(largest.encode()) == largest


def test_nothing_secret_is_printed() -> None:
    content = Vault((OURS,)).open(ENVELOPE)
    shown = [repr(content), repr(content.part("model")), repr(OURS), str(Vault((OURS,)))]
    hidden: list[Callable[[bytes], str]] = [bytes.hex, repr]
    assert not any(write(SECRET) in text for write in hidden for text in shown)
    assert not any(write(bytes([1]) * 32)[2:-2] in text for write in hidden for text in shown)
