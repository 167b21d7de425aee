"""Federations that are measured on rows which somebody keeps back, from creation to audit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fednode.auditing import run_audit
from fednode.data.salted import SaltedRows
from fednode.evaluation import shards
from fednode.evaluation.evaluator import ExactEvaluator
from fednode.evaluation.slices import Slices, cut
from fednode.federation import Federation
from fednode.remeasuring import NotTheRows, read_rows
from fednode.roles.holder import Holder, NotTheHolder
from fednode.roles.journal import Journal, PreparedUpdate
from fednode.roles.participant import Participant
from fednode.roles.role import Progress, Role
from fednode.roles.trainer import Trainer
from fednode.site import evaluation_rows, open_sites, slice_rows
from fednode.training.task import open_task
from incentives.valuation import LeaveOneOut
from ledger import artefacts, cbor
from ledger.audit.quality import first_and_last
from ledger.audit.verdict import Lack, Verdict
from ledger.chain.accounts import Account
from ledger.cid import CID, Codec
from ledger.erasure import Erasure, declarations, honour
from ledger.headers import UpdateHeader
from ledger.members import Participant as Member
from ledger.nodes import Reason
from ledger.proceedings import Outcome, Round
from ledger.round import Records
from ledger.state import FederationState, Phase
from ledger.stores import Artefact
from ledger.types import Digest, ParticipantId, RoundIndex
from tests.federations import Changes, GivenTask, policy_of
from tests.fednode.roles.reference import SECRET, Contract, Theatre, address
from tests.tamper.world import CREATOR, STRANGER, account

POOL = 10**18
HOLDERS = b"the holder's own secret"


def terms(mode: str, *, rounds: int, **evaluation: object) -> dict[str, Changes]:
    return {
        "task": {"model": "logistic", "options": {}},
        "training": {"rounds": rounds},
        "evaluation": {"mode": mode, "rows": 60, **evaluation},
        "valuation": {"kind": "leave-one-out" if mode == "shards" else "exact"},
        "reward": {"pool": str(POOL), "target": 50_000},
    }


def audited(theatre: Theatre) -> Verdict:
    return run_audit(replace(theatre.world.evidence(), store=theatre.blocks))


def headline(theatre: Theatre, verdict: Verdict) -> str:
    """Check that a report's quality is the one that `status` shows, and return the rows' mode."""
    trail = theatre.view().replica.trail()
    assert first_and_last(verdict) == (trail[0], trail[-1])
    last = [r.utility_after for r in verdict.rounds if r.utility_after is not None][-1]
    assert last != trail[-1]
    return verdict.terms.evaluation


def records(theatre: Theatre) -> list[Records]:
    view = theatre.view()
    return [view.replica.reader(accepted).records() for accepted in view.state.lineage]


def reasons(theatre: Theatre, height: int) -> set[int]:
    view = theatre.view()
    accepted = view.state.lineage[height - 1]
    slots = len(view.state.rounds[accepted.round].commits)
    levels = view.replica.reader(accepted).levels(slots)
    return {entry.reason for entry in levels[0][0].entries[:slots]}


# -- shards


@pytest.fixture
def by_shards(tmp_path: Path) -> Callable[..., Theatre]:
    def found(*, rounds: int = 4, **more: object) -> Theatre:
        policy = policy_of("digits", **terms("shards", rounds=rounds, **more))
        return Theatre.found(policy, tmp_path)

    return found


def test_shards_value_every_round_one_result_later(by_shards: Callable[..., Theatre]) -> None:
    theatre = by_shards(rounds=4)
    state = theatre.play(theatre.roles())
    assert [round_.outcome for round_ in state.rounds] == [Outcome.ACCEPTED] * 4
    assert [len(r.utilities) for r in records(theatre)] == [0, 6, 6, 6]
    for height in (1, 2, 3):
        assert records(theatre)[height].utilities == measured(theatre, height)
    verdict = audited(theatre)
    assert verdict.holds, verdict.finding
    gains = [r.utilities[-1] - r.utilities[0] for r in records(theatre) if r.utilities]
    assert records(theatre)[-1].header.gain == sum(gains)
    before = [summary.utility_before for summary in verdict.rounds]
    assert before == [r.utilities[0] for r in records(theatre)[1:]] + [None]
    assert headline(theatre, verdict) == "shards"


def measured(theatre: Theatre, height: int) -> tuple[int, ...]:
    """Count everything anew from the sites' rows, one shard and one coalition at a time."""
    view = theatre.view()
    book, accepted = view.rulebook, view.state.lineage[height - 1]
    players, before = view.replica.players(accepted), view.replica.model(height - 1)
    rates = []
    for mask in LeaveOneOut().coalitions(len(players.participants)):
        right = total = 0
        for owner, site in enumerate(theatre.sites):
            assert site.shard is not None
            members = [i for i in range(4) if mask >> i & 1 and i != owner]
            updates = [players.updates[i] for i in members]
            model = book.rules.aggregate(before, updates, [players.weights[i] for i in members])
            evaluator = book.measuring(site.shard)
            assert isinstance(evaluator, ExactEvaluator)
            right += shards.coarse(evaluator.counts([model])[0], len(site.shard))
            total += len(site.shard)
        rates.append(right * 1_000_000 // total)
    return tuple(rates)


def test_a_periods_last_round_carries_counts_and_trains_nothing(
    by_shards: Callable[..., Theatre],
) -> None:
    theatre = by_shards(rounds=3)
    theatre.play(theatre.roles())
    assert [reasons(theatre, height) for height in (1, 2, 3)] == [
        {Reason.COUNTED},
        {Reason.COUNTED},
        {Reason.IDLE},
    ]
    view = theatre.view()
    assert np.array_equal(view.replica.model(3), view.replica.model(2))
    assert not np.array_equal(view.replica.model(2), view.replica.model(1))
    last = view.state.rounds[2].commits[0]
    published = artefacts.read_update(view.store, last.digest, view.replica.policy.leaves)
    assert published.payload is not None
    assert not any(published.payload.data)


def test_too_few_shards_add_nothing_and_the_model_goes_on(
    by_shards: Callable[..., Theatre],
) -> None:
    theatre = by_shards(rounds=3, least_shards=3)
    people: list[Role] = [theatre.participant(place, shard=place < 2) for place in range(4)]
    theatre.play([*people, *(theatre.proposer(place) for place in range(4))])
    assert [r.utilities for r in records(theatre)] == [(), (), ()]
    assert not any(leaf.value or leaf.score for leaf in records(theatre)[-1].values)
    assert records(theatre)[-1].header.payout_total == 0
    view = theatre.view()
    assert not np.array_equal(view.replica.model(2), view.replica.model(1))
    assert audited(theatre).holds


def test_some_shards_are_enough(by_shards: Callable[..., Theatre]) -> None:
    theatre = by_shards(rounds=2)
    people: list[Role] = [theatre.participant(place, shard=place < 2) for place in range(4)]
    theatre.play([*people, *(theatre.proposer(place) for place in range(4))])
    assert [len(r.utilities) for r in records(theatre)] == [0, 6]
    assert audited(theatre).holds


def test_who_lacks_an_update_sends_none_of_its_counts(by_shards: Callable[..., Theatre]) -> None:
    theatre = by_shards(rounds=2)
    roles = theatre.roles()
    state = theatre.play(roles, until=lambda state: len(state.rounds) > 1)
    lost = CID(Codec.RAW, state.rounds[0].commits[1].digest)
    theatre.stores[3].own.blocks.pop(lost, None)
    theatre.stores[3].deaf.add(lost)
    theatre.play(roles)
    view = theatre.view()
    leaves = view.replica.policy.leaves
    carried = {
        commit.participant: artefacts.read_update(view.store, commit.digest, leaves).evaluation
        for commit in view.state.rounds[1].commits
    }
    assert {owner for owner, data in carried.items() if data is None} == {3}
    assert audited(theatre).holds


def test_statistics_come_first(tmp_path: Path) -> None:
    changes = terms("shards", rounds=2, metric="accuracy")
    del changes["task"]
    theatre = Theatre.found(policy_of("heart", **changes), tmp_path)
    theatre.play(theatre.roles())
    assert [len(r.utilities) for r in records(theatre)] == [0, 0, 6]
    assert [site.shard is None for site in theatre.sites] == [False, False, True, False]
    assert audited(theatre).holds


# -- slices


class Stage:
    """A theatre with its slices, and whoever takes part."""

    def __init__(self, folder: Path, *, rounds: int, **more: object) -> None:
        policy = policy_of("digits", **terms("slices", rounds=rounds, **more))
        rows = slice_rows(policy, open_sites(policy, public_rows=True))
        self.slices = cut(SaltedRows.draw(rows, HOLDERS), policy.slices)
        self.theatre = Theatre.found(policy, folder, slices=self.slices)
        self.holder = self.theatre.holder(self.slices)

    def play(self, *more: Role, until: Callable[[FederationState], bool] | None = None) -> None:
        roles = [*self.theatre.roles(), *more]
        self.theatre.play(roles, until=until or (lambda state: state.settled))

    def own(self, height: int) -> tuple[int, ...]:
        """Measure a round on what the holder has for it."""
        view = self.theatre.view()
        accepted = view.state.lineage[height - 1]
        number = view.state.slice_number(view.state.rounds[accepted.round])
        players, before = view.replica.players(accepted), view.replica.model(height - 1)
        everybody = range(1 << len(players.participants))
        models = view.rulebook.rules.models(before, players, everybody)
        return view.rulebook.measuring(self.slices.parts[number].rows).utilities(models)


def test_every_round_is_measured_on_a_slice_of_its_own(tmp_path: Path) -> None:
    stage = Stage(tmp_path, rounds=3)
    stage.play(stage.holder)
    found = records(stage.theatre)
    assert [r.utilities for r in found] == [stage.own(height) for height in (1, 2, 3)]
    assert found[0].utilities[-1] != found[1].utilities[0]
    assert found[-1].header.gain == sum(r.utilities[-1] - r.utilities[0] for r in found)
    verdict = audited(stage.theatre)
    assert verdict.holds, verdict.finding
    assert not [note for note in verdict.notes if "slice" in note]
    assert headline(stage.theatre, verdict) == "slices"


def test_no_slice_is_known_before_all_have_committed(tmp_path: Path) -> None:
    stage = Stage(tmp_path, rounds=2)
    roots = [stage.slices.opened(number).roots[0] for number in range(2)]
    seen: list[tuple[Phase, int]] = []

    def watched(state: FederationState) -> bool:
        opened = sum(any(s.own.has(root) for s in stage.theatre.stores) for root in roots)
        seen.append((state.phase, opened - state.round.index))
        return state.settled

    stage.play(stage.holder, until=watched)
    assert {opened for phase, opened in seen if phase is Phase.COMMIT} == {0}
    assert (Phase.PROPOSE, 1) in seen


def test_without_a_holder_nothing_is_valued_and_training_goes_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path, rounds=2)
    stage.play()
    found = records(stage.theatre)
    assert [r.utilities for r in found] == [(), ()]
    assert found[-1].header.payout_total == 0
    assert not np.array_equal(stage.theatre.view().replica.model(2), np.zeros(0))
    assert stage.theatre.view().released_version() == 2
    assert audited(stage.theatre).holds


