"""Disputes over what is sealed, on the real contract: one member's key is enough to prove what is
wrong, and what is opened for that is a leaf here and there.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fednode.auditing import run_audit
from fednode.roles.journal import PreparedUpdate
from fednode.roles.participant import Participant
from fednode.roles.proposer import Proposer
from fednode.roles.role import Progress, Role
from fednode.roles.watcher import Guard
from ledger import artefacts, cbor
from ledger.audit.evidence import Evidence
from ledger.audit.sources import evidence_from_chain
from ledger.cid import CID, Codec
from ledger.history import DemandAnswered, DemandOpened, ProofCommitted, ResultDisproved
from ledger.members import Participant as Member
from ledger.nodes import Reason, nodes_root
from ledger.payload import LEAF_SIZE, Payload, int64, pad, pad_sums, read_index
from ledger.proceedings import Fate, Outcome, Round
from ledger.proofs import Kind
from ledger.round import Outcome as Result
from ledger.sealing import Envelope, SealedContent, SealingKey, Vault
from ledger.sealing.content import SALT_SIZE
from ledger.stores import Artefact, MemoryStore
from ledger.types import Digest
from tests.engines import embedded
from tests.federations import Cast, Changes, Hospital, Stage, found, peers, play
from tests.fednode.roles.conftest import Found
from tests.fednode.roles.test_disputes import (
    BOND,
    PRICES,
    STAKE,
    WINDOWS,
    Bother,
    conspiracy,
    disproved,
    history,
    made_good,
    require_paid_for,
)
from tests.fednode.roles.test_sealed import KEY, OTHER, sealed, unmeasured

OWN = [SealingKey.from_seed(bytes([number]) * 32) for number in range(1, 5)]
VAULTS = [Vault((key,)) for key in OWN]
WIDE = {"model": "mlp", "options": {"hidden": [32]}, "private": []}
"""A model of several leaves: what a proof opens is then less than all."""


@pytest.fixture
def start(tmp_path: Path) -> Found:
    """Found a sealed federation of hospitals, each with a store and a key of its own."""

    def start(*, rounds: int = 2, **sections: Changes) -> Cast:
        policy = sealed(unmeasured(rounds=rounds, task=WIDE, **sections))
        return found(Stage(embedded(), peers(4), tmp_path), policy, vaults=VAULTS)

    return start


LEAF = 2
Opening = ProofCommitted | DemandOpened | DemandAnswered | ResultDisproved


def another_model(outcome: Result) -> Result:
    """Change a coordinate in a leaf of the model, and commit to that."""
    model = outcome.model.copy()
    model[LEAF * 256 + 7] += 1
    data = Payload(pad(model, model.size // 256), outcome.content.part("model"))
    header = replace(outcome.header, model_root=data.root, model_digest=data.digest)
    return replace(outcome, model=model, records=replace(outcome.records, header=header))


def another_sum(outcome: Result) -> Result:
    """Change a sum that belongs to the same leaf of the updates."""
    sums = int64(outcome.sums[0]).copy()
    sums[LEAF * 256 + 7] += 1
    data = Payload(pad_sums(sums, sums.size // 256), outcome.content.part("sum 0"))
    levels = ((replace(outcome.levels[0][0], root=data.root),),)
    header = replace(outcome.header, nodes=nodes_root(levels))
    records = replace(outcome.records, header=header)
    return replace(outcome, levels=levels, sums=(data.data,), records=records)


def opened(cast: Cast) -> bytes:
    """Give everything that disputes have put on the chain."""
    return b"".join(event.meta.call for event in history(cast) if isinstance(event, Opening))


def shown(evidence: bytes, payload: Payload) -> list[int]:
    """List the leaves of a payload whose clear bytes, or whose salts, are in some bytes."""
    leaves = [payload.leaf(at) for at in range(len(payload.data) // LEAF_SIZE)]
    assert len({leaf[:SALT_SIZE] for leaf in leaves}) == len(leaves)
    return [at for at, leaf in enumerate(leaves) if leaf[:SALT_SIZE] in evidence]


@pytest.mark.parametrize(
    ("forge", "kind", "opens"),
    [
        (another_model, Kind.STEP, {"model": [LEAF], "sum 0": [2 * LEAF], "payload": []}),
        (another_sum, Kind.NODE_SUM, {"model": [], "sum 0": [2 * LEAF], "payload": [LEAF]}),
    ],
)
def test_one_member_disproves_a_majority_and_opens_single_leaves(
    start: Found, forge: Callable[[Result], Result], kind: Kind, opens: dict[str, list[int]]
) -> None:
    lies: list[Result] = []

    def once(outcome: Result) -> Result:
        if not lies:
            lies.append(forge(outcome))
            return lies[0]
        return outcome

    cast, roles = conspiracy(start, once, rounds=6)
    leaves = cast.hospitals[3].view().replica.policy.leaves
    assert leaves > LEAF + 1
    state = play(cast, lambda: roles, until=lambda s: bool(disproved(s)))
    (wrong,) = disproved(state)
    honest = cast.hospitals[3].account.address
    assert wrong.challenges.all[0].challenger == honest
    assert [p.slashed for p in state.participants] == [True, True, True, False]
    credit = cast.contract.credit(cast.federation, honest)
    assert credit.ethers >= BOND + BOND // 2 + 3 * (STAKE // 2)

    view, evidence = cast.hospitals[3].view(), opened(cast)
    lie, content = lies[0], lies[0].content
    assert evidence.count(bytes([kind]) + lie.header.encode()) == 1
    assert content.secret not in evidence
    model = Payload(pad(lie.model, leaves), content.part("model"))
    assert shown(evidence, model) == opens["model"]
    assert shown(evidence, Payload(lie.sums[0], content.part("sum 0"))) == opens["sum 0"]
    access = view.replica.access(view.state.rounds[0])
    for commit in view.state.rounds[0].commits:
        update = artefacts.read_update(view.store, commit.digest, leaves, access).payload
        assert update is not None
        assert shown(evidence, update) == opens["payload"]


def garbage(outcome: Result) -> Result:
    """Commit to a model's root that nobody has leaves for."""
    header = replace(outcome.header, model_root=Digest(bytes([7]) * 32))
    return replace(outcome, records=replace(outcome.records, header=header))


