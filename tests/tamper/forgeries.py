"""Records that were altered after the fact, and histories that no sound contract writes."""

import random
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TypeVar

from ledger import history as ev
from ledger.audit.evidence import Deployment
from ledger.audit.verdict import (
    BYTES,
    CLAIMS,
    CONTRACT,
    HEADERS,
    HISTORY,
    LINEAGE,
    ORDER,
    PAYOUTS,
    SIGNERS,
)
from ledger.chain.calls import selector_of
from ledger.cid import CID, Codec
from ledger.headers import UpdateHeader
from ledger.identity import Identity, identity_artefact, sign_identity
from ledger.stores import Artefact, MemoryStore
from ledger.types import Address, Digest, ParticipantId, Wei
from tests.tamper.kinds import Case, Clean, forgery, kind
from tests.tamper.lies import BY_SHARDS, BY_SLICES
from tests.tamper.policies import draw, terms
from tests.tamper.story import Story
from tests.tamper.world import CREATOR, STRANGER, Setting, World, account, identity, rechained

E = TypeVar("E", bound=ev.Event)
NOBODY = account(STRANGER).address
SIGNED = (
    ev.FederationCreated,
    ev.ParticipantJoined,
    ev.ParticipantLeft,
    ev.SignerRotated,
    ev.KeyRegistered,
    ev.DatasetCommitted,
    ev.DatasetAmended,
    ev.UpdateCommitted,
    ev.ResultProposed,
    ev.Voted,
)
"""What only one account can bring about, of what an honest story has in it."""


# -- blocks


def _without(store: MemoryStore, cid: CID, data: bytes | None) -> MemoryStore:
    altered = MemoryStore()
    altered.blocks = {**store.blocks}
    if data is None:
        del altered.blocks[cid]
    else:
        altered.blocks[cid] = data
    return altered


def _block(of: Clean, cid: CID, data: bytes | None) -> Case:
    owner = of.world.owners[cid]
    store = _without(of.world.store, cid, data)
    return Case(replace(of.world.evidence(), store=store), owner.round, owner.signer)


@forgery("missing block", BYTES)
def _(rng: random.Random, of: Clean) -> Case | None:
    return _block(of, rng.choice(of.read), None) if of.read else None


@forgery("altered block", BYTES)
def _(rng: random.Random, of: Clean) -> Case | None:
    cid = rng.choice(of.read)
    # A list of nothing is a block of nothing.
    data = bytearray(of.world.store.blocks[cid] or b"\0")
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)
    return _block(of, cid, bytes(data))


@forgery("truncated block", BYTES)
def _(rng: random.Random, of: Clean) -> Case | None:
    cid = rng.choice(of.read)
    data = of.world.store.blocks[cid]
    return _block(of, cid, data[: rng.randrange(len(data))]) if data else None


def kept_back(rng: random.Random, mode: str) -> World:
    """Tell an honest story of a federation that is measured by slices, or by shards."""
    fixed = BY_SLICES if mode == "slices" else BY_SHARDS
    world = World(Setting.draw(rng, terms(draw(rng, **fixed))))
    Story(rng, world, clumsy=0.2).tell()
    return world


def _spoilt(rng: random.Random, data: bytes) -> bytes | None:
    """Alter a block, or lose it."""
    at = rng.randrange(len(data))
    return rng.choice((None, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]))


@kind("opening of a slice altered", BYTES)
def _(rng: random.Random) -> Case | None:
    """What a slice holds is nobody's word: its root stands in the policy."""
    world = kept_back(rng, "slices")
    state = world.replica.state
    used = [a for a in state.lineage if world.replica.reader(a).measured()]
    if not used:
        return None
    round_ = state.rounds[rng.choice(used).round]
    assert world.slices is not None
    cid = rng.choice(list(world.slices.opened(state.slice_number(round_)).blocks))
    altered = _without(world.store, cid, _spoilt(rng, world.store.blocks[cid]))
    return Case(replace(world.evidence(), store=altered), round_.index, None)