class Announcer:
    """Announces a digest as every round's slice, as soon as it may."""

    def __init__(self, theatre: Theatre, who: int, digest: Callable[[Round], Digest]) -> None:
        self._theatre, self._who, self._digest = theatre, who, digest

    def step(self) -> Progress:
        state = self._theatre.world.replica.state
        who = account(self._who)
        mine = [e for e in state.round.slices if e.account == who.address] if state.rounds else []
        if state.phase is not Phase.PROPOSE or mine:
            return Progress.WAITING
        self.announce(state, who)
        return Progress.ACTED

    def announce(self, state: FederationState, who: Account) -> None:
        """Announce in somebody's name."""
        Contract(self._theatre.world).open_slice(
            who, state.federation, state.round.index, self._digest(state.round)
        )


def test_nobody_can_open_a_slice_in_the_holders_place(tmp_path: Path) -> None:
    stage = Stage(tmp_path, rounds=2)
    stranger = Announcer(stage.theatre, STRANGER, lambda _: Digest(b"x" * 32))
    roles: list[Role] = [stranger, *stage.theatre.roles(), stage.holder]
    stage.theatre.play(roles)
    assert [r.utilities for r in records(stage.theatre)] == [stage.own(1), stage.own(2)]
    assert audited(stage.theatre).holds


