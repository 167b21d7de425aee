"""What a node can open, and with what randomness it seals."""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ledger.cid import CID
from ledger.sealing.content import SealedContent
from ledger.sealing.envelope import SECRET_SIZE, Envelope
from ledger.sealing.errors import NotForUs
from ledger.sealing.keys import SealingKey
from ledger.sealing.verified import VERIFIED
from ledger.stores.base import ContentStore


@dataclass(frozen=True, slots=True)
class Vault:
    """A node's own keys: the newest, and those that older artefacts were sealed for.

    `entropy` gives random bytes; a test hands in its own.
    """

    keys: tuple[SealingKey, ...] = ()
    entropy: Callable[[int], bytes] = secrets.token_bytes

    def fresh(self, readers: Iterable[bytes]) -> SealedContent:
        """Draw a content key and seal it for readers."""
        secret = self.entropy(SECRET_SIZE)
        return SealedContent(secret, Envelope.seal(secret, readers))

    def open(self, envelope: Envelope) -> SealedContent:
        """Open an envelope with one of our keys, and see that every reader opens the same."""
        secret = self.unwrap(envelope)
        VERIFIED.require(envelope, secret)
        return SealedContent(secret, envelope)

    def unwrap(self, envelope: Envelope) -> bytes:
        """Unwrap a content key with one of our keys; whether all readers unwrap it is not seen."""
        key = next((key for key in self.keys if key.public in envelope.readers), None)
        if key is None:
            raise NotForUs(len(envelope.readers), len(self.keys))
        return envelope.unwrap(key)


NO_KEYS = Vault()


@dataclass(frozen=True, slots=True)
class Access:
    """How the artefacts of one round are read: our keys, who must be able to read them too, who
    else may, and how many readers there can be.
    """

    vault: Vault
    required: frozenset[bytes]
    allowed: frozenset[bytes]
    most: int

    def envelope(self, store: ContentStore, cid: CID) -> Envelope:
        """Read an envelope that leaves out none of its readers, and lets in no others."""
        envelope = Envelope.decode(store.get(cid), most=self.most)
        envelope.require(self.required)
        envelope.refuse_others(self.allowed)
        return envelope

    def open(self, store: ContentStore, cid: CID, *, secret: bytes | None = None) -> SealedContent:
        """Open what an envelope seals, with one of our keys, or with its content key."""
        envelope = self.envelope(store, cid)
        if secret is None:
            return self.vault.open(envelope)
        VERIFIED.require(envelope, secret)
        return SealedContent(secret, envelope)

    def peek(self, store: ContentStore, cid: CID) -> SealedContent:
        """Open what is sealed for one of our keys, whoever else can read it or cannot.

        Nothing is written again: it costs one unwrapping, however many readers are named.
        """
        envelope = Envelope.decode(store.get(cid))
        return SealedContent(self.vault.unwrap(envelope), envelope)