@kind("evaluation record altered after its commit", BYTES)
def _(rng: random.Random) -> Case | None:
    world = kept_back(rng, "shards")
    commits = [
        (accepted.round, commit)
        for accepted in world.replica.state.lineage
        for commit in world.replica.state.rounds[accepted.round].commits
        if CID(Codec.RAW, commit.digest) in world.owners
    ]
    rng.shuffle(commits)
    for number, commit in commits:
        header = UpdateHeader.decode(world.store.blocks[CID(Codec.RAW, commit.digest)])
        cid = CID(Codec.DAG_CBOR, Digest(header.evaluation))
        if cid in world.store.blocks:
            altered = _without(world.store, cid, _spoilt(rng, world.store.blocks[cid]))
            return Case(replace(world.evidence(), store=altered), number, commit.meta.sender)
    return None


# -- the list of events


def _history(of: Clean, events: Sequence[ev.Event]) -> Case:
    """Events as somebody serves them, against what the trusted block says."""
    return Case(of.world.evidence(events), None, None)


def _other(value: object) -> object:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value ^ 1
    if isinstance(value, bytes):
        return bytes([value[0] ^ 1]) + value[1:]
    return account(STRANGER + 7000).address


def _bent(event: E, name: str) -> E:
    return replace(event, **{name: _other(getattr(event, name))})  # type: ignore[arg-type]


@forgery("altered event", HISTORY)
def _(rng: random.Random, of: Clean) -> Case | None:
    events = list(of.world.events)
    at = rng.randrange(len(events))
    names = [f.name for f in fields(events[at])][3:] or ["h"]
    name = rng.choice(names)
    events[at] = _bent(events[at], name)
    return _history(of, rechained(events) if name != "h" and rng.random() < 0.5 else events)


@forgery("altered time of an event", HISTORY)
def _(rng: random.Random, of: Clean) -> Case | None:
    events = list(of.world.events)
    at = rng.choice([i for i, e in enumerate(events) if not isinstance(e, ev.Checkpoint)])
    meta = replace(events[at].meta, timestamp=events[at].meta.timestamp + rng.choice((-1, 1)))
    events[at] = replace(events[at], meta=meta)
    return _history(of, rechained(events) if rng.random() < 0.5 else events)


@forgery("event left out", HISTORY)
def _(rng: random.Random, of: Clean) -> Case | None:
    events = list(of.world.events)
    del events[rng.choice([i for i, e in enumerate(events) if not isinstance(e, ev.Checkpoint)])]
    return _history(of, rechained(events) if rng.random() < 0.5 else events)


@forgery("last events left out", HISTORY)
def _(rng: random.Random, of: Clean) -> Case | None:
    events = of.world.events[: rng.randrange(len(of.world.events))]
    return _history(of, events) if not events or events[-1].h != of.world.events[-1].h else None


@forgery("events in another order", HISTORY)
def _(rng: random.Random, of: Clean) -> Case | None:
    events = list(of.world.events)
    one, other = rng.sample(range(len(events)), 2)
    if any(isinstance(events[i], ev.Checkpoint) for i in (one, other)):
        return None
    events[one], events[other] = events[other], events[one]
    return _history(of, rechained(events) if rng.random() < 0.5 else events)


@forgery("events of an old round again", HISTORY)
def _(rng: random.Random, of: Clean) -> Case | None:
    rounds = of.world.of_kind(ev.RoundOpened)
    if not rounds:
        return None
    old = rng.choice(rounds).round
    again = [event for event in of.world.events if getattr(event, "round", None) == old]
    events = [*of.world.events, *again]
    return _history(of, rechained(events) if rng.random() < 0.5 else events)


@forgery("history of another federation", HISTORY)
def _(rng: random.Random, of: Clean) -> Case | None:
    other = World(Setting.draw(rng, terms(draw(rng))))
    other.create()
    return _history(of, other.events)


# -- the contract and the policy