def for_themselves(outcome: Result) -> Result:
    """Seal a right result for all but one."""
    assert isinstance(outcome.content, SealedContent)
    envelope = Envelope.seal(outcome.content.secret, [key.public for key in (KEY, *OWN[:3])])
    return replace(outcome, content=replace(outcome.content, envelope=envelope))


def under_another_key(outcome: Result) -> Result:
    """Wrap another content key for one of the readers."""
    assert isinstance(outcome.content, SealedContent)
    mine = outcome.content.envelope
    other, place = Envelope.seal(bytes(32), mine.readers), mine.readers.index(OWN[3].public)
    wraps = (*mine.wraps[:place], other.wraps[place], *mine.wraps[place + 1 :])
    return replace(outcome, content=replace(outcome.content, envelope=replace(mine, wraps=wraps)))


@pytest.mark.parametrize("forge", [garbage, for_themselves, under_another_key])
def test_what_a_member_cannot_open_falls_if_nobody_shows_it(
    start: Found, forge: Callable[[Result], Result]
) -> None:
    """Its proposer loses its bond. Nobody else does: who voted for it may not have known."""
    cast, roles = conspiracy(start, forge)
    state = play(cast, lambda: roles, until=lambda s: made_good(s, 0))
    (wrong,) = disproved(state)
    (challenge,) = wrong.challenges.all
    assert challenge.challenger == cast.hospitals[3].account.address
    assert isinstance(challenge.step, DemandOpened)
    assert not any(participant.slashed for participant in state.participants)
    credit = cast.contract.credit(cast.federation, challenge.challenger)
    assert credit.ethers >= BOND + BOND // 2


def test_a_demand_for_nothing_is_answered_by_a_leaf_and_its_salt(start: Found) -> None:
    cast = start(rounds=1, stake=PRICES, windows=WINDOWS)
    roles = cast.roles()
    state = play(cast, lambda: roles, watch=Bother(cast, LEAF))
    proposal = state.rounds[0].proposals[0]
    require_paid_for(cast, proposal.challenges.all[0])
    assert proposal.fate is Fate.SETTLED

    view = cast.hospitals[1].view()
    reader, leaves = view.replica.reader(view.state.lineage[0]), view.replica.policy.leaves
    model = Payload(pad(reader.model(leaves), leaves), reader.content.part("model"))
    assert shown(opened(cast), model) == [LEAF]
    assert opened(cast).count(model.leaf(LEAF)) == 1
    assert reader.content.secret not in opened(cast)
    verdict = run_audit(evidence(cast), vault=VAULTS[2])
    assert verdict.word == "holds", verdict.finding
    outside = run_audit(evidence(cast))
    assert (outside.word, outside.finding) == ("sealed", None)


def evidence(cast: Cast) -> Evidence:
    """Give what an audit of the chain reads."""
    deployers = [cast.stage.accounts[0].address]
    store = cast.hospitals[0].store
    return evidence_from_chain(cast.contract, cast.federation, store, deployers=deployers)


def test_who_has_no_key_leaves_results_alone(start: Found) -> None:
    """Somebody who joined late, or lost a key, can tell neither right from wrong nor a lie."""
    cast = start(rounds=1, stake=PRICES, windows=WINDOWS)
    roles = cast.roles()
    state = play(cast, lambda: roles, until=lambda s: bool(s.lineage))
    cast.stage.engine.hurry(state.lineage[0].proposal.attest_deadline)
    lost = replace(cast.hospitals[3], vault=Vault((OTHER,)))
    guard = Guard(lost.view(), lost.account, lost.journal, stay=False)
    assert guard.step() is Progress.DONE
    assert [*guard.unjudged] == [state.lineage[0].result]
    assert "give --key" in guard.unjudged[state.lineage[0].result]
    for _ in range(3):
        lost.participant().step()
    assert not any(proposal.challenges.all for proposal in cast.state().live())


