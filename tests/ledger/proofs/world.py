"""Small federations for disputes: an honest round by a slow composer of its own, and what it knows.

Everything follows from a seed and a few choices, so a failure names its world.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from itertools import accumulate

from incentives.valuation import valuation as rule_numbered
from ledger import nodes, payouts
from ledger.batch import Leaf
from ledger.chain.accounts import Account, from_key
from ledger.headers import (
    RESULT_TAG,
    UPDATE_TAG,
    Common,
    Evaluation,
    PolicyHeader,
    ResultHeader,
    Rule,
    UpdateHeader,
    Valuation,
)
from ledger.nodes import FAN_OUT, Entry, Reason
from ledger.payload import LANES, LEAF_SIZE
from ledger.proofs import (
    Ancestor,
    Ask,
    Case,
    Computed,
    Disputed,
    OpenTree,
    Question,
    Sources,
    Trees,
)
from ledger.proofs.arithmetic import clamped, rounded, trimmed_mean, wrapped
from ledger.proofs.entries import is_beyond
from ledger.proofs.periods import begins, end_before, is_idle, trained
from ledger.proofs.valuing import coalitions, valuation_at
from ledger.round import Judged, idle, too_few
from ledger.signatures import Commit, Domain, Signature
from ledger.types import ZERO_DIGEST, Address, Digest, FederationId, RoundIndex
from tests.ledger.chain.samples import policy as sample_policy

CHAIN = 31337
LEDGER = Address("0x" + "42" * 20)
FEDERATION = FederationId(sha256(b"federation").digest())
DOMAIN = Domain(CHAIN, LEDGER)
DENOMINATOR = 27_720
INT64, INT256 = 1 << 63, 1 << 255
ACCOUNTS = [from_key(sha256(b"key %d" % n).digest()) for n in range(40)]


@dataclass(frozen=True, slots=True)
class Choices:
    """What a world is like. `extreme`: utilities, and what is carried over, are as large, or as
    small, as they can be.
    """

    seed: int = 0
    slots: int = 5
    batched: int = 0
    leaves: int = 2
    rule: Rule = Rule.WEIGHTED_MEAN
    height: int = 2
    statistics: int = 0
    least: int = 1
    period: int = 0
    every: int = 1
    valuation: Valuation = Valuation.LEAVE_ONE_OUT
    evaluation: Evaluation = Evaluation.PUBLIC
    staleness: int = 0
    visibility: int = 0
    stop: bool = False
    trouble: bool = True
    extreme: bool = field(default=False, repr=False)


@dataclass(frozen=True)
class Made:
    """A result as its round, or a liar, laid it out."""

    header: ResultHeader
    trees: Computed

    @property
    def published(self) -> Trees:
        """All of its bytes."""
        return self.trees.trees


@dataclass(frozen=True)
class Parts:
    """What a result is made of, before its trees are; `sums` are by node, in the nodes' order."""

    nodes: tuple[bytes, ...]
    sums: tuple[tuple[int, ...], ...]
    weight: int
    number: int
    model: tuple[int, ...]
    utilities: tuple[int, ...]
    gain: int
    values: tuple[payouts.ValueLeaf, ...]
    payouts: tuple[payouts.PayoutLeaf, ...]
    stop: bool
    scores: int | None = None
    total: int | None = None


