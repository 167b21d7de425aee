"""Watchers whose bytes come late: what they once thought of a result is not what they keep to."""

from dataclasses import dataclass, replace

import pytest

from fednode.federation import Federation
from fednode.policy.stakes import worst_loss
from fednode.roles.role import Progress, Role
from fednode.roles.turns import LONGEST
from fednode.roles.watcher import Guard, Watcher
from ledger.chain.accounts import Account
from ledger.cid import CID, Codec
from ledger.disputes import CONCEDED, MOST_STEPS
from ledger.history import DemandOpened
from ledger.proceedings import Fate, Proposal
from ledger.proofs import Wanted
from ledger.state import Phase
from ledger.stores import Artefact
from ledger.types import Wei
from tests.federations import Cast, Changes, in_phase, owed, play
from tests.fednode.roles.conftest import Found
from tests.fednode.roles.test_disputes import BOND, PRICES, STAKE, WINDOWS, conspiracy
from tests.fednode.roles.test_reveal import store
from tests.fednode.roles.test_rounds import wrong_model

PATIENCE = WINDOWS["answer"] // 8
LAST = 6
"""The wave of a stranger: behind those of four participants, and of what runs beside them."""
ANSWERING = WINDOWS["answer"] // 2 // (2 * (LAST + 1))
"""Seconds between the waves that answer a demand."""


@dataclass
class Scene:
    """An accepted result that is right, and a stranger that watches and lacks one update of it."""

    cast: Cast
    watcher: Watcher
    account: Account
    update: Artefact

    @property
    def proposal(self) -> Proposal:
        """The result."""
        return self.cast.state().rounds[0].proposal

    def step(self) -> Progress:
        """Let the watcher do what is due."""
        self.watcher._federation.refresh()
        return self.watcher.step()

    def hurry(self, moment: int) -> None:
        """Bring chain time to a moment."""
        self.cast.stage.engine.hurry(moment)

    def arrive(self) -> None:
        """Let the update come."""
        store(self.cast.hospitals[3]).deaf.clear()

    def bother(self) -> int:
        """Demand a leaf of the model, for nothing; give until when it has to be answered."""
        view = self.cast.hospitals[0].view()
        header = view.replica.proposed(view.state.rounds[0], self.proposal).header
        place = (self.cast.stage.accounts[8], self.cast.federation, self.proposal.result)
        evidence = bytes([2, 0]) + bytes(4) + header.encode()
        self.cast.contract.demand(*place, evidence=evidence, bond=Wei(BOND))
        deadline = self.proposal.challenges.all[0].deadline
        assert deadline is not None
        return deadline


@pytest.fixture
def scene(start: Found) -> Scene:
    return set_scene(start)


def set_scene(start: Found, **sections: Changes) -> Scene:
    """Let a stranger watch who cannot have an update of a right result."""
    cast = start(rounds=1, stake=PRICES, windows=WINDOWS, **sections)
    roles = cast.roles()
    play(cast, lambda: roles[:4], until=in_phase(Phase.PROPOSE))
    update = cast.hospitals[1].journal.update(0)
    assert update is not None
    blocks = set(update.artefact.blocks)
    store(cast.hospitals[3]).deaf |= blocks
    present = [role for place, role in enumerate(roles) if place % 4 != 3]
    play(cast, lambda: present, until=lambda state: bool(state.lineage))
    assert not blocks & set(store(cast.hospitals[3]).own.blocks)
    stranger = replace(cast.hospitals[3], account=cast.stage.accounts[9])
    watcher = Watcher(stranger.view(), stranger.account, stranger.journal)
    return Scene(cast, watcher, stranger.account, update.artefact)


