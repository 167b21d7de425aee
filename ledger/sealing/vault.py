"""What a node can open, and with what randomness it seals."""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ledger.cid import CID
from ledger.sealing.content import SealedContent
from ledger.sealing.envelope import SECRET_SIZE, Envelope
from ledger.sealing.errors import NotForUs
from ledger.sealing.keys import SealingKey
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
        """Open an envelope with one of our keys."""
        key = next((key for key in self.keys if key.public in envelope.readers), None)
        if key is None:
            raise NotForUs(len(envelope.readers), len(self.keys))
        return SealedContent(envelope.open(key), envelope)


NO_KEYS = Vault()


@dataclass(frozen=True, slots=True)
class Access:
    """How the artefacts of one round are read: our keys, and who must be able to read them too."""

    vault: Vault
    required: frozenset[bytes]

    def envelope(self, store: ContentStore, cid: CID) -> Envelope:
        """Read an envelope that nobody is left out of."""
        envelope = Envelope.decode(store.get(cid))
        envelope.require(self.required)
        return envelope

    def open(self, store: ContentStore, cid: CID, *, secret: bytes | None = None) -> SealedContent:
        """Open what an envelope seals, with one of our keys, or with its content key."""
        envelope = self.envelope(store, cid)
        if secret is None:
            return self.vault.open(envelope)
        envelope.verify(secret)
        return SealedContent(secret, envelope)
