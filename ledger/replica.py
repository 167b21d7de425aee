"""A node's own copy of a federation: the state that the history comes to, and what its results
leave to the next round.

Everything in it is rebuilt from chain and content store, so a node that was killed loses nothing by
starting again.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Protocol

import numpy as np

from ledger import artefacts, cbor, payload
from ledger.cid import CID
from ledger.errors import LedgerError, MalformedRecord
from ledger.headers import PolicyHeader
from ledger.history import BrokenHistory, Event, FederationCreated, Reorganised
from ledger.round import Int32, Published, RoundContext, Seat, Slot, Standing, follow
from ledger.state import Accepted, FederationState, HistoryViolation, Round
from ledger.stores import ContentStore
from ledger.types import Address, Digest, FederationId


class EventSource(Protocol):
    """Where events come from: the chain, or an evidence bundle."""

    def poll(self) -> Sequence[Event]:
        """Give the events since the last call; raise Reorganised where the earlier ones
        are gone.
        """

    def reset(self) -> None:
        """Start again from the first event."""


class UnknownFederation(LedgerError):
    """A federation that the contract has never heard of."""

    def __init__(self, federation: FederationId) -> None:
        self.federation = federation
        super().__init__(
            f"federation {federation.hex()} is not on this contract: "
            "check --federation, --ledger and --rpc"
        )


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a federation lives."""

    chain_id: int
    ledger: Address
    federation: FederationId


class Replica:
    """Follows one federation on one contract."""

    def __init__(self, source: EventSource, store: ContentStore, *, origin: Origin) -> None:
        self.origin = origin
        self._source = source
        self._store = store
        self._forget()

    def _forget(self) -> None:
        self._waiting: deque[Event] = deque()
        self._state: FederationState | None = None
        self._standings: list[tuple[Digest, Standing]] = []
        self._model: tuple[Digest, Int32] | None = None
        self._rest: Mapping[str, cbor.Value] | None = None

    def refresh(self) -> FederationState:
        """Take in what has happened since the last call; after a reorganisation,
        everything again.
        """
        try:
            self._waiting += self._source.poll()
        except (Reorganised, BrokenHistory):
            # A node that changes its mind while it is read looks as if it left events out.
            self._source.reset()
            self._forget()
            self._waiting += self._source.poll()
        while self._waiting:
            self.take(self._waiting[0])
            self._waiting.popleft()
        return self.state

    def take(self, event: Event) -> None:
        """Take in one event."""
        if self._state is None:
            policy = artefacts.read_policy(self._store, _policy_of(event))
            self._state = FederationState(self.origin.federation, policy)
        self._state.apply(event)

    @property
    def state(self) -> FederationState:
        """The federation as of the last `refresh`."""
        if self._state is None:
            raise UnknownFederation(self.origin.federation)
        return self._state

    @property
    def policy(self) -> PolicyHeader:
        """The header of the federation's policy."""
        return self.state.policy

    def rest(self) -> Mapping[str, cbor.Value]:
        """Give the part of the policy that the contract does not enforce."""
        if self._rest is None:
            rest = artefacts.read_record(self._store, self.policy.rest)
            if not isinstance(rest, Mapping):
                raise MalformedRecord("policy", "its rest is not a map")
            self._rest = rest
        return self._rest

    def link(self, name: str) -> Digest:
        """Give a digest that the rest of the policy links to."""
        cid = self.rest().get(name)
        if not isinstance(cid, CID):
            raise MalformedRecord("policy", f"its rest has no link {name!r}")
        return cid.digest

    def context(self, round_: Round) -> RoundContext:
        """Give what the chain says about a round."""
        state = self.state
        seats = tuple(
            Seat(
                weight=state.weight(index, round_),
                scale=state.scale(index, round_),
                dataset=state.participants[index].dataset(round_.index)[0],
            )
            for index in range(round_.known)
        )
        return RoundContext(
            chain_id=self.origin.chain_id,
            ledger=self.origin.ledger,
            federation=state.federation,
            policy=state.policy,
            round=round_.index,
            parent=round_.parent,
            seats=seats,
        )

    def slots(self, round_: Round, published: Sequence[Published]) -> list[Slot]:
        """Put what was published beside the commits of a round."""
        return [
            Slot(commit.participant, commit.digest, bytes_)
            for commit, bytes_ in zip(round_.commits, published, strict=True)
        ]

    def initial_model(self) -> Int32:
        """Read the model that the federation starts from."""
        leaves = self.policy.leaves
        data = payload.fetch(self._store, self.link("initial"), leaves * payload.LEAF_SIZE)
        if payload.Payload(data).root != self.policy.initial_model_root:
            raise MalformedRecord("initial model", "its root is not the policy's")
        return payload.int32(data)

    def standing(self) -> Standing:
        """Give what the head leaves to the next round."""
        lineage = self.state.lineage
        pairs = zip(self._standings, lineage, strict=False)
        known = sum(1 for _ in takewhile(lambda pair: pair[0][0] == pair[1].result, pairs))
        del self._standings[known:]
        for accepted in lineage[known:]:
            last = self._standings[-1][1] if self._standings else first_standing()
            self._standings.append((accepted.result, self._follow(last, accepted)))
        standing = self._standings[-1][1] if lineage else first_standing()
        return replace(standing, model=self._head_model())

    def _head_model(self) -> Int32:
        """Read the head's model, once; older ones are not kept."""
        head = self.state.head
        if self._model is None or self._model[0] != head:
            lineage = self.state.lineage
            leaves = self.policy.leaves
            model = self.reader(lineage[-1]).model(leaves) if lineage else self.initial_model()
            self._model = (head, model)
        return self._model[1]

    def reader(self, accepted: Accepted) -> artefacts.ResultReader:
        """Open the published result behind a place on the lineage."""
        return artefacts.ResultReader(self._store, accepted.result, accepted.proposal.index)

    def _follow(self, last: Standing, accepted: Accepted) -> Standing:
        records = self.reader(accepted).records()
        return follow(
            last,
            records,
            _NO_MODEL,
            trained=self.state.training_index(accepted.height),
            ends_period=self.state.ends_period(accepted.height, records.header.stop),
        )


_NO_MODEL: Int32 = np.zeros(0, dtype=np.int32)


def _policy_of(event: Event) -> Digest:
    if not isinstance(event, FederationCreated):
        raise HistoryViolation(event, "FederationCreated first", type(event).__name__)
    return event.policy


def first_standing() -> Standing:
    """Give what a federation starts from, without its initial model."""
    return Standing(model=_NO_MODEL, gain=0, values=(), paid=(), trail=(), trained=0)