class Wavering:
    """Announces something else as soon as the round's slice has been announced by its account."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def step(self) -> Progress:
        state = self._stage.theatre.world.replica.state
        if state.phase is Phase.PROPOSE and len(state.round.slices) == 1:
            other = Announcer(self._stage.theatre, STRANGER, lambda _: Digest(b"y" * 32))
            other.announce(state, account(CREATOR))
        return Progress.WAITING


def test_of_the_holders_announcements_the_first_counts(tmp_path: Path) -> None:
    stage = Stage(tmp_path, rounds=1)
    stage.theatre.play([*stage.theatre.roles(), stage.holder, Wavering(stage)])
    assert len(stage.theatre.world.replica.state.rounds[0].slices) == 2
    assert [r.utilities for r in records(stage.theatre)] == [stage.own(1)]


def test_another_rounds_slice_measures_nothing(tmp_path: Path) -> None:
    """The holder opens slice 0 twice: everybody could have trained on it by then."""
    stage = Stage(tmp_path, rounds=2)
    again = stage.slices.opened(0)
    stage.theatre.blocks.put(again)
    holder = Announcer(stage.theatre, CREATOR, lambda _: again.roots[0].digest)
    stage.play(holder)
    found = records(stage.theatre)
    assert [r.utilities for r in found] == [stage.own(1), ()]
    assert audited(stage.theatre).holds


def test_a_slice_that_nobody_can_fetch_is_none(tmp_path: Path) -> None:
    stage = Stage(tmp_path, rounds=1)
    hidden = stage.slices.opened(0)
    holder = Announcer(stage.theatre, CREATOR, lambda _: hidden.roots[0].digest)
    stage.play(holder)
    assert [r.utilities for r in records(stage.theatre)] == [()]
    assert audited(stage.theatre).holds
    stage.theatre.blocks.put(hidden)
    verdict = audited(stage.theatre)
    assert verdict.holds
    assert any("its slice of evaluation rows can be had now" in note for note in verdict.notes)


NOBODYS = CID.of(Codec.DAG_CBOR, b"nobody has it")


def _rows(stage: "Stage", **changes: cbor.Value) -> Artefact:
    """Open a slice whose rows say something else than what they are."""
    opened = stage.slices.opened(0)
    record: Any = cbor.decode(opened.blocks[opened.roots[0]])
    rows: Any = cbor.decode(opened.blocks[record["rows"]])
    cid, data = artefacts.record({**rows, **changes})
    root, slice_ = artefacts.record({**record, "rows": cid})
    return Artefact((root,), {**opened.blocks, cid: data, root: slice_})


def _slice(stage: "Stage", **changes: cbor.Value) -> Artefact:
    opened = stage.slices.opened(0)
    record: Any = cbor.decode(opened.blocks[opened.roots[0]])
    root, slice_ = artefacts.record({**record, **changes})
    return Artefact((root,), {**opened.blocks, root: slice_})


HOSTILE: dict[str, Callable[["Stage"], Artefact]] = {
    "True for an axis": lambda stage: _rows(stage, shape=[1, 8, True]),
    "True for the number of rows": lambda stage: _rows(stage, rows=True),
    "rows of another shape": lambda stage: _rows(stage, shape=[64]),
    "a number for a list": lambda stage: _rows(stage, features=1),
    "links that nobody has": lambda stage: _slice(stage, path=[NOBODYS]),
    "a map in its path": lambda stage: _slice(stage, path=[{"": None}]),
    "salts of another codec": lambda stage: _slice(stage, salts=NOBODYS),
    "rows that nobody has": lambda stage: _slice(stage, rows=stage.slices.opened(0).roots[0]),
}


@pytest.mark.parametrize("bad", HOSTILE.values(), ids=HOSTILE)
def test_no_slice_ends_a_node(tmp_path: Path, bad: Callable[["Stage"], Artefact]) -> None:
    """It measures nothing, in votes, disputes and audits alike, and is read again at each start."""
    stage = Stage(tmp_path, rounds=1)
    artefact = bad(stage)
    stage.theatre.blocks.put(artefact)
    stage.play(Announcer(stage.theatre, CREATOR, lambda _: artefact.roots[0].digest))
    assert [r.utilities for r in records(stage.theatre)] == [()]
    assert audited(stage.theatre).holds
    for place in range(4):
        stage.theatre.participant(place).step()
        stage.theatre.proposer(place).step()


def test_a_void_round_uses_up_its_slice(tmp_path: Path) -> None:
    stage = Stage(tmp_path, rounds=1, slices=2)
    theatre = stage.theatre
    people = [theatre.participant(place) for place in range(4)]
    theatre.play([*people, stage.holder], until=lambda state: len(state.rounds) > 1)
    assert theatre.world.replica.state.rounds[0].outcome is Outcome.VOID
    stage.play(stage.holder)
    assert records(theatre)[0].utilities == stage.own(1)
    state = theatre.world.replica.state
    opened = [round_.slices[0].digest for round_ in state.rounds]
    assert opened == [stage.slices.opened(n).roots[0].digest for n in (0, 1)]


def test_a_result_that_passes_over_a_held_slice_is_voted_down(tmp_path: Path) -> None:
    stage = Stage(tmp_path, rounds=1)
    theatre = stage.theatre
    people = [theatre.participant(place) for place in range(4)]
    roles: list[Role] = [*people, stage.holder]
    theatre.play(roles, until=lambda state: bool(state.rounds) and bool(state.round.slices))
    for person in people:
        person.step()
    for person in people:
        person.step()
    view = theatre.view()
    round_ = view.state.round
    slots = view.replica.slots(round_, [view.published(commit) for commit in round_.commits])
    outcome = view.compose(round_, slots, unopened=True)
    artefact, index = artefacts.result_artefact(outcome)
    theatre.stores[0].put(artefact)
    assert outcome.records.utilities == ()
    assert round_.closed is not None
    theatre.world.wait(round_.closed.reveal_deadline)
    theatre.world.propose(address(0), outcome.header, index)
    theatre.play(people, until=lambda state: state.phase is not Phase.ATTEST)
    votes = theatre.world.replica.state.rounds[0].proposals[0].votes
    assert list(votes.values()).count(False) >= 3
    assert True not in votes.values()


def test_nothing_is_proposed_while_the_slice_may_come(tmp_path: Path) -> None:
    """All bytes are there, the contract would refuse: so the proposer in turn waits."""
    stage = Stage(tmp_path, rounds=1)
    theatre = stage.theatre
    roles = [*theatre.roles(), stage.holder]
    theatre.play(roles, until=lambda state: bool(state.rounds) and bool(state.round.slices))
    state = theatre.world.replica.state
    assert [theatre.proposer(place).step() for place in range(4)] == [Progress.WAITING] * 4
    assert not state.round.proposals
    theatre.play(roles)
    closed = state.rounds[0].closed
    assert closed is not None
    assert state.rounds[0].proposals[0].meta.timestamp >= closed.reveal_deadline


def test_only_the_holder_with_the_promised_rows_opens_slices(tmp_path: Path) -> None:
    stage = Stage(tmp_path, rounds=2)
    with pytest.raises(NotTheHolder, match="holder"):
        stage.theatre.holder(stage.slices, who=STRANGER)
    with pytest.raises(NotTheHolder, match="root"):
        Holder(stage.theatre.view(), account(CREATOR), Slices(stage.slices.parts[:1]))


def test_voters_keep_the_slice(tmp_path: Path) -> None:
    stage = Stage(tmp_path, rounds=1)
    stage.play(stage.holder)
    stage.theatre.stores[-1].silent.update(stage.slices.opened(0).blocks)
    evidence = replace(stage.theatre.world.evidence(), store=stage.theatre.stores[1])
    assert run_audit(evidence).holds


# -- measured again on the original rows


def again(theatre: Theatre, *rows: SaltedRows) -> Verdict:
    evidence = replace(theatre.world.evidence(), store=theatre.blocks)
    return run_audit(evidence, rows=rows)


def files(theatre: Theatre) -> list[SaltedRows]:
    return [site.salted_shard(SECRET) for site in theatre.sites if site.shard is not None]


def test_an_auditor_with_the_rows_counts_all_shards_again(
    by_shards: Callable[..., Theatre], tmp_path: Path
) -> None:
    theatre = by_shards(rounds=3)
    theatre.play(theatre.roles())
    for number, shard in enumerate(files(theatre)):
        shard.save(tmp_path / f"rows-{number}")
    folder = tmp_path / "shown"
    folder.mkdir()
    (tmp_path / "rows-1").rename(folder / "a")
    assert len(read_rows(folder)) == 1
    assert again(theatre, *read_rows(folder)).holds
    plain, full = audited(theatre), again(theatre, *files(theatre))
    assert full.holds
    assert len(full.checks) == len(plain.checks) + 2 * 4
    assert (plain.remeasured, full.remeasured) == (0, 2 * 4)


class Liar(Trainer):
    """Counts its neighbours' coalitions as all wrong, and the model before them as all right."""

    def prepare(
        self, federation: Federation, member: Member, round_: Round, journal: Journal
    ) -> PreparedUpdate:
        honest = super().prepare(federation, member, round_, journal)
        header = UpdateHeader.decode(honest.artefact.blocks[CID(Codec.RAW, honest.digest)])
        if not any(header.evaluation):
            return honest
        true = honest.artefact.blocks.get(CID(Codec.DAG_CBOR, Digest(header.evaluation)))
        assert true is not None
        counted = shards.read(true, Digest(header.common.parent))
        false = replace(counted, counts=(counted.total, *(0 for _ in counted.counts[1:])))
        cid, data = false.artefact(Digest(header.common.parent))
        header = replace(header, evaluation=cid.digest)
        head = artefacts.raw(header.encode())
        own = Artefact((head[0], cid), {head[0]: head[1], cid: data})
        return replace(honest, digest=header.digest(), artefact=honest.artefact.merge(own))


