"""What a node knows about a proposed result, laid out for a dispute: what was published, what the
round comes to, and what of either can be opened.

All bytes are asked for at the same time, on one budget of waiting, when the examination begins.
After that what did not come is missing: it is asked for again only if it is to be demanded.

What no proof can show is conceded first: the slots that the result calls unavailable or missing,
its utilities and its stop flag. These are the committee's to judge. Where the result's nodes or
utilities were not published, they are conceded as far as demands have brought them to light.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from fednode.federation import Federation
from ledger.artefacts import ResultReader
from ledger.chain.errors import MalformedAnswer
from ledger.cid import CID
from ledger.errors import MalformedRecord
from ledger.headers import PolicyHeader, ResultHeader, Visibility
from ledger.merkle import EMPTY_ROOT
from ledger.nodes import FAN_OUT, NODE_SIZE, Levels, Reason, in_order
from ledger.payload import LANES, LEAF_SIZE, Payload, pad
from ledger.payouts import PayoutLeaf, ValueLeaf
from ledger.proceedings import Accepted, Proposal, Round
from ledger.proofs import (
    Ancestor,
    Computed,
    Demand,
    Disputed,
    NoProof,
    OpenBatch,
    OpenTree,
    Proof,
    Sources,
    Target,
    Trees,
    Wanted,
    find,
    opens,
)
from ledger.proofs.facts import Facts
from ledger.proofs.periods import end_before
from ledger.proofs.reading import RawNode
from ledger.round import NOTHING, Int32, Outcome, Slot, awaited
from ledger.sealing import CLEAR, Content, NotForUs
from ledger.slots import batch_of
from ledger.stores import BlockUnavailable
from ledger.stores.budget import spending_part
from ledger.types import ZERO_DIGEST, Digest
from ledger.utilities import decode, first

PLACE_SIZE = 6
"""Bytes of a demand's kind, level and position, before the result's header."""
READ = ("_reader", "_levels", "_model", "_measured", "_valued", "_paid", "_ancestors")
"""What an examination reads of a result and of those before it: each is there whole, or None."""
MOST_MISSED = 4
"""Nodes' sums that are asked for and missed, before a result's sums count as withheld."""


class UnknownProposal(MalformedAnswer):
    """A proposal whose header neither the chain's node nor the store gives: an outage, since the
    block that holds it may just have been reorganised away.
    """

    def __init__(self, proposal: Proposal) -> None:
        self.result = proposal.result
        super().__init__(
            "eth_getLogs",
            f"the block that holds the proposal of result {proposal.result.hex()[:16]} does not "
            "give its header; if that stays so, ask another node with --rpc",
        )


@dataclass(frozen=True, slots=True)
class Ancestors:
    """The model before a result, its parent, and the result that ended the reward period before."""

    previous: OpenTree
    parent: Ancestor | None
    ended: Ancestor | None


@dataclass(frozen=True)
class Examination:
    """One proposed result, examined from chain and store, and from what demands of it were answered
    with. `missing` are blocks and slots that could not be had: with them another examination may
    come to something else.
    """

    federation: Federation
    proposal: Proposal
    answers: Mapping[Target, bytes] = field(default_factory=dict)
    known: Sequence[Slot] = ()
    missing: set[CID | int] = field(default_factory=set, init=False)

    def gather(self) -> None:
        """Fetch at the same time all that is read of the result, of its round, and of the result
        before it. A quarter of the budget stays for sums, which are read where they are disputed.
        """
        with spending_part(3 / 4):
            self.federation.at_once(self._gather_result, self._gather_round, self._gather_parent)

    def _gather_result(self) -> None:
        if self._reader is not None:
            self._read("_levels", "_model", "_measured", "_valued", "_paid")

    def _gather_round(self) -> None:
        self._read("_found", "_batch")

    def _gather_parent(self) -> None:
        parents = [ZERO_DIGEST, *(accepted.result for accepted in self.federation.state.lineage)]
        self.federation.replica.standing(parents.index(self._round.parent))

    def _read(self, *names: str) -> None:
        self.federation.at_once(*(partial(getattr, self, name) for name in names))

    def has_come(self, demand: Demand) -> bool:
        """Ask once more for what is to be demanded; say whether it has come."""
        kind, replica = demand.target.kind, self.federation.replica
        reader, number = self._reader, self._number_in(demand)
        if kind in (Wanted.HEADER, Wanted.INPUT, Wanted.BATCH):
            return self._slot_has_come(number)
        if reader is None:
            return _is_there(partial(replica.proposed, self._round, self.proposal))
        reads: dict[Wanted, Callable[[], object]] = {
            Wanted.NODE: partial(reader.levels, self._round.slots),
            Wanted.SUM: partial(self._sums_anew, number),
            Wanted.MODEL: partial(reader.model, replica.policy.leaves),
            Wanted.UTILITIES: reader.measured,
            Wanted.VALUES: reader.valued,
            Wanted.PAYOUTS: reader.paid,
        }
        return _is_there(reads[kind])

    def _sums_anew(self, node: int) -> OpenTree:
        assert self._levels is not None
        return Sums(self._sum, self._levels)[node]

    def _slot_has_come(self, place: int) -> bool:
        before = self._found[place] if place < len(self._found) else Slot.missing()
        if before.unbound is Reason.MISSING:
            claims = self.federation.claims(self._round)
            return place < len(claims) and claims[place].unbound is not Reason.MISSING
        now, then = self.federation.published(before), before.published
        return now.final or (now.header is not None and then.header is None)

    def _number_in(self, demand: Demand) -> int:
        """Read the slot or node that a demand names behind the result's header."""
        at = PLACE_SIZE + len(self._header.encode())
        return int.from_bytes(demand.evidence[at : at + 4], "big")

    @property
    def right(self) -> bool:
        """Whether the result is what its round comes to, as far as anybody can show."""
        return self._outcome.header.digest() == self.proposal.result

    def make_good(self) -> None:
        """Put a right result into this node's own store where the published one cannot be read: no
        demand can be made of it, and whoever cannot read it can neither go on from it nor judge
        what is built on it.
        """
        if self._is_readable():
            return
        artefact, index = self.federation.bundle(self._outcome)
        self.federation.hold(artefact)
        self.federation.replica.stand_in(self.proposal.result, index)
        self.federation.store.put(artefact)

    def _is_readable(self) -> bool:
        """Whether all is there of the published result that the next round builds on."""
        with self._what_is_there():
            if self._reader is not None and self._levels is not None:
                self._reader.records()
                self._reader.model(self.federation.replica.policy.leaves)
                return True
        return False

    def find(self, demanded: Sequence[Target] = ()) -> Proof | Demand | None:
        """Find what shows that the result is wrong, with what demands brought to light; None if
        nothing can.
        """
        if self.right:
            return None
        answers = self._answers(demanded)
        told = self._told(answers) if answers else self
        return find(told._disputed)

    def again(self) -> "Examination":
        """Begin another examination: what has come is not asked for again."""
        return self._after(Examination(self.federation, self.proposal, known=self._found))

    def _told(self, answers: Mapping[Target, bytes]) -> "Examination":
        """Give this examination with what was opened; nothing is read again, or missed anew."""
        told = self._after(replace(self, answers=answers))
        same = {"_found": self._found, "_batch": self._batch, "_published": self._published}
        told.__dict__.update(same)
        return told

    def _after(self, other: "Examination") -> "Examination":
        """Hand on what was read."""
        read = {name: self.__dict__.get(name) for name in READ}
        other.__dict__.update({name: value for name, value in read.items() if value is not None})
        return other

    def _answers(self, demanded: Sequence[Target]) -> dict[Target, bytes]:
        """Sort what was opened by what it answers."""
        if not demanded:
            return {}
        policy, opened = self.federation.replica.policy, self._opened()
        return {t: data for t in demanded for data in opened if _opens(policy, t, data)}

    def _opened(self) -> list[bytes]:
        """Read what the chain holds of the result by now: its header, then answers."""
        since = self.proposal.meta.block_number
        return self.federation.contract.evidence(self.proposal.result, since)

    @cached_property
    def sources(self) -> Sources:
        """What answers demands of a result that is right."""
        batch = None if self._batch is None else (self._round.batch_root, self._batch)
        return Sources.of(Computed.of(self._outcome), self._inputs, self._headers, batch)

    @contextmanager
    def _what_is_there(self) -> Iterator[None]:
        """Go on without what cannot be had, or is not what was committed to."""
        try:
            yield
        except BlockUnavailable as error:
            self.missing.add(error.cid)
        except MalformedRecord:
            return

    # -- the result as it was published

    @property
    def _round(self) -> Round:
        return self.federation.state.rounds[self.proposal.round]

    @cached_property
    def _header(self) -> ResultHeader:
        if self._reader is not None:
            return self._reader.header
        for data in self._opened():
            with self._what_is_there():
                header = ResultHeader.decode(data)
                if header.digest() == self.proposal.result:
                    return header
        raise UnknownProposal(self.proposal)

    @cached_property
    def _reader(self) -> ResultReader | None:
        with self._what_is_there():
            return self.federation.replica.proposed(self._round, self.proposal)
        return None

    @cached_property
    def _levels(self) -> Levels | None:
        with self._what_is_there():
            return None if self._reader is None else self._reader.levels(self._round.slots)
        return None

    @cached_property
    def _published(self) -> Trees:
        return Trees(
            nodes=None if self._levels is None else _nodes(self._levels),
            sums={} if self._levels is None else Sums(self._sum, self._levels),
            model=self._model,
            utilities=None if self._measured is None else OpenTree.of_utilities(self._measured),
            values=None if self._valued is None else OpenTree.of_values(self._valued),
            payouts=None if self._paid is None else OpenTree.of_payouts(self._paid),
        )

    @cached_property
    def _model(self) -> OpenTree | None:
        with self._what_is_there():
            if self._reader is not None:
                values = self._reader.model(self.federation.replica.policy.leaves)
                return _model(values, self._reader.content)
        return None

    @cached_property
    def _measured(self) -> tuple[int, ...] | None:
        with self._what_is_there():
            return None if self._reader is None else self._reader.measured()
        return None

    @cached_property
    def _valued(self) -> tuple[ValueLeaf, ...] | None:
        with self._what_is_there():
            return None if self._reader is None else self._reader.valued()
        return None

    @cached_property
    def _paid(self) -> tuple[PayoutLeaf, ...] | None:
        with self._what_is_there():
            return None if self._reader is None else self._reader.paid()
        return None

    def _sum(self, place: int, of: int, root: Digest) -> OpenTree | None:
        """Read the sums of one of so many nodes that have any."""
        with self._what_is_there():
            if self._reader is not None:
                data = self._reader.sum(place, self.federation.replica.policy.leaves, of)
                found = Payload(data, self._reader.content.part(f"sum {place}"))
                return OpenTree.of_payload(found) if found.root == root else None
        return None

    # -- the result as it should be

    @cached_property
    def _outcome(self) -> Outcome:
        return self.federation.concede(
            self._round,
            self._slots,
            utilities=self._utilities,
            stop=self._header.stop,
            content=self._content,
        )

    @cached_property
    def _utilities(self) -> tuple[int, ...] | None:
        """The result's utilities, as they were published or shown; None if they are not known."""
        if self._header.utilities == EMPTY_ROOT:
            return ()
        if self._measured is not None:
            return self._measured
        leaves = {at: data[:LEAF_SIZE] for at, data in self._shown(Wanted.UTILITIES)}
        if not leaves or len(leaves) < next(iter(leaves)).size:
            return None
        in_order_ = sorted(leaves, key=lambda target: target.position)
        return decode(b"".join(leaves[at] for at in in_order_))

    @cached_property
    def _right(self) -> Computed:
        """What the round comes to. Utilities stand as they lie in the result, with what the
        contract does not look at.
        """
        right, given = Computed.of(self._outcome), self._utilities
        ours = self._outcome.records.utilities
        if not given or first(given, len(ours)) != ours:
            return right
        header = replace(right.header, utilities=self._header.utilities)
        return replace(right, header=header, utilities=OpenTree.of_utilities(given))

    @cached_property
    def _content(self) -> Content:
        """What the result is sealed with; see `_blind` for whoever cannot open it, although it
        should be sealed for them.
        """
        with self._what_is_there():
            return CLEAR if self._reader is None else self._reader.content
        return CLEAR

    @property
    def _blind(self) -> bool:
        """Whether the result is sealed, and we have no key to it."""
        sealed = self.federation.replica.policy.visibility == Visibility.MEMBERS
        return sealed and self._content.envelope is None

    @cached_property
    def _slots(self) -> list[Slot]:
        slots, batched = list(map(_with_bare, self._found)), self._round.batched
        conceded = {
            place: reason
            for place, reason in self._reasons()
            if reason == Reason.UNAVAILABLE or (reason == Reason.MISSING and place < batched)
        }
        self.missing.update(at for at in awaited(slots, batched) if at not in conceded)
        return [
            _conceded(slot, conceded[place]) if place in conceded else slot
            for place, slot in enumerate(slots)
        ]

    @cached_property
    def _found(self) -> list[Slot]:
        """The round's slots with what was published for them, as far as it came in time."""
        return self.federation.slots(self._round, self.known)

    def _reasons(self) -> Iterator[tuple[int, int]]:
        """Give what the result says of the slots, as far as its nodes were published or shown."""
        if self._levels is not None:
            lowest = [(at, node.encode()) for at, node in enumerate(self._levels[0])]
        else:
            lowest = [(target.position, data) for target, data in self._shown(Wanted.NODE)]
        for at, data in lowest:
            entries = enumerate(RawNode.of(data[:NODE_SIZE]).entries, at * FAN_OUT)
            yield from ((place, e.reason) for place, e in entries if place < self._round.slots)

    def _shown(self, kind: Wanted) -> list[tuple[Target, bytes]]:
        """List the leaves of a tree that demands have brought to light."""
        return [(t, data) for t, data in self.answers.items() if (t.kind, t.level) == (kind, 0)]

    @cached_property
    def _inputs(self) -> dict[int, OpenTree]:
        payloads = ((i, slot.published.payload) for i, slot in enumerate(self._slots))
        return {i: OpenTree.of_payload(data) for i, data in payloads if data is not None}

    @cached_property
    def _headers(self) -> dict[int, bytes]:
        headers = ((i, slot.published.header) for i, slot in enumerate(self._slots))
        return {i: header for i, header in headers if header is not None}

    @cached_property
    def _batch(self) -> OpenBatch | None:
        batch = batch_of(self.federation.store, self._round)
        return None if batch is None else OpenBatch(batch)

    # -- both

    @cached_property
    def _disputed(self) -> Disputed:
        federation = self.federation
        facts = Facts(federation.state, self.proposal)
        return Disputed(
            policy=federation.replica.policy,
            case=facts.case(),
            header=self._header,
            published=self._published,
            right=self._right,
            inputs=self._inputs,
            headers=self._headers,
            previous=self._ancestors.previous,
            facts=facts.holds,
            scales=[seat.scale for seat in federation.replica.context(self._round).seats],
            batch=self._batch,
            answers=self.answers,
            blind=self._blind,
            parent=self._ancestors.parent,
            ended=self._ancestors.ended,
        )

    @cached_property
    def _ancestors(self) -> Ancestors:
        """What the result follows from."""
        state = self.federation.state
        height, lineage = Facts(state, self.proposal).height, state.lineage
        ended = end_before(self.federation.replica.policy, height)
        return Ancestors(
            previous=self._previous(height - 1),
            parent=self._ancestor(lineage[height - 2]) if height > 1 else None,
            ended=self._ancestor(lineage[ended - 1]) if ended else None,
        )

    def _previous(self, height: int) -> OpenTree:
        model = self.federation.replica.model(height)
        if height == 0:
            return _model(model, CLEAR)
        reader = self.federation.replica.reader(self.federation.state.lineage[height - 1])
        return _model(model, reader.content)

    def _ancestor(self, accepted: Accepted) -> Ancestor:
        round_ = self.federation.state.rounds[accepted.round]
        reader = self.federation.replica.reader(accepted)
        return Ancestor(
            header=reader.header,
            known=round_.known,
            slots=round_.slots,
            nodes=_nodes(reader.levels(round_.slots)),
            values=OpenTree.of_values(reader.valued()),
            payouts=OpenTree.of_payouts(reader.paid()),
        )