# -- what is sealed wrongly


Spoil = Callable[[PreparedUpdate], PreparedUpdate]


class Careless(Participant):
    """Commits to updates, and publishes them, that nobody can open."""

    def __init__(self, hospital: Hospital, spoil: Spoil) -> None:
        view = hospital.view()
        super().__init__(view, hospital.account, hospital.trainer(view), hospital.journal)
        honest = self._committing.train

        def train(member: Member, round_: Round) -> PreparedUpdate | None:
            update = honest(member, round_)
            assert update is not None
            spoilt = spoil(update)
            self._journal.forget_update(round_.index)
            self._journal.save_update(round_.index, spoilt)
            return spoilt

        self._committing.train = train  # type: ignore[method-assign]


def bent(data: bytes) -> bytes:
    """Give a sealed block another tag."""
    return data[:-1] + bytes([data[-1] ^ 1])


def another(
    update: PreparedUpdate, *, change: Callable[[bytes], bytes] = bytes, envelope: bytes = b""
) -> PreparedUpdate:
    """Commit to the same update with other sealed blocks, or in another envelope."""
    store = MemoryStore()
    store.put(update.artefact)
    index = read_index(store, Digest(update.header.index), enveloped=True)
    assert index.envelope is not None
    blocks = [artefacts.raw(change(store.get(cid))) for cid in index.blocks]
    data = envelope or store.get(index.envelope)
    cover = CID.of(Codec.DAG_CBOR, data), data
    links: dict[str, cbor.Value] = {"size": index.size, "blocks": [cid for cid, _ in blocks]}
    head = artefacts.record({**links, "envelope": cover[0]})
    own = replace(update.header, index=head[0].digest)
    top = artefacts.raw(own.encode())
    roots = (top[0], head[0], *update.artefact.roots[2:])
    made = {**update.artefact.blocks, **dict([top, head, cover, *blocks])}
    return PreparedUpdate(own.digest(), Artefact(roots, made), update.private)


def with_other_tags(update: PreparedUpdate) -> PreparedUpdate:
    return another(update, change=bent)


def for_somebody_else(update: PreparedUpdate) -> PreparedUpdate:
    return another(update, envelope=Envelope.seal(bytes(32), [OTHER.public]).encode())


def in_no_envelope(update: PreparedUpdate) -> PreparedUpdate:
    return another(update, envelope=cbor.encode({"readers": [], "wraps": []}))


@pytest.mark.parametrize("spoil", [with_other_tags, for_somebody_else, in_no_envelope])
def test_an_update_that_does_not_open_is_unavailable(start: Found, spoil: Spoil) -> None:
    """For everybody, at once, and without harm to the round."""
    cast = start(rounds=1)
    roles: list[Role] = [h.participant() for h in cast.hospitals[:3]]
    roles += [Careless(cast.hospitals[3], spoil), *(h.proposer() for h in cast.hospitals)]
    state = play(cast, lambda: roles)
    assert [round_.outcome for round_ in state.rounds] == [Outcome.ACCEPTED] * 2
    view = cast.hospitals[0].view()
    for accepted in view.state.lineage:
        levels = view.replica.reader(accepted).levels(4)
        found = {entry.participant: entry.reason for entry in levels[0][0].entries[:4]}
        assert found == {0: 0, 1: 0, 2: 0, 3: Reason.UNAVAILABLE}
        assert accepted.proposal.count(True) >= 3
    assert run_audit(evidence(cast), vault=VAULTS[1]).word == "holds"
    assert run_audit(evidence(cast)).word == "sealed"


class Spoiling(Proposer):
    """Proposes what is right, over blocks that do not open."""

    def _prepared(self, round_: Round) -> tuple[Result, Digest] | None:
        ready = super()._prepared(round_)
        if ready is None or round_.attempt > 0:
            return ready
        store = self._federation.store
        links = cbor.decode(store.get(CID(Codec.DAG_CBOR, ready[1])))
        assert isinstance(links, dict)
        assert isinstance(links["values"], CID)
        block = artefacts.raw(bent(store.get(links["values"])))
        index = artefacts.record({**links, "values": block[0]})
        store.put(Artefact((index[0],), dict([block, index])))
        return ready[0], index[0].digest


def test_a_result_that_does_not_open_is_voted_down(start: Found) -> None:
    cast = start(rounds=1)
    roles: list[Role] = cast.roles(propose=False)
    roles += [Spoiling(h.view(), h.account) for h in cast.hospitals]
    state = play(cast, lambda: roles)
    for round_ in state.rounds:
        first, second = round_.proposals
        assert (first.count(True), second.count(True)) == (0, 3)
    assert run_audit(evidence(cast), vault=VAULTS[1]).word == "holds"
