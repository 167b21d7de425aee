"""What an audit has read is enough for another one, and what is gone from it accuses nobody."""

import random
from dataclasses import replace

import pytest

from fednode.auditing import run_audit
from ledger.audit.evidence import Evidence
from ledger.audit.verdict import Verdict
from ledger.bundle import BundleRefused, BundleStore
from ledger.cid import CID
from ledger.sealing import NO_KEYS, Vault
from ledger.stores import RecordingStore
from tests.ledger.sealing.scene import AUDITOR, KEYS, Scene, vault
from tests.ledger.sealing.test_audit import declare, erase, joined_late
from tests.tamper.kinds import clean

LOSSES = 12


def recorded(evidence: Evidence, keys: Vault) -> tuple[Verdict, dict[CID, bytes]]:
    """Audit, and give what was read."""
    store = RecordingStore(evidence.store)
    return run_audit(replace(evidence, store=store), vault=keys), store.blocks


def bundled(evidence: Evidence, blocks: dict[CID, bytes]) -> Evidence:
    return replace(evidence, store=BundleStore(blocks), bundled=True)


def require_the_same(evidence: Evidence, keys: Vault = NO_KEYS) -> None:
    verdict, blocks = recorded(evidence, keys)
    assert run_audit(bundled(evidence, blocks), vault=keys) == verdict


@pytest.mark.parametrize("seed", range(1, 13))
def test_a_bundle_of_an_audit_comes_to_the_same(seed: int) -> None:
    require_the_same(clean(seed).world.evidence())


@pytest.mark.parametrize("sealed", [False, True])
def test_a_bundle_written_after_an_erasure_comes_to_the_same(sealed: bool) -> None:
    scene = Scene.form(sealed=sealed).play()
    erase(scene, 1, 1)
    declare(scene, 1, [1])
    assert run_audit(scene.world.evidence(), vault=vault(AUDITOR)).word == "erased"
    require_the_same(scene.world.evidence(), vault(AUDITOR))


@pytest.mark.parametrize("keys", [vault(), vault(KEYS[3]), vault(KEYS[0])])
def test_a_bundle_of_what_is_sealed_comes_to_the_same(keys: Vault) -> None:
    require_the_same(joined_late().world.evidence(), keys)


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_block_that_a_bundle_lacks_accuses_nobody(seed: int) -> None:
    """Identities of an open federation may be absent: their names are not shown, that is all."""
    evidence = clean(seed).world.evidence()
    verdict, blocks = recorded(evidence, NO_KEYS)
    rng = random.Random(seed)
    refused: list[str] = []
    for lost in rng.sample(sorted(blocks), min(LOSSES, len(blocks))):
        left = {cid: data for cid, data in blocks.items() if cid != lost}
        try:
            found = run_audit(bundled(evidence, left))
        except BundleRefused as error:
            refused.append(str(error))
        else:
            assert (found.word, found.checks[:3]) == (verdict.word, verdict.checks[:3])
    assert refused
    assert all("not in this bundle" in said for said in refused)
    assert not any(p.signer in said for said in refused for p in verdict.participants)