def test_a_lie_about_a_shard_passes_the_audit_but_not_with_its_rows(
    by_shards: Callable[..., Theatre],
) -> None:
    theatre = by_shards(rounds=2)
    view, site = theatre.view(2), theatre.sites[2]
    task = GivenTask(open_task(theatre.policy.model_spec), view.rulebook.layout, {})
    journal = Journal(theatre.folder / site.name, theatre.world.federation)
    liar = Participant(view, account(4), Liar(task, site.train, site.shard), journal)
    roles = theatre.roles()
    theatre.play([*roles[:2], liar, *roles[3:]])
    assert audited(theatre).holds
    assert again(theatre, *files(theatre)[:2]).holds
    verdict = again(theatre, *files(theatre))
    assert not verdict.holds
    assert verdict.finding is not None
    assert verdict.finding.signer == address(2)
    assert "the counts of participant 2 on its shard" in verdict.finding.subject
    assert sum(not check.ok for check in verdict.checks) == 1


def declare(theatre: Theatre, place: int, rounds: list[int], *, root: Digest) -> None:
    """Let a site declare an erasure, and every store honour it."""
    world = theatre.world
    record = Erasure(world.federation, ParticipantId(place), tuple(map(RoundIndex, rounds)), 1)
    theatre.blocks.put(record.artefact())
    world.amend_dataset(place, root=root, erasure=record.artefact().roots[0].digest)
    for store in theatre.stores:
        honour(store, world.replica, list(declarations(store, world.replica.state)))