@forgery("another contract that emits our events", CONTRACT)
def _(rng: random.Random, of: Clean) -> Case | None:
    fake = Deployment(False, "the published program", NOBODY)
    return Case(replace(of.world.evidence(), deployment=fake), None, None)


@forgery("another chain", HEADERS)
def _(rng: random.Random, of: Clean) -> Case | None:
    origin = replace(of.world.origin, chain_id=1 + rng.randrange(1000))
    return Case(replace(of.world.evidence(), origin=origin), None, None)


def _created(setting: Setting) -> Case:
    world = World(setting)
    world.create()
    return Case(world.evidence(), None, account(CREATOR).address)


@kind("policy whose record says something else", HEADERS)
def _(rng: random.Random) -> Case | None:
    text = draw(rng)
    name = rng.choice(("rounds", "attempts", "commit", "value_exponent"))
    at = text.index(f"\n{name} = ") + len(f"\n{name} = ")
    end = text.index("\n", at)
    other = f"{text[:at]}{int(text[at:end]) + 1}{text[end:]}"
    return _created(Setting.draw(rng, terms(text), records=terms(other)))


@kind("wrong initial model", BYTES)
def _(rng: random.Random) -> Case | None:
    return _created(Setting.draw(rng, terms(draw(rng)), shift=rng.choice((-1, 1))))


@forgery("ancestor that left another model", LINEAGE)
def _(rng: random.Random, of: Clean) -> Case | None:
    if not of.world.headers:
        return None
    digest, header = rng.choice(list(of.world.headers.items()))
    setting = Setting.draw(rng, terms(draw(rng)), parent=digest)
    if header.model_root == setting.header.initial_model_root:
        return None
    ancestor = Artefact.of(Codec.RAW, header.encode())
    return _created(replace(setting, artefact=setting.artefact.merge(ancestor)))


# -- who signed


@forgery("sent by somebody else", SIGNERS)
def _(rng: random.Random, of: Clean) -> Case | None:
    """What calls the contract itself is called by who sent it; others post signed votes."""
    posted = selector_of("postVotes")
    places = [
        i
        for i, event in enumerate(of.world.events)
        if isinstance(event, SIGNED) and event.meta.call[:4] != posted
    ]
    events = list(of.world.events)
    at = rng.choice(places)
    event = events[at]
    if event.meta.sender == NOBODY:
        return None
    events[at] = replace(event, meta=replace(event.meta, sender=NOBODY))
    return Case(of.world.evidence(events), getattr(event, "round", None), NOBODY)


def _joined(rng: random.Random, record: Artefact) -> Case:
    world = World(Setting.draw(rng, terms(draw(rng, open="false"))))
    world.create()
    world.join(2, 10, record=record)
    return Case(world.evidence(), None, account(2).address)


@kind("forged identity", SIGNERS)
def _(rng: random.Random) -> Case | None:
    own = sign_identity(account(2), "Hospital 2")
    forged = rng.choice(
        (
            replace(own, name="Hospital 3"),
            replace(own, signature=rng.randbytes(65)),
            Identity(own.name, own.controller, sign_identity(account(3), own.name).signature),
        )
    )
    return _joined(rng, identity_artefact(forged))


@kind("identity of somebody else", SIGNERS)
def _(rng: random.Random) -> Case | None:
    return _joined(rng, identity(3 + rng.randrange(9)))


# -- what no sound contract writes: the accumulator is right, the rules are broken


def _broken(of: Clean, events: Sequence[ev.Event], at: int) -> Case:
    """A history that hashes to the trusted block; the event at a place breaks a rule."""
    events = rechained(events)
    event = events[at]
    return Case(
        of.world.evidence(events, h=events[-1].h), getattr(event, "round", None), event.meta.sender
    )


def _pick(rng: random.Random, of: Clean, wanted: type[E]) -> tuple[int, E] | None:
    found = [(i, event) for i, event in enumerate(of.world.events) if isinstance(event, wanted)]
    return rng.choice(found) if found else None