def counting(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count how often a result is computed for a dispute."""
    computed: list[int] = []
    concede = Federation.concede

    def counted(*arguments: object, **more: object) -> object:
        computed.append(1)
        return concede(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Federation, "concede", counted)
    return computed


def test_who_gets_the_bytes_later_answers_for_the_result(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While they are missing, a result is not computed at every step."""
    computed = counting(monkeypatch)
    scene.hurry(scene.bother() - WINDOWS["answer"] // 2 + LAST * ANSWERING)
    looked = scene.cast.stage.chain.now()
    for second in range(5):
        scene.hurry(looked + second)
        assert scene.step() is Progress.WAITING
    assert len(computed) == 1
    scene.hurry(looked + PATIENCE + 1)
    assert scene.step() is Progress.WAITING
    assert len(computed) == 2
    scene.arrive()
    scene.hurry(looked + 2 * PATIENCE + 2)
    assert scene.step() is Progress.ACTED
    assert len(computed) == 3
    assert scene.proposal.challenges.all[0].answerer == scene.account.address


def test_nothing_is_demanded_on_the_word_of_an_old_look(scene: Scene) -> None:
    """It looks in vain, the update comes, and a moment later it would be time to challenge."""
    time = scene.proposal.challenge_deadline - WINDOWS["challenge"] // 2 + LAST * LONGEST
    scene.hurry(time - WINDOWS["answer"] // 2 - LAST * ANSWERING - 20)
    scene.bother()
    scene.hurry(time - 5)
    assert scene.step() is Progress.WAITING
    scene.arrive()
    scene.hurry(time)
    assert scene.step() is Progress.ACTED
    (challenge,) = scene.proposal.challenges.all
    assert challenge.answerer == scene.account.address


def test_who_never_gets_them_demands_them(scene: Scene) -> None:
    """Nobody else is there, so nothing else would bring them to light."""
    scene.hurry(scene.proposal.challenge_deadline - 1)
    assert scene.step() is Progress.ACTED
    (challenge,) = scene.proposal.challenges.all
    assert challenge.challenger == scene.account.address


def test_two_that_lack_the_same_bytes_pay_one_bond(scene: Scene) -> None:
    """The second one waits for the first one's answers, until time runs short."""
    window = scene.cast.state().policy.challenge_window
    end = scene.proposal.challenge_deadline
    other = replace(scene.cast.hospitals[3], account=scene.cast.stage.accounts[7])
    second = Watcher(other.view(), other.account, at_once=True)

    def step() -> Progress:
        second._federation.refresh()
        return second.step()

    scene.hurry(end - window * 3 // 8)
    assert scene.step() is Progress.ACTED
    assert [step() for _ in range(3)] == [Progress.WAITING] * 3
    assert len(scene.proposal.challenges.all) == 1
    scene.hurry(end - window // 4)
    assert step() is Progress.ACTED
    assert len(scene.proposal.challenges.all) == 2


def test_who_is_answered_concedes_and_loses_a_part_of_a_bond(scene: Scene) -> None:
    """All but one hold the update, and show it piece by piece. The result settles, no other account
    pays, and most of the bond returns.
    """
    cast = scene.cast
    others: list[Role] = [h.participant() for h in cast.hospitals[:3]]
    scene.hurry(scene.proposal.challenge_deadline - 1)
    play(
        cast,
        lambda: [scene, *others],
        until=lambda s: s.rounds[0].proposal.fate is Fate.SETTLED,
    )
    (challenge,) = scene.proposal.challenges.all
    steps = [step for step in challenge.taken if isinstance(step, DemandOpened)]
    leaves = cast.state().policy.leaves
    assert [step.kind for step in steps] == [Wanted.HEADER] + [Wanted.INPUT] * min(leaves, 7)
    assert len({step.position for step in steps[1:]}) == len(steps) - 1
    assert [p.stake for p in cast.state().participants] == [STAKE] * 4
    answerer = challenge.answerer
    assert answerer in [hospital.account.address for hospital in cast.hospitals[:3]]
    lost = BOND - cast.contract.credit(cast.federation, scene.account.address).ethers
    assert BOND // CONCEDED <= lost <= worst_loss(cast.state().policy).attempt
    assert cast.stage.chain.balance(cast.contract.address) == owed(cast)


def test_who_was_answered_pays_for_no_second_demand(start: Found) -> None:
    """There is time for another challenge, and another, and there are leaves enough for them."""
    wide = {"model": "mlp", "options": {"hidden": [256]}, "private": []}
    scene = set_scene(start, task=wide)
    assert scene.cast.state().policy.leaves > MOST_STEPS
    others: list[Role] = [h.participant() for h in scene.cast.hospitals[:3]]
    scene.hurry(scene.proposal.attest_deadline)
    before = scene.cast.stage.chain.balance(scene.account.address)
    play(
        scene.cast,
        lambda: [scene, *others],
        until=lambda s: s.rounds[0].proposal.fate is Fate.SETTLED,
    )
    (challenge,) = scene.proposal.challenges.all
    assert len(challenge.taken) == MOST_STEPS
    assert challenge.resolved
    assert before - scene.cast.stage.chain.balance(scene.account.address) < 2 * BOND


def test_a_guard_stays_while_bytes_may_come(start: Found) -> None:
    """That a digest is wrong no proof shows; but who has not seen all cannot know."""
    cast, roles = conspiracy(start, wrong_model)
    play(cast, lambda: roles[:4], until=in_phase(Phase.ATTEST))
    index = CID(Codec.DAG_CBOR, cast.state().round.proposal.index)
    store(cast.hospitals[3]).deaf.add(index)
    play(cast, lambda: roles[:4], until=lambda state: bool(state.lineage))
    stranger = replace(cast.hospitals[3], account=cast.stage.accounts[9])
    guard = Guard(stranger.view(), stranger.account, stranger.journal, stay=False)
    proposal = cast.state().rounds[0].proposal
    cast.stage.engine.hurry(proposal.attest_deadline)
    assert guard.step() is Progress.WAITING
    store(cast.hospitals[3]).deaf.clear()
    cast.stage.engine.hurry(proposal.attest_deadline + PATIENCE + 1)
    assert guard.step() is Progress.DONE
    assert not cast.state().rounds[0].proposal.challenges.all
