"""Bytes that come late, to some, or never; voters who differ about them; nobody honest pays."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from fednode.auditing import run_audit
from fednode.roles.participant import HELD, Participant
from fednode.roles.proposer import Proposer
from fednode.roles.role import Progress, Role
from ledger.artefacts import result_artefact
from ledger.audit.sources import evidence_from_chain
from ledger.chain.errors import ContractRejected
from ledger.cid import CID, Codec
from ledger.members import Participant as Member
from ledger.nodes import Reason, in_order
from ledger.proceedings import Fate, Outcome, Proposal, Round
from ledger.proofs import OpenTree, charge
from ledger.round import NOTHING
from ledger.round import Outcome as Result
from ledger.state import FederationState, Phase
from ledger.stores import Artefact, BlockNotFound
from ledger.types import Digest
from tests.federations import Cast, Hospital, Peers, in_phase, opened, owed, play
from tests.fednode.roles.conftest import Found
from tests.fednode.roles.test_charging import BURNED, charges
from tests.fednode.roles.test_reveal import reasons, store

STAKE, BOND, FEE, REJECTION, EARNED = 10**17, 10**16, 10**15, 2 * 10**15, 10**12
OWNER = 3


class Withholder(Participant):
    """Commits to round 0, and leaves it to the test who gets the bytes."""

    def _publish(self, member: Member) -> bool:
        return self._federation.state.round.index > 0 and super()._publish(member)


class Silent(Participant):
    """Never votes."""

    def _in_round(self, member: Member, phase: Phase) -> bool:
        return phase is not Phase.ATTEST and super()._in_round(member, phase)


class Opinionated(Participant):
    """Votes against everything."""

    def step(self) -> Progress:
        self._voting.judge = lambda *_: False  # type: ignore[method-assign]
        return super().step()


def acting(kind: type[Participant], hospital: Hospital) -> Participant:
    """Start a participant that behaves in a way of its own."""
    view = hospital.view()
    return kind(view, hospital.account, hospital.trainer(view), hospital.journal)


def founded(start: Found, *, rounds: int = 1) -> Cast:
    """Found a federation in which an opinion could cost something: whatever is wrongly taken from
    anybody shows.
    """
    prices = {
        "stake": STAKE,
        "proposer_bond": BOND,
        "challenge_bond": BOND,
        "rejection_fee": REJECTION,
        "unavailable_fee": FEE,
    }
    return start(
        rounds=rounds,
        stake={name: str(amount) for name, amount in prices.items()},
        fees={"attester": str(EARNED)},
        windows={"unbonding": 86_400},
    )


def cast_with_a_withholder(start: Found) -> tuple[Cast, list[Role], Artefact]:
    """Play until all have committed to round 0 and all but one have published; give its update."""
    cast = founded(start)
    roles: list[Role] = list(cast.roles())
    roles[OWNER] = acting(Withholder, cast.hospitals[OWNER])
    play(cast, lambda: roles[:4], until=in_phase(Phase.PROPOSE))
    for role in roles[:4]:
        role.step()
    update = cast.hospitals[OWNER].journal.update(0)
    assert update is not None
    return cast, roles, update.artefact


def last_moment(cast: Cast, artefact: Artefact, lucky: Sequence[int]) -> None:
    """Give an update to some, a second before the reveal deadline; nobody else can reach it yet."""
    closed = cast.state().round.closed
    assert closed is not None
    cast.stage.engine.hurry(closed.reveal_deadline - 1)
    for place, hospital in enumerate(cast.hospitals):
        if place in lucky:
            hospital.store.put(artefact)
        else:
            store(hospital).deaf |= set(artefact.blocks)


def past_the_reveal(cast: Cast) -> None:
    closed = cast.state().round.closed
    assert closed is not None
    cast.stage.engine.hurry(closed.reveal_deadline)


def connect(cast: Cast) -> None:
    """Let everybody reach everybody."""
    for hospital in cast.hospitals:
        store(hospital).deaf.clear()


def holders(cast: Cast, artefact: Artefact) -> list[int]:
    """Name the participants whose nodes noted an update before the reveal deadline."""
    name = artefact.roots[0].digest.hex()
    notes = [hospital.journal.listed(0, HELD) for hospital in cast.hospitals]
    return [place for place, held in enumerate(notes) if name in held]


def votes(state: FederationState, attempt: int = 0) -> dict[int, bool]:
    return dict(sorted(state.rounds[0].proposals[attempt].votes.items()))


def nobody_pays(cast: Cast, *, but: int = 0, burned: int = 0) -> None:
    """Nobody lost a stake but the owner's fee, and every wei is where it should be."""
    state = cast.state()
    assert [p.stake for p in state.participants] == [STAKE] * 3 + [STAKE - but]
    assert not any(p.slashed for p in state.participants)
    assert not any(c for r in state.rounds for p in r.proposals for c in p.challenges.all)
    assert cast.stage.chain.balance(BURNED) == but + burned
    assert cast.stage.chain.balance(cast.contract.address) == owed(cast)