Change = Callable[[random.Random, Clean, E], E | None]


def _change(rng: random.Random, of: Clean, wanted: type[E], change: Change[E]) -> Case | None:
    """Put another event in the place of one."""
    picked = _pick(rng, of, wanted)
    changed = change(rng, of, picked[1]) if picked else None
    if picked is None or changed is None:
        return None
    events: list[ev.Event] = list(of.world.events)
    events[picked[0]] = changed
    return _broken(of, events, picked[0])


def _repeat(rng: random.Random, of: Clean, wanted: type[E], change: Change[E]) -> Case | None:
    """Put another event behind one."""
    picked = _pick(rng, of, wanted)
    more = change(rng, of, picked[1]) if picked else None
    if picked is None or more is None:
        return None
    events: list[ev.Event] = list(of.world.events)
    events.insert(picked[0] + 1, more)
    return _broken(of, events, picked[0] + 1)


def _same(rng: random.Random, of: Clean, event: E) -> E:
    return event


def _at(event: E, time: int) -> E:
    return replace(event, meta=replace(event.meta, timestamp=time))


def _deadline(of: Clean, event: ev.Event) -> int:
    """Find the deadline that an event had to keep."""
    round_ = of.world.replica.state.rounds[getattr(event, "round", 0)]
    if isinstance(event, ev.UpdateCommitted):
        return round_.commit_deadline
    attempt = getattr(event, "attempt", 0)
    if isinstance(event, ev.Voted):
        return next(p.attest_deadline for p in round_.proposals if p.attempt == attempt)
    place = event.meta.log_index
    ends = (ev.CommitClosed, ev.TurnMissed, ev.ResultRejected)
    before = (e for e in of.world.events[:place] if isinstance(e, ends))
    return max(e.propose_deadline for e in before if e.round == round_.index)


def _late(rng: random.Random, of: Clean, event: E) -> E:
    return _at(event, _deadline(of, event) + rng.choice((0, 0, 1, 50)))


@forgery("late commit", ORDER)
def _(rng: random.Random, of: Clean) -> Case | None:
    return _change(rng, of, ev.UpdateCommitted, _late)


@forgery("late proposal", ORDER)
def _(rng: random.Random, of: Clean) -> Case | None:
    return _change(rng, of, ev.ResultProposed, _late)


@forgery("late vote", ORDER)
def _(rng: random.Random, of: Clean) -> Case | None:
    return _change(rng, of, ev.Voted, _late)


@forgery("settled before the challenge window ended", ORDER)
def _(rng: random.Random, of: Clean) -> Case | None:
    picked = _pick(rng, of, ev.ResultSettled)
    if picked is None:
        return None
    at, event = picked
    before = of.world.events[at - 1].meta.timestamp
    accepted = of.world.replica.state.lineage[event.height - 1]
    if before >= accepted.proposal.challenge_deadline:
        return None
    events: list[ev.Event] = list(of.world.events)
    events[at] = _at(event, before)
    return _broken(of, events, at)


@forgery("second vote of a seat", ORDER)
def _(rng: random.Random, of: Clean) -> Case | None:
    return _repeat(rng, of, ev.Voted, _same)


@forgery("second commit of a seat", ORDER)
def _(rng: random.Random, of: Clean) -> Case | None:
    return _repeat(
        rng, of, ev.UpdateCommitted, lambda _, __, event: replace(event, order=event.order + 1)
    )


@forgery("vote by a stranger", ORDER)
def _(rng: random.Random, of: Clean) -> Case | None:
    stranger = 1 << len(of.world.members) + rng.randrange(3)
    return _change(rng, of, ev.Voted, lambda _, __, event: replace(event, ballots=stranger))