def test_counts_of_what_was_erased_are_not_made_again(by_shards: Callable[..., Theatre]) -> None:
    """Who erases an update erases the counts in it, and what others counted on it."""
    theatre = by_shards(rounds=3)
    theatre.play(theatre.roles())
    whole = again(theatre, *files(theatre))
    declare(theatre, 1, [1], root=files(theatre)[1].commitment)
    verdict = again(theatre, *files(theatre))
    assert (verdict.word, verdict.finding) == ("erased", None)
    made = [(c.round, c.detail) for c in verdict.checks if c.ok and "on its shard" in c.detail]
    assert made == [(0, f"the counts of participant {n} on its shard") for n in (0, 2, 3)]
    missed = [(c.round, c.lack) for c in verdict.checks[-2:]]
    assert missed == [(0, Lack.ERASED), (1, Lack.ERASED)]
    assert sum("on its shard" in c.detail for c in whole.checks) == 2 * 4


def test_the_counts_of_a_periods_last_round_may_be_erased(
    by_shards: Callable[..., Theatre],
) -> None:
    theatre = by_shards(rounds=3)
    theatre.play(theatre.roles())
    assert reasons(theatre, 3) == {Reason.IDLE}
    declare(theatre, 1, [2], root=files(theatre)[1].commitment)
    verdict = again(theatre, *files(theatre))
    assert (verdict.word, verdict.finding) == ("erased", None)
    assert [(one.participant, one.rounds) for one in verdict.erased] == [(1, (2,))]
    missed = [(c.round, c.step.name, c.lack) for c in verdict.checks if c.lack]
    # The update itself holds zeros, and weighs nothing.
    assert missed == [
        (2, "selection", Lack.ERASED),
        (2, "utilities", Lack.ERASED),
        (1, "utilities", Lack.ERASED),
    ]
    counted = [c.round for c in verdict.checks if c.ok and "on its shard" in c.detail]
    assert counted == [0] * 4 + [1] * 3