def every_vote_earns(state: FederationState) -> None:
    """Votes on settled results earn the same, for or against; silence earns nothing."""
    settled = [accepted.proposal for accepted in state.lineage]
    for place, member in enumerate(state.participants):
        assert member.fees == EARNED * sum(place in result.votes for result in settled)


# -- published to some, at the last moment


def test_a_proposer_that_got_it_in_time_counts_it(start: Found) -> None:
    """The others fetch it from those who have it, after the deadline, and vote for the result."""
    cast, roles, update = cast_with_a_withholder(start)
    last_moment(cast, update, lucky=[0, 1])
    for role in roles[:2]:
        role.step()
    assert holders(cast, update) == [0, 1]
    assert roles[4].step()
    assert cast.state().phase is Phase.ATTEST
    past_the_reveal(cast)
    connect(cast)
    state = play(cast, lambda: roles)
    assert reasons(cast, 1)[OWNER] is Reason.COUNTED
    assert holders(cast, update) == [0, 1]
    assert all(votes(state).values())
    assert len(votes(state)) >= 3
    assert all(h.store.has(cid) for h in cast.hospitals[:3] for cid in update.blocks)
    nobody_pays(cast)


def test_what_more_than_half_held_is_counted_in_the_next_attempt(start: Found) -> None:
    """The proposer in turn does not get it, and says so in good faith. Those who held it vote its
    result down, and it pays the fee for that, no more; nobody is charged for the update.
    """
    cast, roles, update = cast_with_a_withholder(start)
    last_moment(cast, update, lucky=[1, 2, 3])
    for role in roles[1:4]:
        role.step()
    assert holders(cast, update) == [1, 2, 3]
    past_the_reveal(cast)
    roles[4].step()
    assert cast.state().phase is Phase.ATTEST
    connect(cast)
    state = play(cast, lambda: roles)
    first, second = state.rounds[0].proposals
    assert (first.fate, second.fate) == (Fate.REJECTED, Fate.SETTLED)
    assert list(votes(state).values()).count(False) == 3
    assert all(votes(state, attempt=1).values())
    assert reasons(cast, 1)[OWNER] is Reason.COUNTED
    bonds = BOND - REJECTION
    proposer = cast.contract.credit(cast.federation, cast.hospitals[0].account.address)
    assert proposer.ethers == bonds
    assert not charges(cast)
    nobody_pays(cast, burned=REJECTION)


def test_what_fewer_held_is_unavailable(start: Found) -> None:
    """One got it and votes against; most did not. The result stands, the owner pays its fee, and
    who was outvoted pays nothing, and earns what the others earn.
    """
    cast, roles, update = cast_with_a_withholder(start)
    last_moment(cast, update, lucky=[1])
    roles[1].step()
    assert holders(cast, update) == [1]
    past_the_reveal(cast)
    play(cast, lambda: roles, until=opened(1))
    connect(cast)
    state = play(cast, lambda: roles, until=lambda s: s.settled and bool(s.participants[3].charged))
    assert reasons(cast, 1)[OWNER] is Reason.UNAVAILABLE
    assert votes(state) == {0: True, 1: False, 2: True, 3: True}
    every_vote_earns(state)
    assert [event.participant for event in charges(cast)] == [OWNER]
    nobody_pays(cast, but=FEE)


