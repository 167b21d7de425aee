"""Federations that are measured by slices and by shards, on the real contract."""

from pathlib import Path

import pytest

from fednode.auditing import run_audit
from fednode.data.salted import SaltedRows
from fednode.evaluation.slices import SliceCommitment, cut
from fednode.membership import shown_shard
from fednode.policy import Policy
from fednode.roles.holder import Holder
from fednode.roles.role import Role
from fednode.site import open_sites, slice_rows
from ledger.audit.evidence import Evidence
from ledger.audit.sources import evidence_from_chain
from ledger.nodes import Reason
from ledger.proceedings import Outcome
from ledger.round import Records
from ledger.sealing import NO_KEYS, SealingKey, Vault
from tests.engines import embedded
from tests.federations import Cast, Changes, Stage, found, peers, play, policy_of

KEY = SealingKey.from_seed(b"k" * 32)


def terms(mode: str, *, rounds: int) -> dict[str, Changes]:
    return {
        "task": {"model": "logistic", "options": {}},
        "training": {"rounds": rounds},
        "evaluation": {"mode": mode, "rows": 60},
        "valuation": {"kind": "leave-one-out" if mode == "shards" else "exact"},
        "reward": {"pool": str(10**15), "target": 50_000},
    }


def sealed(policy: Policy) -> Policy:
    record = {
        **policy.rest_record(),
        "visibility": "members",
        "privacy": {"auditors": [KEY.public.hex()]},
    }
    return Policy.model_validate(record)


def records(cast: Cast) -> list[Records]:
    replica = cast.hospitals[0].view().replica
    return [replica.reader(accepted).records() for accepted in replica.state.lineage]


def evidence(cast: Cast) -> Evidence:
    deployers = [cast.stage.accounts[0].address]
    store = cast.hospitals[0].store
    return evidence_from_chain(cast.contract, cast.federation, store, deployers=deployers)


@pytest.mark.parametrize("vault", [NO_KEYS, Vault((KEY,))], ids=["clear", "sealed"])
def test_by_shards_every_round_is_valued_one_result_later(tmp_path: Path, vault: Vault) -> None:
    policy = policy_of("digits", **terms("shards", rounds=3))
    stage = Stage(embedded(), peers(4), tmp_path)
    cast = found(stage, sealed(policy) if vault.keys else policy, vaults=[vault])
    roles = cast.roles()
    state = play(cast, lambda: roles)
    assert [round_.outcome for round_ in state.rounds] == [Outcome.ACCEPTED] * 3
    assert [len(r.utilities) for r in records(cast)] == [0, 6, 6]
    last = cast.hospitals[0].view().replica.reader(state.lineage[-1]).levels(4)[0][0]
    assert {entry.reason for entry in last.entries[:4]} == {Reason.IDLE}
    shown = [shown_shard(hospital.site, hospital.folder) for hospital in cast.hospitals]
    verdict = run_audit(evidence(cast), vault=vault, rows=shown)
    assert (verdict.word, verdict.finding) == ("holds", None)
    counted = [check for check in verdict.checks if "on its shard" in check.detail]
    assert len(counted) == 2 * 4
    assert not vault.keys or run_audit(evidence(cast)).word == "sealed"


def test_by_slices_nothing_is_proposed_before_the_slice(tmp_path: Path) -> None:
    policy = policy_of("digits", **terms("slices", rounds=2))
    source = open_sites(policy, public_rows=True)
    rows = SaltedRows.draw(slice_rows(policy, source), b"the holder's own secret")
    slices = cut(rows, policy.slices)
    stage = Stage(embedded(), peers(5), tmp_path)
    creator = stage.accounts[0]
    promised = SliceCommitment(slices.root, creator.address)
    cast = found(stage, policy, slices=promised)
    holder = Holder(cast.hospitals[0].view(), creator, slices)
    roles: list[Role] = [*cast.roles(), holder]
    state = play(cast, lambda: roles)
    for number, round_ in enumerate(state.rounds):
        assert [opened.digest for opened in round_.slices] == [
            slices.opened(number).roots[0].digest
        ]
        assert round_.closed is not None
        assert round_.proposals[0].meta.timestamp >= round_.closed.reveal_deadline
    assert [len(r.utilities) for r in records(cast)] == [16, 16]
    verdict = run_audit(evidence(cast), rows=[rows])
    assert (verdict.word, verdict.finding) == ("holds", None)