def test_counts_of_rows_that_are_erased_are_nobodys_lie(by_shards: Callable[..., Theatre]) -> None:
    """The file of the rows that are left gives other counts than those of before."""
    theatre = by_shards(rounds=2)
    theatre.play(theatre.roles())
    shard = files(theatre)[2]
    rest = shard.take(np.arange(1, len(shard)))
    declare(theatre, 2, [], root=rest.commitment)
    verdict = again(theatre, rest)
    assert (verdict.word, verdict.finding) == ("holds", None)
    assert verdict.notes[-1] == (
        "Round 0: the counts of participant 2 on its shard were of other rows than these."
    )
    assert not any("on its shard" in check.detail for check in verdict.checks)
    assert any("on its shard" in check.detail for check in again(theatre, shard).checks)


def test_rows_of_nobody_are_refused(by_shards: Callable[..., Theatre]) -> None:
    theatre = by_shards(rounds=2)
    theatre.play(theatre.roles())
    with pytest.raises(NotTheRows, match="nobody here has committed"):
        again(theatre, replace(files(theatre)[0], beside=Digest(b"b" * 32)))


def test_an_auditor_with_the_slices_measures_those_that_stayed_closed(tmp_path: Path) -> None:
    stage = Stage(tmp_path, rounds=2)
    stage.play(stage.holder, until=lambda state: len(state.rounds) > 1)
    stage.play()
    assert [r.utilities for r in records(stage.theatre)] == [stage.own(1), ()]
    policy = stage.theatre.policy
    rows = SaltedRows.draw(slice_rows(policy, open_sites(policy, public_rows=True)), HOLDERS)
    verdict = again(stage.theatre, rows)
    assert verdict.holds
    gain = stage.own(2)[-1] - stage.own(2)[0]
    notes = [note for note in verdict.notes if "slice 1 was not opened in time" in note]
    assert notes == [
        f"Round 1: slice 1 was not opened in time; on it the round gained {gain / 1_000_000:+.4f}."
    ]
    with pytest.raises(NotTheRows, match="not those that the policy promised"):
        again(stage.theatre, SaltedRows.draw(rows.rows, b"another secret, not the holder's"))
    with pytest.raises(NotTheRows, match="2 files"):
        again(stage.theatre, rows, rows)


def test_public_rows_that_are_not_the_original_ones_are_refused(tmp_path: Path) -> None:
    policy = policy_of("digits", **terms("public", rounds=1))
    theatre = Theatre.found(policy, tmp_path)
    theatre.play(theatre.roles())
    rows = evaluation_rows(policy, open_sites(policy, public_rows=True))
    assert rows is not None
    assert again(theatre, SaltedRows.draw(rows, SECRET)).holds
    other = replace(rows, labels=(rows.labels + 1) % 10)
    with pytest.raises(NotTheRows, match="not those that the policy published"):
        again(theatre, SaltedRows.draw(other, SECRET))
