"""A federation as the chain alone tells it: enough to get money out of it, and to say where it is.

Whoever created it may have published nothing, or a record that no node can read. Stakes, bonds,
fees and refunds must not depend on that. So the policy's header, which the contract was given when
the federation was created, is taken from that very transaction, and the rest of the policy is not
asked for.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain as chain_of

from ledger.chain.client import Chain
from ledger.chain.errors import ChainError
from ledger.chain.federations import Federations
from ledger.chain.types import MAX_TRANSACTION_BYTES
from ledger.cid import CID, Codec
from ledger.headers import PolicyHeader
from ledger.history import Event, FederationCreated, HistoryReader
from ledger.replica import Origin, Replica
from ledger.sealing import NO_KEYS, Vault
from ledger.state import FederationState
from ledger.stores import BlockNotFound, ContentStore, MemoryStore
from ledger.stores.passing import PassingStore
from ledger.types import FederationId
from ledger.words import size_of

SELECTOR_SIZE = 4


class Holdings:
    """What a federation holds for its members. A `store` is needed for its results alone: the list
    of payouts is one of their records.
    """

    def __init__(
        self,
        contract: Federations,
        federation: FederationId,
        store: ContentStore | None = None,
        *,
        vault: Vault = NO_KEYS,
    ) -> None:
        self.contract = contract
        self.id = federation
        reader = HistoryReader(
            contract.chain,
            contract.address,
            federation,
            begins=contract.first_block,
            senders=False,
        )
        events = _Events(reader)
        blocks = _WithHeader(store or MemoryStore(), contract.chain, events)
        origin = Origin(contract.chain.chain_id, contract.address, federation)
        self.replica = Replica(events, blocks, origin=origin, vault=vault)
        self.whole()

    @property
    def state(self) -> FederationState:
        """The federation as of the last `refresh`."""
        return self.replica.state

    def whole(self) -> FederationState:
        """Take in all that has happened; wait for a chain's node that is behind."""
        return self.replica.whole(self.contract.chain.rest)


def published_header(chain: Chain, created: FederationCreated) -> bytes | None:
    """Find a policy's header in the transaction that created the federation; None where the node
    does not have the transaction, or it is larger than nodes take one.

    The creator may be a contract that was itself called: the header is known by its digest.
    """
    with suppress(ChainError):
        transaction = chain.transaction(created.meta.transaction)
        data, size = b"" if transaction is None else transaction.data, size_of(PolicyHeader)
        if len(data) > MAX_TRANSACTION_BYTES:
            return None  # every window of it is hashed below
        for start in chain_of((SELECTOR_SIZE,), range(len(data) - size + 1)):
            found = data[start : start + size]
            if hashlib.sha256(found).digest() == created.policy:
                return found
    return None


class _Events:
    """Events as a reader gives them, of which the first is kept."""

    def __init__(self, reader: HistoryReader) -> None:
        self._reader = reader
        self.created: FederationCreated | None = None

    def poll(self) -> Sequence[Event]:
        events = self._reader.poll()
        for event in events:
            if isinstance(event, FederationCreated):
                self.created = event
        return events

    def reset(self) -> None:
        self._reader.reset()


class _WithHeader(PassingStore):
    """A store that has the policy's header from the chain, whatever else it has."""

    def __init__(self, store: ContentStore, chain: Chain, events: _Events) -> None:
        super().__init__(store)
        self._chain = chain
        self._events = events

    def get(self, cid: CID) -> bytes:
        created = self._events.created
        if created is not None and cid == CID(Codec.RAW, created.policy):
            found = published_header(self._chain, created)
            if found is not None:
                return found
        if isinstance(self._store, MemoryStore):
            raise BlockNotFound(cid, "no store", "none was given")
        return self._store.get(cid)