@forgery("proposal out of turn", ORDER)
def _(rng: random.Random, of: Clean) -> Case | None:
    def usurped(_: random.Random, of: Clean, event: ev.ResultProposed) -> ev.ResultProposed | None:
        state = of.world.replica.state
        round_ = state.rounds[event.round]
        turn = (event.round + event.attempt) % round_.known
        missed = any(e.round == event.round for e in of.world.of_kind(ev.TurnMissed))
        if missed or not state.participants[turn].active(event.round):
            return None
        meta = replace(event.meta, sender=NOBODY)
        usurper = replace(event, meta=meta, proposer=NOBODY, signer=NOBODY)
        return usurper if event.signer != NOBODY else None

    return _change(rng, of, ev.ResultProposed, usurped)


@forgery("accepted without the votes", ORDER)
def _(rng: random.Random, of: Clean) -> Case | None:
    picked = _pick(rng, of, ev.ResultAccepted)
    if picked is None:
        return None
    round_ = of.world.replica.state.rounds[picked[1].round]
    ballot = (round_.index, round_.proposal.attempt)
    events = [
        event
        for event in of.world.events
        if not (isinstance(event, ev.Voted) and (event.round, event.attempt) == ballot)
    ]
    return _broken(of, events, events.index(picked[1]))


@forgery("round opened with another deadline or seat", ORDER)
def _(rng: random.Random, of: Clean) -> Case | None:
    name = rng.choice(("commit_deadline", "seats", "parent"))
    return _change(rng, of, ev.RoundOpened, lambda _, __, event: _bent(event, name))


@forgery("round closed before its last commit", ORDER)
def _(rng: random.Random, of: Clean) -> Case | None:
    picked = _pick(rng, of, ev.CommitClosed)
    if picked is None:
        return None
    at = picked[0]
    events = list(of.world.events)
    if not isinstance(events[at - 1], ev.UpdateCommitted):
        return None
    early = _at(events[at], events[at - 1].meta.timestamp)
    events[at - 1 : at + 1] = [early, events[at - 1]]
    return _broken(of, events, at - 1)


@forgery("old round opened again", ORDER)
def _(rng: random.Random, of: Clean) -> Case | None:
    picked = _pick(rng, of, ev.RoundOpened)
    if picked is None:
        return None
    last = of.world.events[-1]
    again = replace(picked[1], meta=replace(last.meta, sender=NOBODY))
    return _broken(of, [*of.world.events, again], len(of.world.events))


@forgery("round goes on after the end", ORDER)
def _(rng: random.Random, of: Clean) -> Case | None:
    picked = _pick(rng, of, ev.FederationEnded)
    if picked is None or picked[1].idle:
        return None
    at, end = picked
    state = of.world.replica.state
    opened = ev.RoundOpened(
        meta=end.meta,
        federation=end.federation,
        h=end.h,
        round=state.round.index,
        parent=state.head,
        seats=sum(p.until is None for p in state.participants),
        commit_deadline=end.meta.timestamp + state.policy.commit_window,
    )
    next_round = replace(opened, round=type(opened.round)(len(state.rounds)))
    return _broken(of, [*of.world.events[:at], next_round], at)


@forgery("ended without a reason", ORDER)
def _(rng: random.Random, of: Clean) -> Case | None:
    picked = _pick(rng, of, ev.ResultAccepted)
    if picked is None:
        return None
    at = picked[0] + 1
    opened = of.world.events[at]
    if not isinstance(opened, ev.RoundOpened):
        return None
    end = ev.FederationEnded(meta=opened.meta, federation=opened.federation, h=opened.h, idle=False)
    case = _broken(of, [*of.world.events[:at], end], at)
    height = picked[1].height
    trained = of.world.replica.state.training_index(height)
    # The statistics' result always opens a round; later ones may end it, but for a reason.
    return replace(case, round=picked[1].round) if trained else case


