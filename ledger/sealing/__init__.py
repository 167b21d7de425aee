"""Sealed artefacts: who may read is a matter of keys alone.

A federation whose policy says `visibility = "members"` stores the same records and trees as any
other, but the blocks under them are ciphertext. Every artefact (an update, a result) has one random
content key, wrapped by HPKE for each reader in an `envelope`; every payload in it has a key of its
own,
derived from that one. Whoever opens the envelope sees the clear bytes. CIDs are of the stored ones,
so it takes no key to check that all are there; payload roots are over clear leaves with their
salts, and these are what proofs and demands on the chain open.

Nothing here chooses at random but the content key, so whoever has opened an artefact can write its
envelope again, byte by byte, and knows that everybody else whom it names opens the same.
"""

from ledger.sealing.content import CLEAR, PLAIN, UNOPENED, Content, Seal, SealedContent
from ledger.sealing.envelope import MAX_READERS, Envelope
from ledger.sealing.errors import NotForUs, SealBroken
from ledger.sealing.keys import SealingKey, create_key, load_key, usable
from ledger.sealing.vault import NO_KEYS, Access, Vault

__all__ = [
    "CLEAR",
    "MAX_READERS",
    "NO_KEYS",
    "PLAIN",
    "UNOPENED",
    "Access",
    "Content",
    "Envelope",
    "NotForUs",
    "Seal",
    "SealBroken",
    "SealedContent",
    "SealingKey",
    "Vault",
    "create_key",
    "load_key",
    "usable",
]
