"""Rounds that do not go smoothly: dishonest proposers, missed turns, void rounds, comings and
goings.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fednode.roles.carrier import Direct
from fednode.roles.participant import Participant
from fednode.roles.proposer import Proposer
from fednode.roles.role import Progress, Role
from fednode.roles.turns import moments
from ledger.chain.errors import Unfunded
from ledger.chain.federations import Ballot
from ledger.cid import CID, Codec
from ledger.proceedings import Outcome, Round
from ledger.round import Outcome as Result
from ledger.state import Phase
from ledger.types import Digest, ParticipantId, Wei
from tests.federations import Hospital, Peers, in_phase, join, play, story
from tests.fednode.roles.conftest import Found

Forge = Callable[[Result], Result]


class Dishonest(Proposer):
    """Proposes something else than what it computed, as long as it is the first to propose."""

    def __init__(self, hospital: Hospital, forge: Forge) -> None:
        super().__init__(hospital.view(), hospital.account)
        self._forge = forge

    def _prepared(self, round_: Round) -> tuple[Result, Digest] | None:
        ready = super()._prepared(round_)
        if ready is None or round_.attempt > 0:
            return ready
        forged = self._forge(ready[0])
        artefact, index = self._federation.bundle(forged)
        self._federation.store.put(artefact)
        return forged, index


def another_model(outcome: Result) -> Result:
    model = outcome.model.copy()
    model[0] += 1
    return replace(outcome, model=model)


def more_for_me(outcome: Result) -> Result:
    header = replace(outcome.header, payouts=outcome.header.values)
    return replace(outcome, records=replace(outcome.records, header=header))


def wrong_utilities(outcome: Result) -> Result:
    header = replace(outcome.header, utilities=outcome.header.values)
    return replace(outcome, records=replace(outcome.records, header=header))


def wrong_sums(outcome: Result) -> Result:
    header = replace(outcome.header, nodes=outcome.header.model_root)
    return replace(outcome, records=replace(outcome.records, header=header))


def wrong_model(outcome: Result) -> Result:
    header = replace(outcome.header, model_digest=outcome.header.model_root)
    return replace(outcome, records=replace(outcome.records, header=header))


FORGERIES: list[Forge] = [more_for_me, wrong_utilities, wrong_sums, wrong_model]


def test_dishonest_results_are_voted_down(start: Found) -> None:
    """The first proposal of every round is forged, each in another way; the next one stands."""
    cast = start(rounds=3)
    honest = cast.roles()
    pairs = zip(cast.hospitals, FORGERIES, strict=True)
    liars = [Dishonest(hospital, forge) for hospital, forge in pairs]
    roles: list[Role] = [*honest[:4], *liars]
    state = play(cast, lambda: roles)
    assert [round_.outcome for round_ in state.rounds] == [Outcome.ACCEPTED] * 4
    for round_ in state.rounds:
        forged, good = round_.proposals
        assert (forged.attempt, good.attempt) == (0, 1)
        assert forged.count(True) == 0
        assert forged.count(False) >= 3
        assert good.count(True) >= 3
        assert forged.proposer == cast.hospitals[round_.index % 4].account.address
        assert good.proposer == cast.hospitals[(round_.index + 1) % 4].account.address


def test_a_right_header_over_wrong_bytes_is_voted_down(start: Found) -> None:
    """The next round could not be trained from a model that nobody has."""
    cast = start()
    roles = cast.roles()
    liar = Dishonest(cast.hospitals[0], another_model)
    play(cast, lambda: [*roles[:4], liar], until=in_phase(Phase.ATTEST, 0))
    state = play(cast, lambda: roles[:4], until=lambda s: s.phase is not Phase.ATTEST)
    assert state.rounds[0].proposals[0].count(True) == 0


def test_an_accepted_result_is_with_those_who_voted_for_it(start: Found) -> None:
    """A proposer that publishes nothing, or is gone after its proposal, takes nothing along."""
    cast = start()
    roles = cast.roles()
    play(cast, lambda: roles, until=in_phase(Phase.ATTEST, 0))
    proposer = cast.hospitals[0].store
    assert isinstance(proposer, Peers)
    index = CID(Codec.DAG_CBOR, cast.state().round.proposal.index)
    proposer.silent.add(index)
    state = play(cast, lambda: roles[1:4], until=lambda s: bool(s.lineage))
    assert state.rounds[0].proposal.proposer == cast.hospitals[0].account.address
    view = cast.hospitals[3].view()
    assert view.replica.reader(view.state.lineage[0]).model(view.replica.policy.leaves).any()


def test_a_result_is_computed_anew_when_the_chain_has_changed(start: Found) -> None:
    """After a reorganisation the same attempt of the same round may have other commits."""
    cast = start()
    roles = cast.roles()
    play(cast, lambda: roles[:4], until=in_phase(Phase.PROPOSE))
    for role in roles[:4]:
        role.step()
    proposer = cast.hospitals[0].proposer()
    round_ = cast.state().round
    before = proposer._prepared(round_)
    assert before is not None
    assert proposer._prepared(round_) == before
    after = proposer._prepared(replace(round_, commits=round_.commits[:3]))
    assert after is not None
    assert after[0].header.number == 3 < before[0].header.number


class Ballots(Direct):
    """Takes votes down, and sends none."""

    def __init__(self) -> None:
        self.cast: list[bool] = []

    def vote(self, round_: Round, participant: ParticipantId, ballot: Ballot) -> bool:
        self.cast.append(ballot.support)
        return True


def test_a_result_is_judged_anew_when_the_chain_has_changed(start: Found) -> None:
    """The same proposal, mined again after other commits, is wrong: its voters would pay."""
    cast = start()
    roles = cast.roles()
    play(cast, lambda: roles, until=in_phase(Phase.ATTEST, 0))
    hospital, ballots = cast.hospitals[2], Ballots()
    view = hospital.view()
    voter = Participant(view, hospital.account, hospital.trainer(view), hospital.journal, ballots)
    member, round_ = view.state.participants[2], view.state.round
    assert voter._voting.vote(member, round_)
    assert voter._voting.vote(member, round_)
    proposal = round_.proposal
    meta = replace(proposal.meta, block_hash=bytes(32))
    mined_again = replace(proposal, meta=meta)
    order = [round_.commits[place] for place in (1, 0, 2, 3)]
    voter._voting.vote(member, replace(round_, commits=order, proposals=[mined_again]))
    assert ballots.cast == [True, True, False]


def test_after_a_missed_turn_anybody_may_propose(start: Found) -> None:
    cast = start()
    participants = [hospital.participant() for hospital in cast.hospitals]
    outsider = replace(cast.hospitals[0], account=cast.stage.accounts[9]).proposer()
    state = play(cast, lambda: [*participants, outsider])
    for round_ in state.rounds:
        assert round_.outcome is Outcome.ACCEPTED
        assert round_.attempt == 1
        assert round_.proposal.proposer == cast.stage.accounts[9].address


def test_attempts_run_out_and_the_round_is_void(start: Found) -> None:
    """Nobody proposes in round 0; the updates of the next round carry the federation on."""
    cast = start()
    roles = cast.roles()

    def present() -> list[Role]:
        return roles if len(cast.state().rounds) > 1 else roles[:4]

    state = play(cast, present)
    assert [r.outcome for r in state.rounds] == [Outcome.VOID] + [Outcome.ACCEPTED] * 3
    assert not state.rounds[0].proposals
    assert len(state.rounds[1].commits) == 4
    assert state.rounds[1].parent == state.rounds[0].parent


def test_too_few_commits_make_a_round_void(start: Found) -> None:
    """One of four commits, two are wanted: nothing is revealed, and the next round goes on."""
    cast = start()
    roles = cast.roles()

    def present() -> list[Role]:
        return roles if len(cast.state().rounds) > 1 else [roles[1]]

    state = play(cast, present)
    assert [r.outcome for r in state.rounds] == [Outcome.VOID] + [Outcome.ACCEPTED] * 3
    assert [len(r.commits) for r in state.rounds] == [1, 4, 4, 4]
    secret = cast.hospitals[1].journal.update(0)
    assert secret is not None
    header = CID(Codec.RAW, secret.digest)
    assert not any(hospital.store.has(header) for hospital in cast.hospitals)


def test_one_that_sleeps_loses_its_seat_in_no_round(start: Found) -> None:
    """At the commit deadline the round goes on without the sleeper, who takes part in the next."""
    cast = start()
    roles = cast.roles()

    def present() -> list[Role]:
        awake = len(cast.state().rounds) > 1
        return [role for place, role in enumerate(roles) if awake or place % 4 != 2]

    state = play(cast, present)
    assert [len(r.commits) for r in state.rounds] == [3, 4, 4]
    assert [r.outcome for r in state.rounds] == [Outcome.ACCEPTED] * 3


def test_leaving_and_joining_at_round_boundaries(start: Found) -> None:
    cast = start(rounds=3, federation={"start_participants": 3, "max_participants": 4})
    hospitals = cast.hospitals
    contract, creator = cast.contract, cast.stage.accounts[0]
    participants: list[Role] = [h.participant() for h in hospitals[:3]]
    proposers: list[Role] = [h.proposer() for h in hospitals]
    roles = [*participants, *proposers]
    play(cast, lambda: roles, until=in_phase(Phase.COMMIT, 1))

    join(hospitals[3], creator)
    newcomer = hospitals[3].participant()
    assert newcomer.step() is Progress.WAITING
    contract.leave(hospitals[0].account, cast.federation, ParticipantId(0))
    roles = [*roles, newcomer]

    state = play(cast, lambda: roles)
    committed = [sorted(c.participant for c in r.commits) for r in state.rounds]
    assert committed == [[0, 1, 2], [0, 1, 2], [1, 2, 3], [1, 2, 3]]
    assert [r.seats for r in state.rounds] == [3, 3, 3, 3]
    assert all(r.outcome is Outcome.ACCEPTED for r in state.rounds)
    told = story(hospitals[3].view())
    assert [len(values) for values in told.values] == [3, 3, 4, 4]
    assert told.values[2][0] == told.values[3][0]
    assert not any(voter == 0 for r in state.rounds[2:] for voter in r.proposal.votes)


def test_everybody_gets_the_bond_of_its_proposals_back(start: Found) -> None:
    cast = start()
    roles = cast.roles()
    state = play(cast, lambda: roles)
    bond = Wei(cast.policy.stake.proposer_bond)
    for place, hospital in enumerate(cast.hospitals):
        proposed = sum(r.index % 4 == place for r in state.rounds)
        assert (
            cast.contract.credit(cast.federation, hospital.account.address).ethers
            == bond * proposed
        )


class Sponsored:
    """A carrier whose relay is gone."""

    def commit(self, round_: Round, participant: ParticipantId, digest: Digest) -> bool:
        return False

    def vote(self, round_: Round, participant: ParticipantId, ballot: Ballot) -> bool:
        return False


def test_a_node_without_ether_leaves_chores_to_others(start: Found) -> None:
    """A sponsored participant outlives a deadline that somebody has to advance."""
    cast = start()
    chain, poor = cast.stage.chain, cast.hospitals[0]
    roles = cast.roles()
    play(cast, lambda: roles[1:3], until=lambda s: len(s.round.commits) == 2)
    rest = 100_000 * int.from_bytes(chain.newest().header["baseFeePerGas"], "big")
    balance = chain.balance(poor.account.address)
    chain.send(poor.account, cast.stage.accounts[9].address, value=balance - rest, gas=21_000)
    view = poor.view()
    node = Participant(view, poor.account, poor.trainer(view), poor.journal, Sponsored())
    cast.stage.engine.hurry(cast.state().round.commit_deadline)
    with pytest.raises(Unfunded):
        cast.contract.advance(poor.account, cast.federation)
    assert node.step() is Progress.WAITING
    assert roles[1].step() is Progress.WAITING
    cast.stage.engine.hurry(moments(cast.state())[1])
    assert roles[1].step() is Progress.ACTED
    assert cast.state().phase is Phase.PROPOSE