class World:
    """A round on a lineage, and everything about it."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.random = random.Random(repr(choices))
        c = choices
        self.round = 9
        direct = c.slots - c.batched
        self.known = max(direct, 3) + self.random.randrange(3)
        self.signers: list[Account] = ACCOUNTS[: self.known]
        self.scales = [self.random.choice((0, 1, 7, 1 << 20)) for _ in range(self.known)]
        self.datasets = [self.random.randrange(3) for _ in range(self.known)]
        size = c.leaves * LANES
        self.size = size
        self.previous = tuple(self._int32() for _ in range(size))
        self.policy = self._policy()
        self.lineage = self._lineage()
        self.commits: dict[int, tuple[Digest, int]] = {}
        self.headers: dict[int, bytes] = {}
        self.updates: dict[int, tuple[int, ...]] = {}
        self.batch: list[bytes] = []
        self.entries = self._fill()

    # -- the stage

    def _int32(self) -> int:
        kind = self.random.randrange(4)
        if kind == 0:
            return self.random.choice((0, (1 << 31) - 1, -(1 << 31)))
        return self.random.randrange(-(1 << 12), 1 << 12)

    def _policy(self) -> PolicyHeader:
        c = self.choices
        share = self.random.randrange(500_000) if c.rule is Rule.TRIMMED_MEAN else 0
        return replace(
            sample_policy(CHAIN, LEDGER),
            leaves=c.leaves,
            coordinates=self.size - self.random.randrange(4),
            bound=1 << 10,
            statistics=c.statistics,
            least_updates=c.least,
            rounds=20,
            reward_period=c.period,
            valuation_every=c.every,
            rule=c.rule,
            rule_parameters=Digest(share.to_bytes(32, "big")),
            valuation=c.valuation,
            value_exponent=self.random.randrange(5),
            scale_exponent=self.random.randrange(3),
            evaluation=c.evaluation,
            staleness=c.staleness,
            visibility=c.visibility,
            open=False,
            initial_model_root=self.tree(self.previous, "initial").root,
        )

    def tree(self, values: Sequence[int], label: str, *, width: int = 4) -> OpenTree:
        """Make a payload's tree; in a sealed federation its leaves are salted, but for those of
        the initial model.
        """
        data = b"".join(v.to_bytes(width, "little", signed=True) for v in values)
        leaves = [data[at : at + LEAF_SIZE] for at in range(0, len(data), LEAF_SIZE)]
        if self.choices.visibility and label != "initial":
            salts = (sha256(f"{label}/{i}".encode()).digest()[:16] for i in range(len(leaves)))
            leaves = [salt + leaf for salt, leaf in zip(salts, leaves, strict=True)]
        return OpenTree.of(leaves)

    def _lineage(self) -> list[Ancestor]:
        """Make the results before, as far as a dispute reads them; the last one is the parent."""
        results: list[Ancestor] = []
        parent = ZERO_DIGEST
        paid = 0
        extremes = random.Random(f"{self.choices} extremes")
        for height in range(1, self.choices.height):
            known = max(1, self.known - (self.choices.height - height))
            slots = self.random.randrange(1, 20)
            players = min(slots, 3, known)
            entries = [
                Entry(ZERO_DIGEST, ZERO_DIGEST, p, weight=int(p < players), number=int(p < players))
                for p in range(slots)
            ]
            levels = nodes.levels(entries, sum_root=lambda _: ZERO_DIGEST)
            tree = OpenTree.of([node.encode() for node in nodes.in_order(levels)])
            values = [self.random.randrange(-(10**6), 10**6) for _ in range(known)]
            trains = trained(self.policy, height) > 0
            values = values if trains else [0] * known
            scores = [abs(v) for v in values]
            paid += self.random.randrange(50) if trains else 0
            gain = self.random.randrange(-100, 100) if trains else 0
            if self.choices.extreme and trains:
                values = [extremes.choice((-INT256, INT256 - 1)) for _ in values]
                scores, gain = [0] * known, extremes.choice((-INT64, INT64 - 1))
            value_leaves = payouts.value_leaves(values, scores)
            pay_leaves = payouts.payout_leaves([paid] * known)
            values_tree, pay_tree = (
                OpenTree.of_values(value_leaves),
                OpenTree.of_payouts(pay_leaves),
            )
            model = self.tree(self.previous, "parent")
            header = ResultHeader(
                common=self.common(RESULT_TAG, parent, height),
                nodes=tree.root,
                weight=players,
                number=players,
                model_root=model.root,
                model_digest=ZERO_DIGEST,
                utilities=ZERO_DIGEST,
                gain=gain,
                values=values_tree.root,
                scores=sum(scores),
                payouts=pay_tree.root,
                payout_total=paid * known,
                stop=False,
            )
            results.append(Ancestor(header, known, slots, tree, values_tree, pay_tree))
            parent = header.digest()
        return results

    def common(self, tag: bytes, parent: Digest, round_: int) -> Common:
        return Common(Digest(tag), CHAIN, LEDGER, FEDERATION, RoundIndex(round_), parent)

    @property
    def parent(self) -> Ancestor | None:
        return self.lineage[-1] if self.lineage else None

    @property
    def ended(self) -> Ancestor | None:
        height = end_before(self.policy, self.choices.height)
        return self.lineage[height - 1] if height else None

    @property
    def parent_digest(self) -> Digest:
        return self.lineage[-1].header.digest() if self.lineage else ZERO_DIGEST

    @property
    def bases(self) -> list[Digest]:
        versions = [ZERO_DIGEST, *(result.header.digest() for result in self.lineage)]
        return versions[::-1][: self.policy.staleness + 1]

    @property
    def case(self) -> Case:
        c = self.choices
        root = OpenTree.of(self.batch).root if self.batch else ZERO_DIGEST
        return Case(
            FEDERATION, ZERO_DIGEST, self.round, c.height, c.slots, c.batched, root, self.known
        )

    def weight(self, participant: int) -> int:
        """Give the contract's weight."""
        statistics = self.policy.statistics and not self.lineage
        return 1 if statistics else self.scales[participant]

    def facts(self, q: Question) -> bool:
        """Answer as the contract's own records do."""
        match q.ask:
            case Ask.COMMIT:
                return self.commits.get(q.participant) == (q.digest, q.number)
            case Ask.WEIGHT:
                return q.participant < self.known and self.weight(q.participant) == q.number
            case Ask.SCALE:
                return self.scales[q.participant] == q.number
            case Ask.SIGNER:
                known = q.participant < self.known
                return known and self.signers[q.participant].address == q.signer
            case Ask.HEADER:
                return self.datasets[q.participant] == q.number and q.digest in self.bases
            case Ask.ANCESTOR:
                ancestor = self.lineage[q.height - 1]
                same = (ancestor.header.digest(), ancestor.known) == (q.digest, q.number)
                return same and q.slots in (0, ancestor.slots)
            case _:
                return True

    # -- slots

    def _fill(self) -> tuple[Entry, ...]:
        c = self.choices
        standing: list[tuple[Entry, int] | None] = []
        for slot in range(c.batched):
            standing.append(self._batch_slot(slot))
        for order, owner in enumerate(self.random.sample(range(self.known), c.slots - c.batched)):
            slot = c.batched + order
            entry = self._update(slot, owner)
            self.commits[owner] = (Digest(entry.digest), order)
            standing.append((entry, owner))
        bound = [slot for slot, found in enumerate(standing) if found and found[1] >= 0]
        chosen: dict[int, int] = {}
        for slot in sorted(bound, key=lambda slot: slot < c.batched):
            owner = standing[slot][1]  # type: ignore[index]
            chosen.setdefault(owner, slot)
        entries = []
        for slot, found in enumerate(standing):
            if found is None:
                entries.append(Entry(reason=Reason.MISSING))
                continue
            entry, owner = found
            if owner >= 0 and chosen[owner] != slot:
                out = Entry(entry.digest, participant=owner, reason=Reason.SUPERSEDED)
                entry = replace(out, position=chosen[owner])
            entries.append(entry)
        return self._counted(entries)

    def _batch_slot(self, slot: int) -> tuple[Entry, int] | None:
        """Give the entry of a leaf, and whom it binds: -1 if nobody."""
        owner = self.random.randrange(self.known)
        entry = self._update(slot, owner)
        kind = self.random.randrange(9) if self.choices.trouble else 0
        signer = self.signers[(owner + (kind == 1)) % self.known]
        named = self.known + 1 if kind == 2 else owner
        commit = Commit(FEDERATION, RoundIndex(self.round), named, entry.digest)
        signature = DOMAIN.sign(signer, commit)
        if kind == 3:
            signature = Signature(ZERO_DIGEST, signature.vs)
        leaf = Leaf(named, entry.digest, signature).encode()
        if kind == 4:
            leaf = b"\1" + leaf[1:]
        self.batch.append(leaf)
        if kind == 5:
            return None
        if kind == 4:
            return Entry(reason=Reason.UNSIGNED), -1
        if kind in (1, 2, 3):
            return Entry(entry.digest, participant=named, reason=Reason.UNSIGNED), -1
        return entry, owner

    def _update(self, slot: int, owner: int) -> Entry:
        """Make an update with, sometimes, something wrong with it, and its entry."""
        kind = self.random.randrange(12) if self.choices.trouble else 99
        first = bool(self.policy.statistics) and not self.lineage
        start, end = (0, self.policy.statistics) if first else (self.policy.statistics, 10**9)
        end = min(end, self.policy.coordinates)
        values = [0] * self.size
        for i in range(start, end):
            values[i] = self.random.choice((0, 1, -1, self.policy.bound, -self.policy.bound, 77))
        for _ in range(self.random.randint(1, 2) if kind == 0 else 0):
            values[self.random.randrange(self.size)] = self.random.choice((1025, -(1 << 31)))
        self.updates[slot] = tuple(values)
        root = self.tree(values, f"update {slot}").root
        header = UpdateHeader(
            common=self.common(UPDATE_TAG, self.parent_digest, self.round),
            participant=owner,
            base=self.random.choice(self.bases),
            payload_root=root,
            dataset=self.datasets[owner],
            index=ZERO_DIGEST,
            training=ZERO_DIGEST,
            evaluation=ZERO_DIGEST,
        )
        reason = Reason.COUNTED
        data = header.encode()
        if kind == 1:
            data = self.random.choice((data[:-1], data + bytes(9000)))
            reason = Reason.MALFORMED
        if kind == 2:
            data, reason = b"\1" * 32 + data[32:], Reason.MALFORMED
        if kind in (3, 4, 5, 6):
            data, reason = self._foreign(header, kind).encode(), Reason.FOREIGN
        if kind == 7:
            reason = Reason.UNAVAILABLE
        self.headers[slot] = data
        position = 0
        if reason is Reason.COUNTED:
            bad = (
                i for i, v in enumerate(values) if is_beyond(self.policy, i, v, not self.lineage)
            )
            place = next(bad, None)
            if place is not None:
                reason, position = Reason.BEYOND_BOUND, place
        rooted = reason in (Reason.COUNTED, Reason.FOREIGN, Reason.BEYOND_BOUND)
        return Entry(
            Digest(sha256(data).digest()),
            root if rooted else ZERO_DIGEST,
            owner,
            reason=reason,
            position=position,
        )

    def _foreign(self, header: UpdateHeader, kind: int) -> UpdateHeader:
        if kind == 3:
            return replace(header, base=Digest(sha256(b"elsewhere").digest()))
        if kind == 4:
            return replace(header, dataset=header.dataset + 1)
        if kind == 5:
            return replace(header, participant=header.participant + 1)
        return replace(header, common=replace(header.common, round=self.round + 1))

    def _counted(self, entries: Sequence[Entry]) -> tuple[Entry, ...]:
        """Weigh what passed, unless the round is idle, or too little did, in this order."""
        weighed = [
            replace(e, weight=(weight := self.weight(e.participant)), number=int(weight > 0))
            if e.reason == Reason.COUNTED
            else e
            for e in entries
        ]
        if is_idle(self.policy, self.choices.height, stop=self.choices.stop):
            return tuple(idle(Judged(weighed, [])).entries)
        if sum(entry.number for entry in weighed) < self.policy.least_updates:
            return tuple(too_few(entry) for entry in weighed)
        return tuple(weighed)

    # -- the result

    @cached_property
    def parts(self) -> Parts:
        """What the round comes to."""
        return self.compose(self.entries)

    def sums_of(self, entries: Sequence[Entry]) -> tuple[tuple[int, ...], ...]:
        """Add up the updates of every node, in the nodes' order."""
        if self.policy.rule != Rule.WEIGHTED_MEAN:
            return ()
        result = []
        span = FAN_OUT
        for width in nodes.shape(len(entries)):
            for at in range(width):
                part = range(at * span, min((at + 1) * span, len(entries)))
                counted = [(self.updates[i], entries[i].weight) for i in part if entries[i].weight]
                total = [sum(u[lane] * w for u, w in counted) for lane in range(self.size)]
                result.append(tuple(wrapped(t) for t in total))
            span *= FAN_OUT
        return tuple(result)

    def compose(self, entries: Sequence[Entry], *, measure: bool = True) -> Parts:
        """Compute what a round with these entries comes to, measured as the policy wants it or not
        at all.
        """
        sums = self.sums_of(entries)
        laid = self.lay_nodes(entries, sums)
        weight, number = (sum(getattr(e, name) for e in entries) for name in ("weight", "number"))
        counted = [i for i, e in enumerate(entries) if e.weight]
        if self.policy.rule == Rule.WEIGHTED_MEAN:
            changes = [rounded(s, weight) if weight else 0 for s in sums[-1]]
        else:
            changes = [
                trimmed_mean(self.policy, [self.updates[i][lane] for i in counted])
                for lane in range(self.size)
            ]
        model = tuple(clamped(p + c) for p, c in zip(self.previous, changes, strict=True))
        players = sorted({entries[i].participant % self.known for i in counted})
        utilities, values = self._values(players, measure=measure)
        gain = (utilities[-1] - utilities[0]) if utilities else 0
        if self.parent is not None and not begins(self.policy, self.choices.height):
            gain += self.parent.header.gain
        gain = clamped(gain, 64)
        return self.reward(
            Parts(laid, sums, weight, number, model, utilities, gain, values, (), self.choices.stop)
        )

    def lay_nodes(
        self, entries: Sequence[Entry], sums: Sequence[Sequence[int]]
    ) -> tuple[bytes, ...]:
        """Write all nodes over entries."""
        roots = iter([self.tree(s, f"sum {i}", width=8).root for i, s in enumerate(sums)])
        levels = nodes.levels(entries, sum_root=lambda _: next(roots, ZERO_DIGEST))
        return tuple(node.encode() for node in nodes.in_order(levels))

    def _values(
        self, players: Sequence[int], *, measure: bool
    ) -> tuple[tuple[int, ...], tuple[payouts.ValueLeaf, ...]]:
        policy, height = self.policy, self.choices.height
        shards = policy.evaluation == Evaluation.SHARDS
        starts = begins(policy, height)
        if shards:
            before = self.parent.header.number if self.parent else 0
            carried = not starts and trained(policy, height - 1) > 0
            players = range(before) if carried else ()
            height -= 1
        valuation = valuation_at(policy, height)
        measures = measure and trained(policy, self.choices.height) and policy.evaluation
        if measures and (not shards or players):
            count = coalitions(valuation, len(players))
            numbers = random.Random(f"{self.choices} utilities")
            utilities = tuple(numbers.randrange(-(10**9), 10**9) for _ in range(count))
            if self.choices.extreme:
                utilities = tuple(numbers.choice((-INT64, INT64 - 1)) for _ in utilities)
        else:
            utilities = ()
        values = [0] * self.known
        if self.parent is not None and not starts:
            for index in range(self.parent.known):
                leaf = self.parent.values.leaf(index)
                values[index] = int.from_bytes(leaf[32:64], "big", signed=True)
        if utilities and valuation:
            for rank, player in enumerate(players):
                earned = _earned(valuation, utilities, len(players), rank)
                values[player] = clamped(values[player] + earned, 256)
        return utilities, payouts.value_leaves(values, self.scores(values))

    def scores(self, values: Sequence[int]) -> list[int]:
        """Score values."""
        a, b = self.policy.value_exponent, self.policy.scale_exponent
        return [
            min(v**a * s**b, 1 << 223) if v > 0 else 0
            for v, s in zip(values, self.scales, strict=True)
        ]

    def reward(self, parts: Parts) -> Parts:
        """Pay by the scores in the values, as if the contract released 1,000 more."""
        paid = [0] * self.known
        if self.ended is not None:
            for index in range(self.ended.known):
                paid[index] = int.from_bytes(self.ended.payouts.leaf(index)[32:], "big")
        scores = [leaf.score for leaf in parts.values]
        total = sum(scores)
        if total:
            upper = [1000 * s // total for s in accumulate(scores, initial=0)]
            paid = [p + upper[i + 1] - upper[i] for i, p in enumerate(paid)]
        return replace(parts, payouts=payouts.payout_leaves(paid))

    def make(self, parts: Parts) -> Made:
        """Commit to parts, whatever they are."""
        sums = {i: self.tree(s, f"sum {i}", width=8) for i, s in enumerate(parts.sums)}
        trees = Computed(
            header=None,  # type: ignore[arg-type]
            nodes=OpenTree.of(parts.nodes),
            sums=sums,
            model=self.tree(parts.model, "model"),
            utilities=OpenTree.of_utilities(parts.utilities),
            values=OpenTree.of_values(parts.values),
            payouts=OpenTree.of_payouts(parts.payouts),
        )
        scores = sum(leaf.score for leaf in parts.values)
        total = sum(leaf.amount for leaf in parts.payouts)
        header = ResultHeader(
            common=self.common(RESULT_TAG, self.parent_digest, self.round),
            nodes=trees.nodes.root,
            weight=parts.weight,
            number=parts.number,
            model_root=trees.model.root,
            model_digest=Digest(sha256(repr(parts.model).encode()).digest()),
            utilities=trees.utilities.root,
            gain=parts.gain,
            values=trees.values.root,
            scores=scores if parts.scores is None else parts.scores,
            payouts=trees.payouts.root,
            payout_total=total if parts.total is None else parts.total,
            stop=parts.stop,
        )
        return Made(header, replace(trees, header=header))

    @cached_property
    def honest(self) -> Made:
        """The round's right result."""
        return self.make(self.parts)

    def sources(self, made: Made) -> Sources:
        """Give what whoever made a result holds."""
        inputs = {slot: self.tree(u, f"update {slot}") for slot, u in self.updates.items()}
        batch = OpenTree.of(self.batch)
        held = (batch.root, batch) if self.batch else None
        return Sources.of(made.trees, inputs, self.headers, held)

    def dispute(self, made: Made, *, seen: Trees | None = None) -> Disputed:
        """Hold a result against the right one."""
        available = [i for i, e in enumerate(self.entries) if e.reason != Reason.UNAVAILABLE]
        previous = self.tree(self.previous, "parent" if self.lineage else "initial")
        return Disputed(
            policy=self.policy,
            case=replace(self.case, result=made.header.digest()),
            header=made.header,
            published=made.published if seen is None else seen,
            right=self.honest.trees,
            inputs={i: self.tree(self.updates[i], f"update {i}") for i in available},
            headers={i: self.headers[i] for i in available},
            previous=previous,
            facts=self.facts,
            scales=self.scales,
            batch=OpenTree.of(self.batch) if self.batch else None,
            parent=self.parent,
            ended=self.ended,
        )


def _earned(valuation: int, utilities: Sequence[int], players: int, rank: int) -> int:
    return rule_numbered(valuation).values(utilities, players)[rank]
