"""What happens in a federation, drawn at random: honest nodes, careless ones, and at most one liar.

Everything that careless nodes do is allowed (late, missing, malformed or foreign updates, missed
turns, results voted down, leavers, an idle close), so a story without a liar must pass an audit.
The liar proposes a result whose bytes all hash to what its header says, and everybody signs it.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, cast

import numpy as np

from fednode.data.evaluation_set import EvaluationSet
from fednode.evaluation import shards
from fednode.evaluation.slices import Slices
from fednode.roles.counting import coalition_counts, left_out
from ledger import artefacts
from ledger.cid import CID, Codec
from ledger.credits import Credit
from ledger.errors import MalformedRecord
from ledger.headers import Evaluation, ResultHeader, UpdateHeader
from ledger.nodes import Reason
from ledger.payload import Payload, pad
from ledger.proceedings import Fate, Round
from ledger.round import (
    Int32,
    Outcome,
    Published,
    RoundContext,
    Rules,
    Slot,
    Standing,
    SummedRule,
    compose,
)
from ledger.state import Phase
from ledger.stores import Artefact
from ledger.types import Address, Digest
from tests.tamper.policies import rows_of, statistics_update, training_update
from tests.tamper.world import FIRST_MEMBER, STRANGER, Owner, World, account, digest_of

MOST_STEPS = 60
FRESH_SIGNER = 500
NOTHING = Artefact((), {})
FATES = (
    "zero",
    "beyond",
    "trespassing",
    "secret",
    "withheld",
    "long",
    "unrooted",
    "scribbled",
    "foreign",
    "other base",
    "other data set",
    "copied",
    "garbage",
)
FOREIGN = ("foreign", "other base", "other data set")


@dataclass(frozen=True, slots=True)
class Prepared:
    """An update's digest, what its owner publishes in time, and what it keeps back."""

    digest: Digest
    shown: Artefact
    hidden: Artefact


@dataclass(frozen=True, slots=True)
class Publication:
    """A result as it is put into the store."""

    header: ResultHeader
    index: Digest
    artefact: Artefact
    outcome: Outcome

    @classmethod
    def of(cls, outcome: Outcome) -> "Publication":
        """Publish what an outcome says."""
        artefact, index = artefacts.result_artefact(outcome)
        return cls(outcome.header, index, artefact, outcome)

    def with_header(self, **changes: object) -> "Publication":
        """Publish the same bytes under another header."""
        header = replace(self.header, **changes)  # type: ignore[arg-type]
        cid, data = artefacts.raw(header.encode())
        return replace(
            self, header=header, artefact=self.artefact.merge(Artefact((cid,), {cid: data}))
        )


