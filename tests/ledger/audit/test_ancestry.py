"""Federations with an ancestor: its statistics stay, whatever updates write, and no round sums rows
again.
"""

import random
from dataclasses import replace

import numpy as np
import pytest

from fednode.auditing import run_audit
from ledger import cbor
from ledger.artefacts import TRAINING, raw, record
from ledger.audit import verdict as v
from ledger.cid import CID, Codec
from ledger.nodes import Reason
from ledger.payload import Payload, pad
from ledger.round import Published, Slot, compose
from ledger.sealing import CLEAR
from ledger.stores import Artefact
from ledger.types import Digest
from tests.ledger.sealing.scene import MEMBERS, Scene, text
from tests.tamper.policies import terms, update_of
from tests.tamper.world import CREATOR, Setting, World, account

LOCKED = 6
WRITER = 1


@pytest.fixture
def heir() -> Scene:
    """Found a federation that goes on from a result of another one, and let members join."""
    chosen = terms(text(sealed=False, statistics="true"))
    bare = Setting.draw(random.Random(3), chosen)
    world = World(bare)
    world.create()
    scene = Scene(world)
    for index in range(MEMBERS):
        scene.join(index)
    result = scene.compose().header
    header = replace(result, model_root=bare.header.initial_model_root)
    setting = Setting.draw(random.Random(3), chosen, parent=header.digest())
    ancestor = Artefact.of(Codec.RAW, header.encode())
    found = Scene(World(replace(setting, artefact=setting.artefact.merge(ancestor))))
    found.world.create()
    for index in range(MEMBERS):
        found.join(index)
    return found


def relocked(setting: Setting, locked: int, statistics: int) -> Setting:
    """Say in a setting's records that so many coordinates are locked, and so many summed."""
    rest = CID(Codec.DAG_CBOR, setting.header.rest)
    links = cbor.decode(setting.artefact.blocks[rest])
    assert isinstance(links, dict)
    cid, data = record({**links, "locked": locked})
    header = replace(setting.header, rest=cid.digest, statistics=statistics)
    head = raw(header.encode())
    blocks = {**setting.artefact.blocks, cid: data, head[0]: head[1]}
    roots = (head[0], cid, *setting.artefact.roots[2:])
    return replace(setting, header=header, artefact=Artefact(roots, blocks))


@pytest.mark.parametrize(
    ("locked", "statistics"), [(0, 0), (LOCKED - 1, 0), (LOCKED + 1, 0), (True, 0), (0, LOCKED)]
)
def test_a_federation_that_may_change_them_is_refused(locked: int, statistics: int) -> None:
    chosen = terms(text(sealed=False, statistics="true"))
    setting = Setting.draw(random.Random(3), chosen, parent=Digest(bytes([7]) * 32))
    world = World(relocked(setting, locked, statistics))
    world.create()
    finding = run_audit(world.evidence()).finding
    assert finding is not None
    assert (finding.step, finding.signer) == (v.HEADERS, account(CREATOR).address)


def commit_to(scene: Scene, index: int, coordinate: int) -> None:
    """Let a participant write a coordinate beside what it has learnt."""
    values = scene.values(index).copy()
    values[coordinate] = 1 << 12
    data = Payload(pad(values, scene.context.policy.leaves))
    digest, artefact = update_of(
        scene.context, index, data, record([0, index], CLEAR.part(TRAINING))
    )
    scene.world.store.put(artefact)
    scene.world.commit(index, digest)


def test_there_is_no_round_of_statistics(heir: Scene) -> None:
    assert heir.world.header.statistics == 0
    assert heir.world.replica.locked() == heir.world.terms.policy.statistics == LOCKED
    heir.play()
    assert len(heir.outcomes) == 3
    assert all(len(outcome.records.utilities) == 8 for outcome in heir.outcomes)
    verdict = run_audit(heir.world.evidence())
    assert verdict.holds, verdict.finding
    assert not any(summary.statistics for summary in verdict.rounds)


@pytest.mark.parametrize(
    ("coordinate", "reason"),
    [(0, Reason.UNAVAILABLE), (LOCKED - 1, Reason.UNAVAILABLE), (LOCKED, Reason.COUNTED)],
)
def test_an_update_that_writes_statistics_counts_for_nothing(
    heir: Scene, coordinate: int, reason: Reason
) -> None:
    before = heir.world.replica.initial_model()
    for index in range(MEMBERS):
        if index == WRITER:
            commit_to(heir, index, coordinate)
        else:
            heir.commit(index)
    outcome = heir.compose()
    assert [entry.reason for entry in heir.entries(outcome)] == [
        reason if index == WRITER else Reason.COUNTED for index in range(MEMBERS)
    ]
    assert np.array_equal(outcome.model[:LOCKED], before[:LOCKED])
    heir.propose(outcome)
    verdict = run_audit(heir.world.evidence())
    assert verdict.holds, verdict.finding


def test_an_audit_names_an_update_that_moved_them(heir: Scene) -> None:
    """A majority counts it all the same; what a proof would open, every node still has."""
    heir.commit(0)
    commit_to(heir, WRITER, 2)
    heir.commit(2)
    slots = [counted(slot) for slot in heir.slots()]
    standing, rules = heir.world.replica.standing(), heir.world.rules
    outcome = compose(heir.context, standing, slots, rules)
    assert outcome.model[2] != standing.model[2]
    heir.propose(outcome)
    finding = run_audit(heir.world.evidence()).finding
    assert finding is not None
    assert (finding.step, finding.round) == (v.BYTES, 0)
    assert finding.subject == f"the update of participant {WRITER}"
    assert "it writes coordinate 2, which is locked" in finding.found


def counted(slot: Slot) -> Slot:
    published = slot.published
    return replace(slot, published=Published(published.header, published.payload or published.bare))