class Sums(Mapping[int, OpenTree]):
    """The sums of a result's nodes. Each is read when it is disputed: of thousands of participants
    they may be more bytes than a node can fetch in time. If some are kept back, the others are not
    asked for either.
    """

    def __init__(self, read: Callable[[int, int, Digest], OpenTree | None], levels: Levels) -> None:
        summed = [(i, n.root) for i, n in enumerate(in_order(levels)) if n.root != ZERO_DIGEST]
        self._places = {index: (place, root) for place, (index, root) in enumerate(summed)}
        self._read = read
        self._known: dict[int, OpenTree] = {}
        self._missed = 0

    def __getitem__(self, node: int) -> OpenTree:
        if node not in self._known:
            place, root = self._places[node]
            asked = self._missed < MOST_MISSED
            found = self._read(place, len(self._places), root) if asked else None
            if found is None:
                self._missed += 1
                raise KeyError(node)
            self._known[node] = found
        return self._known[node]

    def __iter__(self) -> Iterator[int]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _is_there(read: Callable[[], object]) -> bool:
    try:
        read()
    except (BlockUnavailable, MalformedRecord, NotForUs, KeyError):
        return False
    return True


def _with_bare(slot: Slot) -> Slot:
    """Count a payload whose records are kept back or malformed. If the result counts it too, the
    payload shows what the sums must be. That its records could not be had is for votes to say.
    """
    published = slot.published
    if published.payload is not None or published.bare is None:
        return slot
    return replace(slot, published=published._replace(payload=published.bare))


def _conceded(slot: Slot, reason: int) -> Slot:
    return Slot.missing() if reason == Reason.MISSING else replace(slot, published=NOTHING)


def _opens(policy: PolicyHeader, target: Target, data: bytes) -> bool:
    try:
        return opens(policy, target, data)
    except NoProof:
        return False


def _nodes(levels: Levels) -> OpenTree:
    return OpenTree.of([node.encode() for node in in_order(levels)])


def _model(values: Int32, content: Content) -> OpenTree:
    return OpenTree.of_payload(Payload(pad(values, values.size // LANES), content.part("model")))