class Bent:
    """A round's rules, some of them bent."""

    def __init__(self, rules: Rules | SummedRule, **bent: object) -> None:
        self._rules = rules
        self._bent = bent

    def __getattr__(self, name: str) -> object:
        return self._bent.get(name) or getattr(self._rules, name)


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a proposer knows when it is its turn."""

    rng: random.Random
    world: World
    context: RoundContext
    standing: Standing
    slots: tuple[Slot, ...]
    rules: Rules
    honest: Outcome
    earlier: tuple[Publication, ...]

    def compose(
        self,
        *,
        context: RoundContext | None = None,
        standing: Standing | None = None,
        slots: Sequence[Slot] | None = None,
        **bent: object,
    ) -> Publication:
        """Compute a result from other inputs or by bent rules; what follows, follows."""
        rules = cast(Rules, Bent(self.rules, **bent)) if bent else self.rules
        return Publication.of(
            compose(
                context or self.context,
                standing or self.standing,
                self.slots if slots is None else slots,
                rules,
            )
        )

    def remodelled(self, change: Callable[[Int32], Int32]) -> Publication:
        """Compute a result with another model than the rule gives."""
        rule = self.rules.summed
        if rule is None:
            return self.compose(aggregate=lambda *given: change(self.rules.aggregate(*given)))
        return self.compose(summed=Bent(rule, step=lambda *given: change(rule.step(*given))))

    def counted(self) -> list[int]:
        """List the slots that count."""
        entries = [entry for node in self.honest.levels[0] for entry in node.entries]
        return [i for i, _ in enumerate(self.slots) if entries[i].weight]

    def reason(self, slot: int) -> int:
        """Give why a slot does not count."""
        return self.honest.levels[0][slot // 16].entries[slot % 16].reason


class Lied(NamedTuple):
    """A lie that was told."""

    round: int
    proposer: Address
    result: Digest


Lie = Callable[[Situation], Publication | None]
Opening = Callable[[Slices, int], Artefact]
"""What the holder of the slices shows, instead of the one of a number."""


@dataclass(slots=True)
class Story:
    """One federation's life. `lied` says in which round and by whom, once it has happened."""

    rng: random.Random
    world: World
    lie: Lie | None = None
    refused: str | None = None
    clumsy: float = 1.0
    fates: tuple[str, ...] = FATES
    carelessness: float = 0.22
    opens: Opening | None = None
    lied: Lied | None = None
    updates: dict[tuple[int, int], Prepared] = field(default_factory=dict)
    outcomes: dict[Digest, Publication] = field(default_factory=dict)
    shards: dict[int, EvaluationSet] = field(default_factory=dict)
    _shown: set[int] = field(default_factory=set)
    _doomed: bool = False
    _owned: int = 0

    def tell(self) -> World:
        """Let everything happen. Honest nodes give up on a lie that nobody can read."""
        self.world.create()
        try:
            self._live()
        except MalformedRecord:
            if self.lied is None:
                raise
        return self.world

    def _live(self) -> None:
        self._form()
        for _ in range(MOST_STEPS):
            phase = self.world.replica.state.phase
            if phase is Phase.ENDED or self._over():
                break
            if phase is Phase.FORMING or self._chance(0.01):
                self._close()
            elif phase is Phase.COMMIT:
                self._commit()
            elif phase is Phase.PROPOSE:
                self._propose()
            else:
                self._attest()
            self._accepted()
            if self._chance(0.25):
                self._settle()
            if self._chance(0.2):
                self._claim()
        self._wind_up()

    def _chance(self, probability: float) -> bool:
        return self.rng.random() < probability * self.clumsy

    def _over(self) -> bool:
        """Whether the story may break off: after a lie's round mostly, else now and then."""
        told = self.lied is not None and self.lied.round < self.world.replica.state.round.index
        return (told and self.rng.random() < 0.8) or self.rng.random() < 0.01

    # -- participants

    def _form(self) -> None:
        header = self.world.header
        if self._chance(0.03):
            return
        while not self.world.replica.state.rounds:
            if len(self.world.members) == header.max_participants:
                return
            self._join()
            forming = not self.world.replica.state.rounds
            if forming and len(self.world.members) > 1 and self._chance(0.1):
                room = header.max_participants - len(self.world.members)
                if room >= header.start_participants:
                    self.world.leave(len(self.world.members) - 1)
        if self.rng.random() < 0.1:
            self.world.checkpoint(account(STRANGER).address)

    def _join(self) -> None:
        rows = self.rng.choice((0, 1, 10, 40, 300, 2000))
        self.world.join(FIRST_MEMBER + len(self.world.members), rows)

    def _change_members(self) -> None:
        """Let somebody join, leave, take other keys, or commit to another data set."""
        state = self.world.replica.state
        active = [p.index for p in state.participants if p.until is None]
        what = self.rng.randrange(6)
        if what == 0 and len(self.world.members) < self.world.header.max_participants:
            self._join()
        elif what == 1 and len(active) > max(1, self.world.header.least_updates):
            self.world.leave(self.rng.choice(active))
        elif what == 2 and active:
            self.world.rotate(self.rng.choice(active), FRESH_SIGNER + len(self.world.events))
        elif what == 3 and active:
            self.world.commit_dataset(self.rng.choice(active), self.rng.choice((1, 30, 500)))
        elif what == 4:
            self.world.amend_dataset(self.rng.randrange(len(self.world.members)))
        elif what == 5 and active:
            self.world.register_key(self.rng.choice(active))

    def _active(self) -> list[int]:
        state = self.world.replica.state
        seats = [p.index for p in state.participants if p.active(state.round.index)]
        return self.rng.sample([int(i) for i in seats], len(seats))

    # -- commit

    def _commit(self) -> None:
        round_ = self.world.replica.state.round
        order = self._active()
        if self._chance(0.08):
            order = order[: self.rng.randrange(len(order) + 1)]
        together = self._commit_together(round_, order)
        for index in order:
            if index in together:
                continue
            if self._chance(0.06):
                self._change_members()
            if self.world.time + 2 >= round_.commit_deadline:
                break
            if not self._chance(0.06):
                prepared = self._prepare(round_, index)
                self.updates[round_.index, index] = prepared
                self.world.commit(index, prepared.digest)
        if self.world.replica.state.phase is Phase.COMMIT:
            self.world.wait(round_.commit_deadline + self.rng.randrange(3))
            self.world.advance(self._anybody())

    def _commit_together(self, round_: Round, order: Sequence[int]) -> Sequence[int]:
        """Let some commit through the relay, if there is one; give who has no need to do so again.

        Of two of them the relay's leaf is no good: it is forged, or has come twice, by another way.
        """
        together = order[: -(-2 * len(order) // 3)]
        deadline = round_.opened + self.world.header.batch_window
        if not together or self.world.time + 1 >= deadline:
            return ()
        leaves = []
        for place, index in enumerate(together):
            prepared = self._prepare(round_, index)
            self.updates[round_.index, index] = prepared
            by = account(STRANGER) if place == 1 else self.world.signing(index)
            leaves.append((index, prepared.digest, by))
        self.world.post_batch(leaves)
        self.world.commit(together[0], self.updates[round_.index, together[0]].digest)
        return [index for place, index in enumerate(together) if place != 1]

    def _prepare(self, round_: Round, index: int) -> Prepared:
        context = self.world.context()
        of = self.world.terms
        values = (statistics_update if context.statistics else training_update)(self.rng, of)
        fate = self.rng.choice(self.fates) if self._chance(self.carelessness) else "good"
        if fate == "copied" and self.updates:
            return replace(
                self.updates[self.rng.choice(list(self.updates))], shown=NOTHING, hidden=NOTHING
            )
        if fate == "garbage":
            noise = self.rng.randbytes(self.rng.choice((1, 5, 416, 2000)))
            block = Artefact.of(Codec.RAW, noise)
            return Prepared(block.roots[0].digest, block, NOTHING)
        if fate == "zero":
            values = np.zeros_like(values)
        elif fate == "beyond":
            values[self.rng.randrange(values.size)] = context.policy.bound + 1
        elif fate == "trespassing":
            values[0 if not context.statistics else -1] += 1
        data = Payload(pad(values, context.policy.leaves + (fate == "long")))
        record = artefacts.record({"round": round_.index, "participant": index})
        if fate == "scribbled":
            record = CID.of(Codec.DAG_CBOR, b"\xa1\x61"), b"\xa1\x61"
        base = self.rng.choice(context.bases)
        header = replace(context.update_header(index, data, training=record[0].digest), base=base)
        counts = self._counts(index, fate)
        if counts is not None:
            header = replace(header, evaluation=counts[0].digest)
        if fate == "unrooted":
            header = replace(header, payload_root=digest_of(index))
        if fate in FOREIGN:
            header = self._foreign(header, fate)
        records = (record,) if counts is None else (record, counts)
        artefact = artefacts.update_artefact(header, data, *records)
        if fate == "secret":
            return Prepared(header.digest(), NOTHING, artefact)
        if fate in ("withheld", "foreign"):
            cid = CID(Codec.RAW, header.digest())
            alone = Artefact((cid,), {cid: artefact.blocks[cid]})
            return Prepared(header.digest(), alone, artefact)
        return Prepared(header.digest(), artefact, NOTHING)

    def _counts(self, index: int, fate: str) -> tuple[CID, bytes] | None:
        """Count on a participant's shard how good the last round's coalitions were without it."""
        world, replica = self.world, self.world.replica
        standing = replica.standing()
        if world.header.evaluation != Evaluation.SHARDS or not standing.players:
            return None
        accepted = replica.state.lineage[-1]
        players, before = replica.players(accepted), replica.model(accepted.height - 1)
        if index not in self.shards:
            self.shards[index] = rows_of(self.rng, world.terms, self.rng.choice((20, 30, 47)))
        shard = self.shards[index]
        rule = world.rules.valuation(standing.trained - 1)
        others = players if fate == "on itself" else left_out(players, index)
        counted = coalition_counts(world.rules, world.terms.measuring(shard), rule, before, others)
        counts = shards.count(shard, counted, world.terms.policy.evaluation.metric)
        if fate == "few rows":
            counts = replace(counts, counts=tuple(self.rng.randint(1, 9) for _ in counts.counts))
        return counts.artefact(replica.state.head)

    def _foreign(self, header: UpdateHeader, fate: str) -> UpdateHeader:
        common = header.common
        if fate == "other base":
            return replace(header, base=digest_of("base"))
        if fate == "other data set":
            return replace(header, dataset=header.dataset + 1)
        return self.rng.choice(
            (
                replace(header, participant=header.participant + 1),
                replace(header, common=replace(common, round=common.round + 1)),
                replace(header, common=replace(common, parent=digest_of("parent"))),
                replace(header, common=replace(common, chain_id=1)),
            )
        )

    # -- propose

    def _publish(self, round_: Round) -> None:
        if round_.index not in self._shown:
            self._shown.add(round_.index)
            for slot in self.world.replica.claims(round_):
                prepared = self.updates[round_.index, slot.participant]
                self.world.store.put(prepared.shown)

    def situation(self, round_: Round) -> Situation:
        """See what a proposer sees."""
        world = self.world
        context, standing = world.context(), world.replica.standing()
        leaves = context.policy.leaves
        claims = world.replica.claims(round_)
        read = [artefacts.read_update(world.store, slot.digest, leaves) for slot in claims]
        slots = tuple(world.replica.slots(round_, read))
        rules = world.rules.opening(context, world.store)
        honest = compose(context, standing, slots, rules)
        earlier = tuple(self.outcomes[a.result] for a in world.replica.state.lineage)
        return Situation(self.rng, world, context, standing, slots, rules, honest, earlier)

    def _open_slice(self, round_: Round) -> None:
        """Let the holder open the round's slice in time, mostly; nobody proposes earlier."""
        world, slices = self.world, self.world.slices
        if slices is None:
            return
        assert round_.closed is not None
        reveal, number = round_.closed.reveal_deadline, world.replica.state.slice_number(round_)
        due = round_.attempt == 0 and not round_.slices and not world.context().statistics
        late = world.time + 1 >= reveal or number >= len(slices.parts)
        if due and not late and not self._chance(0.1):
            world.open_slice((self.opens or Slices.opened)(slices, number))
        world.wait(reveal)

    def _propose(self) -> None:
        world, round_ = self.world, self.world.replica.state.round
        self._publish(round_)
        self._open_slice(round_)
        if self._chance(0.1) or world.time + 1 >= round_.propose_deadline:
            world.wait(round_.propose_deadline + self.rng.randrange(3))
            world.advance(self._anybody())
            return
        turn = world.replica.state.in_turn(round_)
        proposer = self._anybody() if turn is None else turn.signer_in(round_.index)
        situation = self.situation(round_)
        publication = self._lie(situation, proposer) or Publication.of(situation.honest)
        self._doomed = self.lied is None and self._chance(0.1)
        if self._doomed and self.rng.random() < 0.7:
            publication = _nonsense(situation)
        world.store.put(publication.artefact)
        self.outcomes[publication.header.digest()] = publication
        world.propose(proposer, publication.header, publication.index)

    def _lie(self, situation: Situation, proposer: Address) -> Publication | None:
        if self.lie is None or self.lied is not None:
            return None
        publication = self.lie(situation)
        if publication is None:
            return None
        honest = Publication.of(situation.honest)
        same = (publication.header, publication.index) == (honest.header, honest.index)
        if same or self.world.refuses(publication.header) != self.refused:
            return None
        digest = publication.header.digest()
        self.lied = Lied(situation.context.round, proposer, digest)
        return publication

    # -- attest

    def _attest(self) -> None:
        world, round_ = self.world, self.world.replica.state.round
        seated = round_.proposal.committee.seated
        voters = [index for index in self._active() if index in seated]
        liar = self.lied is not None and self.lied.round == round_.index
        support = not self._doomed
        if not liar and self._chance(0.2):
            least = -(-len(seated) // 2)
            voters = voters[: self.rng.randint(least, len(voters)) if support else 0]
        for index in voters:
            if world.replica.state.phase is not Phase.ATTEST:
                break
            if round_.attempt != world.replica.state.round.attempt:
                break
            if world.time + 1 >= round_.proposal.attest_deadline:
                break
            if self._chance(0.1) and not self._voted_any(voters):
                world.vote_together(voters, support, self._anybody())
                break
            world.vote(index, support)
        if world.replica.state.phase is Phase.ATTEST:
            world.wait(round_.proposal.attest_deadline + self.rng.randrange(3))
            world.advance(self._anybody())

    def _voted_any(self, voters: Sequence[int]) -> bool:
        return any(index in self.world.replica.state.round.proposal.votes for index in voters)

    def _accepted(self) -> None:
        """Note who answers for the blocks of new results, in the order in which they are read."""
        state = self.world.replica.state
        for accepted in state.lineage[self._owned :]:
            self._owned += 1
            publication = self.outcomes[accepted.result]
            proposer = accepted.proposal.proposer
            self.world.own(publication.artefact.blocks, Owner(accepted.round, proposer))
            levels = publication.outcome.levels
            round_ = state.rounds[accepted.round]
            for commit in round_.commits:
                prepared = self.updates[accepted.round, commit.participant]
                place = round_.batched + commit.order
                entry = levels[0][place // 16].entries[place % 16]
                if entry.reason == Reason.UNAVAILABLE:
                    if self.rng.random() < 0.5:
                        self.world.store.put(prepared.hidden)
                    continue
                owner = Owner(accepted.round, commit.meta.sender)
                # A foreign update needs no more than its header, which may be somebody else's.
                self.world.own((CID(Codec.RAW, commit.digest),), owner)
                if entry.reason != Reason.FOREIGN:
                    self.world.own(prepared.shown.blocks, owner)

    # -- the end

    def _close(self) -> None:
        world, state = self.world, self.world.replica.state
        created = world.events[0].meta.timestamp
        started = state.rounds[0].opened if state.rounds else created
        last = state.lineage[-1].accepted_at if state.lineage else started
        carried = False
        if state.phase is Phase.ATTEST:
            world.wait(state.round.proposal.attest_deadline)
            carried = state.round.proposal.majority()
        if not carried:
            world.wait(last + world.header.idle_window + self.rng.randrange(3))
            world.close(self._anybody())

    def _settle(self) -> None:
        waiting = [a for a in self.world.replica.state.lineage if not a.settled]
        if waiting:
            self.world.wait(waiting[0].proposal.challenge_deadline)
            self.world.advance(self._anybody())
            self._accepted()

    def _claim(self) -> None:
        ends = self.world.replica.state.period_ends
        if not ends:
            return
        for leaf in self.outcomes[ends[-1].result].outcome.records.payouts:
            participants = self.world.replica.state.participants
            left = ends[-1].total - sum(p.paid for p in participants)
            due = min(left, leaf.amount - participants[leaf.index].paid)
            if due > 0 and self.rng.random() < 0.7:
                self.world.claim(leaf.index, due, self._anybody())

    def _wind_up(self) -> None:
        if self.rng.random() < 0.2:
            return
        world, state = self.world, self.world.replica.state
        while any(not a.settled for a in state.lineage):
            self._settle()
        self._claim()
        if state.phase is not Phase.ENDED:
            return
        if state.left:
            world.refund(self._anybody())
        for index, participant in enumerate(state.participants):
            if participant.stake and self.rng.random() < 0.5:
                world.withdraw_stake(index)
            if participant.fees and self.rng.random() < 0.7:
                world.collect_fees(index, self._anybody())
        for proposal in [p for r in state.rounds for p in r.proposals]:
            if proposal.fate is Fate.DROPPED and world.header.proposer_bond:
                world.release_bond(proposal.result, proposal.attempt, proposal.proposer)
        owners = {p.payout for p in state.participants}
        owners |= {p.proposer for r in state.rounds for p in r.proposals}
        for owner in sorted(owners):
            if state.credits.of(owner) != Credit() and self.rng.random() < 0.5:
                world.withdraw(owner)

    def _anybody(self) -> Address:
        signers = [self.world.signer(index) for index in range(len(self.world.members))]
        return self.rng.choice([*signers, account(STRANGER).address])


def _nonsense(situation: Situation) -> Publication:
    """Make a result that nobody in their senses votes for."""
    return situation.remodelled(lambda model: model + np.int32(1))


def unavailable(slot: Slot) -> Slot:
    """Take a slot's bytes for unavailable."""
    return replace(slot, published=Published(None, None))