def test_a_tie_about_what_half_held_rejects(start: Found) -> None:
    """Two held it, two did not: neither side has a quorum, and more for than against it needs."""
    cast, roles, update = cast_with_a_withholder(start)
    last_moment(cast, update, lucky=[1, 2])
    for role in roles[1:3]:
        role.step()
    past_the_reveal(cast)
    roles[4].step()
    play(cast, lambda: roles, until=lambda s: bool(s.round.attempt))
    connect(cast)
    state = play(cast, lambda: roles)
    first, second = state.rounds[0].proposals
    assert votes(state) == {0: True, 1: False, 2: False, 3: True}
    assert (first.fate, second.fate) == (Fate.REJECTED, Fate.SETTLED)
    assert reasons(cast, 1)[OWNER] is Reason.COUNTED
    assert not charges(cast)
    nobody_pays(cast)


def test_members_fetch_from_each_other(start: Found) -> None:
    """The owner gives its update to one member and is gone for ever: all have it from that one."""
    cast, roles, update = cast_with_a_withholder(start)
    last_moment(cast, update, lucky=[1])
    gone = store(cast.hospitals[OWNER])
    gone.silent |= set(update.blocks)
    connect(cast)
    assert not any(cast.hospitals[place].store.has(update.roots[0]) for place in (0, 2, 3))
    here = [role for place, role in enumerate(roles) if place % 4 != OWNER]
    state = play(cast, lambda: here, until=opened(1))
    assert votes(state) == {0: True, 1: True, 2: True}
    assert holders(cast, update) == [0, 1, 2]
    assert reasons(cast, 1)[OWNER] is Reason.COUNTED
    assert all(h.store.has(cid) for h in cast.hospitals[:3] for cid in update.blocks)
    assert not any(gone.has(cid) for cid in update.blocks)
    nobody_pays(cast)


def test_who_fetched_last_can_show_it_to_an_auditor(start: Found) -> None:
    cast, roles, update = cast_with_a_withholder(start)
    last_moment(cast, update, lucky=[1])
    connect(cast)
    play(cast, lambda: roles)
    deployers = [cast.stage.accounts[0].address]
    own = store(cast.hospitals[2]).own
    verdict = run_audit(
        evidence_from_chain(cast.contract, cast.federation, own, deployers=deployers)
    )
    assert verdict.holds, verdict.finding


class Slow(Peers):
    """Finds out that blocks are missing only when others have arrived, as over a network."""

    def __init__(
        self, network: list[Peers], missing: set[CID], arrived: Callable[[], bool]
    ) -> None:
        super().__init__(network)
        self._missing, self._arrived = missing, arrived

    def get(self, cid: CID) -> bytes:
        if cid in self._missing:
            until = time.monotonic() + 60
            while not self._arrived():
                assert time.monotonic() < until, "the others' updates wait for a missing one"
                time.sleep(0.01)
            raise BlockNotFound(cid, "peers")
        return super().get(cid)


def test_withheld_updates_do_not_hold_up_the_others(start: Found) -> None:
    """Two that were committed first are missing; the others are held in time all the same."""
    cast = founded(start)
    roles = cast.roles()
    play(cast, lambda: roles[:4], until=in_phase(Phase.PROPOSE))
    for role in roles[:4]:
        role.step()
    commits = [commit.digest.hex() for commit in cast.state().round.commits]
    hospital = cast.hospitals[3]

    def arrived() -> bool:
        return {*commits[2:]} <= {*hospital.journal.listed(0, HELD)}

    missing = {CID(Codec.RAW, Digest(bytes.fromhex(digest))) for digest in commits[:2]}
    slow = replace(hospital, store=Slow(store(hospital)._others, missing, arrived))
    node = slow.participant()
    assert node.step() is Progress.WAITING
    assert set(hospital.journal.listed(0, HELD)) >= set(commits[2:])


# -- a proposer who says that others' bytes cannot be had


class Denier(Proposer):
    """Says in its first attempt that an update cannot be had which everybody has."""

    def _prepared(self, round_: Round) -> tuple[Result, Digest] | None:
        if round_.attempt or round_.index:
            return super()._prepared(round_)
        slots = [
            replace(slot, published=NOTHING) if slot.participant == OWNER else slot
            for slot in self._federation.slots(round_)
        ]
        outcome = self._federation.compose(round_, slots)
        artefact, index = result_artefact(outcome)
        self._federation.store.put(artefact)
        return outcome, index


