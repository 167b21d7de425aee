"""Nodes on a chain that is reorganised: who is who, what was committed and what a round builds on
change under them, and rounds come to results that count everybody's update.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest

from fednode.auditing import run_audit
from fednode.errors import FedNodeError
from fednode.forgetting import begin, done, finish, lost, pending, plan, require_declared
from fednode.roles.declarer import amend
from fednode.roles.role import Progress, Role
from fednode.testnet import Anvil, EngineMissing
from ledger.audit.sources import evidence_from_chain
from ledger.audit.verdict import Verdict
from ledger.chain.client import Chain
from ledger.proceedings import Outcome
from ledger.state import FederationState, Phase
from ledger.stores import RecordingStore
from ledger.types import Digest
from tests import federations
from tests.engines import Engine, keys, missing
from tests.federations import Cast, Stage, found, in_phase, join, peers, play, policy_of

SITES = ["cleveland", "budapest", "zurich"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anvil]:
    """Give an anvil of these tests' own: they take blocks back."""
    anvil = Anvil(tmp_path_factory.mktemp("reorganised"))
    try:
        anvil.start()
    except EngineMissing as error:
        missing(error)
    with anvil:
        yield anvil


@pytest.fixture
def cast(node: Anvil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cast:
    """Found a federation that nobody has joined yet."""
    policy = policy_of(
        "heart",
        federation={
            "name": tmp_path.name,
            "start_participants": 3,
            "max_participants": 3,
            "quorum": "0.6",
        },
        data={"sites": SITES},
        training={"rounds": 1},
    )
    with monkeypatch.context() as patch:
        patch.setattr(federations, "join", lambda hospital, creator: None)
        stage = Stage(Engine("anvil", Chain.connect(node.url), keys()), peers(3), tmp_path)
        return found(stage, policy)


def all_join(cast: Cast, order: tuple[int, ...] = (0, 1, 2)) -> None:
    for place in order:
        join(cast.hospitals[place], cast.stage.accounts[0])


def mark(node: Anvil) -> str:
    return str(node.rpc("evm_snapshot"))


def go_back(node: Anvil, snapshot: str) -> None:
    """Take back every block since, and put more in their place."""
    head = int(str(node.rpc("eth_blockNumber")), 16)
    assert node.rpc("evm_revert", snapshot) is True
    kept = int(str(node.rpc("eth_blockNumber")), 16)
    node.rpc("anvil_mine", hex(head - kept + 1))


def forget(cast: Cast, place: int, *rounds: int) -> None:
    """Erase a hospital's updates as `fednode forget` does."""
    hospital = cast.hospitals[place]
    view = hospital.view()
    member = view.state.member(hospital.account.address)
    assert member is not None
    folder = hospital.folder
    planned = plan(view.state, member, hospital.site, folder, rounds=rounds, rows=())
    begin(folder, planned)
    finish(view, folder, planned, partial(amend, view, hospital.account))


def audit(cast: Cast) -> Verdict:
    store = RecordingStore(cast.hospitals[0].store)
    return run_audit(evidence_from_chain(cast.contract, cast.federation, store))


def end(roles: Iterable[Role]) -> None:
    """Let nodes do what is left to do after all has settled."""
    for role in roles:
        while role.step() is not Progress.DONE:
            continue


def committed(count: int, index: int = 0) -> Callable[[FederationState], bool]:
    return lambda state: len(state.rounds) > index and len(state.rounds[index].commits) >= count


def counted(cast: Cast, state: FederationState) -> list[int]:
    """Count the updates that each result holds."""
    replica = cast.hospitals[0].view().replica
    return [replica.reader(accepted).header.number for accepted in state.lineage]


def digests(cast: Cast, index: int) -> list[Digest]:
    found = [hospital.journal.update(index) for hospital in cast.hospitals]
    return [update.digest for update in found if update is not None]


@pytest.mark.parametrize("commits", [1, 3])
def test_joins_in_another_order(node: Anvil, cast: Cast, commits: int) -> None:
    """Each account is another participant then: what it signed as the old one is not its own."""
    before = mark(node)
    all_join(cast)
    roles = cast.roles()
    play(cast, lambda: roles, until=committed(commits))
    old = digests(cast, 0)
    go_back(node, before)
    all_join(cast, (1, 2, 0))
    state = play(cast, lambda: roles)
    assert [r.outcome for r in state.rounds] == [Outcome.ACCEPTED] * 2
    assert counted(cast, state) == [3, 3]
    assert sorted(c.participant for c in state.rounds[0].commits) == [0, 1, 2]
    assert not set(old) & {commit.digest for commit in state.rounds[0].commits}
    kept = {u.digest for h in cast.hospitals for u in h.journal.all_updates(0)}
    assert set(old) < kept


def test_commits_that_are_gone_are_sent_again(node: Anvil, cast: Cast) -> None:
    """The round is the same, so nothing is trained or signed anew."""
    all_join(cast)
    before = mark(node)
    roles = cast.roles()
    play(cast, lambda: roles, until=committed(2))
    old = digests(cast, 0)
    go_back(node, before)
    state = play(cast, lambda: roles)
    assert counted(cast, state) == [3, 3]
    assert set(old) <= {commit.digest for commit in state.rounds[0].commits}


def test_a_round_that_builds_on_another_result(node: Anvil, cast: Cast) -> None:
    """The first round comes to another result without one of its commits; what was trained on the
    old one is put aside, and not published.
    """
    all_join(cast)
    before = mark(node)
    roles = cast.roles()
    play(cast, lambda: roles, until=committed(2, index=1))
    old = {update.digest for h in cast.hospitals for update in h.journal.all_updates(1)}
    go_back(node, before)

    def present() -> list[Role]:
        """Leave one away as long as the first round can be committed to."""
        state = cast.state()
        return roles if state.phase is not Phase.COMMIT or state.round.index else roles[:2]

    play(cast, present, until=in_phase(Phase.COMMIT, 1))
    state = play(cast, lambda: roles)
    assert counted(cast, state) == [2, 3]
    assert not old & {commit.digest for commit in state.rounds[1].commits}
    for hospital in cast.hospitals:
        update = hospital.journal.update(1)
        assert update is not None
        assert update.parent == state.rounds[1].parent


def test_an_erasure_whose_declaration_is_gone_is_declared_again(node: Anvil, cast: Cast) -> None:
    """The data are gone, so an audit misses them until they are declared to be erased again. The
    second erasure is declared with the data set that both have left.
    """
    all_join(cast)
    roles = cast.roles()
    play(cast, lambda: roles)
    owner = cast.hospitals[1]
    before = mark(node)
    forget(cast, 1, 0)
    forget(cast, 1, 1)
    end(cast.roles())
    assert pending(owner.folder) is None
    assert [each.rounds for each in done(owner.folder)] == [(0,), (1,)]
    assert audit(cast).holds
    go_back(node, before)
    assert not audit(cast).holds
    view = owner.view()
    assert len(lost(view, owner.folder)) == 2
    with pytest.raises(FedNodeError, match="run `fednode forget --resume` first"):
        require_declared(view, owner.folder)
    end([owner.participant()])
    verdict = audit(cast)
    assert verdict.holds
    assert verdict.lacks
    assert lost(owner.view(), owner.folder) == []
    member = owner.view().state.participants[1]
    assert len(member.datasets) == 3
    end([owner.participant()])
    assert len(owner.view().state.participants[1].datasets) == 3


def test_a_plan_is_kept_until_its_declaration_is_deep_enough(node: Anvil, cast: Cast) -> None:
    """A declaration that is taken back before anything was destroyed is sent again."""
    all_join(cast)
    roles = cast.roles()
    play(cast, lambda: roles)
    owner = cast.hospitals[1]
    before = mark(node)
    view = owner.view()
    planned = plan(
        view.state, view.state.participants[1], owner.site, owner.folder, rounds=[0], rows=()
    )
    begin(owner.folder, planned)
    amend(view, owner.account, planned, planned.erasure(view.id).artefact().roots[0].digest)
    go_back(node, before)
    assert owner.journal.update(0) is not None
    again = owner.view()
    finish(again, owner.folder, planned, partial(amend, again, owner.account))
    assert owner.journal.update(0) is None
    assert len(owner.view().state.participants[1].datasets) == 2