@forgery("period ended at will", ORDER)
def _(rng: random.Random, of: Clean) -> Case | None:
    picked = _pick(rng, of, ev.ResultSettled)
    if picked is None:
        return None
    at, event = picked
    after = of.world.events[at + 1 : at + 3]
    if any(isinstance(e, ev.PeriodEnded) for e in after):
        return None
    header = of.world.headers[event.result]
    end = ev.PeriodEnded(
        meta=event.meta,
        federation=event.federation,
        h=event.h,
        result=event.result,
        payouts=header.payouts,
        total=Wei(header.payout_total),
    )
    events: list[ev.Event] = list(of.world.events)
    events.insert(at + 1, end)
    return _broken(of, events, at + 1)


# -- money


@forgery("period that pays by another tree", PAYOUTS)
def _(rng: random.Random, of: Clean) -> Case | None:
    name = rng.choice(("payouts", "total"))
    case = _change(rng, of, ev.PeriodEnded, lambda _, __, event: _bent(event, name))
    return case and replace(case, signer=None)


@forgery("claimed twice", CLAIMS)
def _(rng: random.Random, of: Clean) -> Case | None:
    return _repeat(rng, of, ev.PayoutClaimed, _same)


@forgery("claimed too much", CLAIMS)
def _(rng: random.Random, of: Clean) -> Case | None:
    by = rng.choice((1, 10**20))
    return _change(
        rng,
        of,
        ev.PayoutClaimed,
        lambda _, __, event: replace(event, amount=Wei(event.amount + by)),
    )


@forgery("claimed in another's place", CLAIMS)
def _(rng: random.Random, of: Clean) -> Case | None:
    def other(_: random.Random, of: Clean, event: ev.PayoutClaimed) -> ev.PayoutClaimed:
        place = (event.participant + 1) % len(of.world.members)
        return replace(event, participant=ParticipantId(place))

    return _change(rng, of, ev.PayoutClaimed, other) if len(of.world.members) > 1 else None


@forgery("claimed to another address", CLAIMS)
def _(rng: random.Random, of: Clean) -> Case | None:
    return _change(
        rng, of, ev.PayoutClaimed, lambda _, __, event: replace(event, payout=Address(NOBODY))
    )


@forgery("refunded too much or again", CLAIMS)
def _(rng: random.Random, of: Clean) -> Case | None:
    if rng.random() < 0.5:
        return _repeat(rng, of, ev.Refunded, _same)
    return _change(
        rng, of, ev.Refunded, lambda _, __, event: replace(event, amount=Wei(event.amount + 1))
    )


@forgery("fees collected again or too many", CLAIMS)
def _(rng: random.Random, of: Clean) -> Case | None:
    if rng.random() < 0.5:
        return _repeat(rng, of, ev.FeesCollected, _same)
    more = of.world.header.attester_fee
    return _change(
        rng,
        of,
        ev.FeesCollected,
        lambda _, __, event: replace(event, amount=Wei(event.amount + more)),
    )


@forgery("bond released again", CLAIMS)
def _(rng: random.Random, of: Clean) -> Case | None:
    return _repeat(rng, of, ev.BondReleased, _same)


@forgery("withdrawn again or too much", CLAIMS)
def _(rng: random.Random, of: Clean) -> Case | None:
    if rng.random() < 0.5:
        return _repeat(rng, of, ev.Withdrawn, _same)
    name = rng.choice(("ethers", "fees"))
    return _change(rng, of, ev.Withdrawn, lambda _, __, event: _bent(event, name))


@forgery("stake returned while bound", CLAIMS)
def _(rng: random.Random, of: Clean) -> Case | None:
    stake = of.world.header.stake
    picked = _pick(rng, of, ev.RoundOpened)
    if not stake or picked is None:
        return None
    at, opened = picked
    withdrawn = ev.StakeWithdrawn(
        meta=replace(opened.meta, sender=account(of.world.members[0]).address),
        federation=opened.federation,
        h=opened.h,
        participant=ParticipantId(0),
        amount=Wei(stake),
    )
    participant = of.world.replica.state.participants[0]
    if participant.until is not None:
        return None
    events: list[ev.Event] = list(of.world.events)
    events.insert(at + 1, withdrawn)
    return _broken(of, events, at + 1)