def test_who_denies_what_others_hold_pays_a_fee_and_is_corrected(start: Found) -> None:
    cast = founded(start)
    roles: list[Role] = list(cast.roles())
    play(cast, lambda: roles[:4], until=in_phase(Phase.PROPOSE))
    for role in [*roles[:4], *roles[:4]]:
        role.step()
    denier = Denier(cast.hospitals[0].view(), cast.hospitals[0].account)
    state = play(cast, lambda: [*roles[:4], denier, *roles[5:]])
    denied, right = state.rounds[0].proposals
    assert denied.proposer == cast.hospitals[0].account.address
    assert (denied.fate, right.fate) == (Fate.REJECTED, Fate.SETTLED)
    assert True not in votes(state).values()
    assert reasons(cast, 1)[OWNER] is Reason.COUNTED
    left = cast.contract.credit(cast.federation, denied.proposer).ethers
    assert left == BOND - REJECTION
    assert not charges(cast)
    nobody_pays(cast, burned=REJECTION)
    with pytest.raises(ContractRejected, match="NothingToCharge"):
        accuse(cast, denied)


def accuse(cast: Cast, proposal: Proposal) -> None:
    """Charge by what a proposal says, whatever became of it."""
    view = cast.hospitals[1].view()
    round_ = view.state.rounds[proposal.round]
    reader = view.replica.proposed(round_, proposal)
    levels = reader.levels(round_.slots)
    nodes = OpenTree.of([node.encode() for node in in_order(levels)])
    entries = [Reason(entry.reason) for entry in levels[0][0].entries[: round_.slots]]
    evidence = charge(reader.header, nodes, entries.index(Reason.UNAVAILABLE))
    account = cast.stage.accounts[9]
    cast.contract.charge_unavailable(account, cast.federation, proposal.result, evidence)


def test_a_void_round_charges_nobody(start: Found) -> None:
    """Every attempt says that the update cannot be had, and every one is voted down."""
    cast, roles, _ = cast_with_a_withholder(start)
    cynics: list[Role] = [acting(Opinionated, hospital) for hospital in cast.hospitals[:3]]
    past_the_reveal(cast)
    state = play(cast, lambda: [*cynics, *roles[3:]], until=opened(1))
    assert state.rounds[0].outcome is Outcome.VOID
    assert [p.fate for p in state.rounds[0].proposals] == [Fate.REJECTED] * 3
    for proposal in state.rounds[0].proposals:
        with pytest.raises(ContractRejected, match="NothingToCharge"):
            accuse(cast, proposal)
    play(cast, cast.roles)
    assert not charges(cast)
    nobody_pays(cast, burned=3 * REJECTION)


# -- a committee of which a part is silent


@pytest.mark.parametrize(
    ("silent", "against", "accepted"),
    [
        ([3], [], True),
        pytest.param([2, 3], [], True, marks=pytest.mark.slow),
        pytest.param([1, 2, 3], [], False, marks=pytest.mark.slow),
        pytest.param([0, 1, 2, 3], [], False, marks=pytest.mark.slow),
        pytest.param([3], [2], True, marks=pytest.mark.slow),
        ([2, 3], [1], False),
        pytest.param([], [2, 3], False, marks=pytest.mark.slow),
    ],
)
def test_a_silent_part_of_the_committee(
    start: Found, silent: list[int], against: list[int], accepted: bool
) -> None:
    """Without a quorum it takes half of the four seats, and more for than against. Whatever comes
    of it costs no voter anything, nor the proposer, and the silent earn nothing.
    """
    cast = founded(start)
    kinds = {**dict.fromkeys(silent, Silent), **dict.fromkeys(against, Opinionated)}
    people = [acting(kinds.get(p, Participant), h) for p, h in enumerate(cast.hospitals)]
    roles: list[Role] = [*people, *cast.roles()[4:]]

    def decided(state: FederationState) -> bool:
        first = state.rounds[0].proposals if state.rounds else []
        return bool(first) and first[0].fate is not Fate.STANDING

    state = play(cast, lambda: roles, until=decided)
    proposal = state.rounds[0].proposals[0]
    assert proposal.fate is (Fate.ACCEPTED if accepted else Fate.REJECTED)
    assert set(proposal.votes).isdisjoint(silent)
    quorum = 3
    early = max(proposal.count(True), proposal.count(False)) >= quorum
    assert (cast.stage.chain.now() > proposal.attest_deadline) is not early
    nobody_pays(cast)
    state = play(cast, cast.roles)
    assert state.rounds[0].outcome is Outcome.ACCEPTED
    every_vote_earns(state)
    nobody_pays(cast)
