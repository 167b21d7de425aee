"""Publishing is the reveal: before the commit phase closes nobody can fetch an update; what never
comes counts for nothing, and what comes late or to some only is told apart.
"""

from fednode.roles.participant import HELD
from fednode.roles.role import Progress, Role
from ledger.cid import CID, Codec
from ledger.nodes import Reason
from ledger.proceedings import Outcome
from ledger.state import FederationState, Phase
from tests.federations import Cast, Hospital, Peers, in_phase, opened, play
from tests.fednode.roles.conftest import Found


def store(hospital: Hospital) -> Peers:
    assert isinstance(hospital.store, Peers)
    return hospital.store


def update_blocks(hospital: Hospital, round_index: int) -> list[CID]:
    update = hospital.journal.update(round_index)
    return list(update.artefact.blocks) if update is not None else []


def reasons(cast: Cast, height: int) -> dict[int, Reason]:
    """Give the reason of every participant's slot in a result."""
    view = cast.hospitals[0].view()
    accepted = view.state.lineage[height - 1]
    slots = len(view.state.rounds[accepted.round].commits)
    levels = view.replica.reader(accepted).levels(slots)
    entries = [entry for node in levels[0] for entry in node.entries][:slots]
    return {entry.participant: Reason(entry.reason) for entry in entries}


def everybody_for(state: FederationState, round_index: int) -> bool:
    votes = state.rounds[round_index].proposal.votes
    return all(votes.values())


def test_nothing_is_published_before_the_commit_phase_closes(start: Found) -> None:
    cast = start()
    roles = cast.roles()
    seen = set()

    def watch(state: FederationState) -> None:
        if not state.rounds or state.phase is not Phase.COMMIT:
            return
        seen.add((state.round.index, len(state.round.commits)))
        for hospital in cast.hospitals:
            blocks = update_blocks(hospital, state.round.index)
            assert not any(store(other).has(cid) for other in cast.hospitals for cid in blocks)

    state = play(cast, lambda: roles, watch=watch)
    assert {commits for _, commits in seen} == {0, 1, 2, 3}
    for round_ in state.rounds:
        for hospital in cast.hospitals:
            assert all(store(hospital).has(cid) for cid in update_blocks(hospital, round_.index))


def test_withheld_update_is_unavailable(start: Found) -> None:
    """One participant commits and goes away: the others vote for a result without it."""
    cast = start()
    roles = cast.roles()
    lost = roles[3]

    def present() -> list[Role]:
        gone = cast.hospitals[0].view().state.phase is not Phase.COMMIT
        return [role for role in roles if role is not lost or not gone]

    state = play(cast, present, until=opened(1))
    assert state.rounds[0].outcome is Outcome.ACCEPTED
    assert reasons(cast, 1) == {
        0: Reason.COUNTED,
        1: Reason.COUNTED,
        2: Reason.COUNTED,
        3: Reason.UNAVAILABLE,
    }
    assert sorted(state.rounds[0].proposal.votes) == [0, 1, 2]
    assert everybody_for(state, 0)
    proposed = state.rounds[0].proposal.meta.timestamp
    closed = state.rounds[0].closed
    assert closed is not None
    assert proposed >= closed.reveal_deadline


def test_published_to_nobody_is_unavailable_to_its_owner_too(start: Found) -> None:
    """The owner holds its own bytes, but nobody can have them: it does not vote for the result."""
    cast = start()
    roles = cast.roles()
    play(cast, lambda: roles, until=in_phase(Phase.COMMIT, 1))
    play(cast, lambda: roles[:4], until=in_phase(Phase.PROPOSE, 1))
    store(cast.hospitals[3]).silent.update(update_blocks(cast.hospitals[3], 1))
    state = play(cast, lambda: roles, until=opened(2))
    assert reasons(cast, 2)[3] is Reason.UNAVAILABLE
    supporters = [voter for voter, support in state.rounds[1].proposal.votes.items() if support]
    assert sorted(supporters) == [0, 1, 2]


def cut_off(cast: Cast, node: Hospital, owner: Hospital) -> list[Role]:
    """Play to a result that one node cannot check, because an update's header does not reach it."""
    roles = cast.roles()
    participants = roles[:4]
    play(cast, lambda: participants, until=in_phase(Phase.PROPOSE))
    update = owner.journal.update(0)
    assert update is not None
    store(node).deaf.add(CID(Codec.RAW, update.digest))
    assert [role.step() for role in participants] == [Progress.ACTED] * 4
    assert roles[4].step() is Progress.ACTED
    assert cast.state().phase is Phase.ATTEST
    return participants


def test_missing_bytes_are_waited_for(start: Found) -> None:
    cast = start()
    hospital = cast.hospitals[2]
    node = cut_off(cast, hospital, owner=cast.hospitals[1])[2]
    assert node.step() is Progress.WAITING
    assert hospital.participant().step() is Progress.WAITING
    store(hospital).deaf.clear()
    assert node.step() is Progress.ACTED
    assert cast.state().round.proposal.votes == {2: True}


def test_missing_bytes_are_not_waited_for_beyond_patience(start: Found) -> None:
    """A result that counts what this node cannot have gets no vote for it from this node."""
    cast = start()
    node = cut_off(cast, cast.hospitals[2], owner=cast.hospitals[1])[2]
    patience = cast.state().round.proposal.attest_deadline - cast.policy.windows.attest // 4
    cast.stage.chain.wait_until(patience - 1)
    assert node.step() is Progress.WAITING
    cast.stage.chain.wait_until(patience)
    assert node.step() is Progress.ACTED
    assert cast.state().round.proposal.votes == {2: False}


def test_bytes_held_in_time_are_not_unavailable(start: Found) -> None:
    """A proposer that leaves out what everybody holds is voted down."""
    cast = start()
    roles = cast.roles()
    play(cast, lambda: roles[:4], until=in_phase(Phase.PROPOSE, 0))
    for _ in range(2):
        for role in roles[:4]:
            role.step()
    proposer = cast.hospitals[0]
    update = cast.hospitals[3].journal.update(0)
    assert update is not None
    for hospital in cast.hospitals:
        assert update.digest.hex() in hospital.journal.listed(0, HELD)
    for hospital in cast.hospitals:
        store(hospital).own.blocks.pop(CID(Codec.RAW, update.digest))
    closed = cast.state().round.closed
    assert closed is not None
    cast.stage.chain.wait_until(closed.reveal_deadline)
    assert proposer.proposer().step() is Progress.ACTED
    store(cast.hospitals[3]).own.put(update.artefact)
    state = play(
        cast, lambda: roles[:4], until=lambda s: bool(s.round.attempt) or s.round.index > 0
    )
    assert state.round.attempt == 1
    assert list(state.round.proposals[0].votes.values()).count(False) >= 3
