"""Nobody pays for a federation whose records no node can read."""

from dataclasses import replace
from decimal import Decimal

import pytest

from fednode.creation import Plan, plan, require_readable
from fednode.errors import FedNodeError
from fednode.policy import Policy, PolicyError, built_in
from fednode.site import evaluation_rows, open_sites
from fednode.training.task import open_task
from ledger.artefacts import record
from ledger.errors import LedgerError
from ledger.stores import Artefact
from ledger.types import ZERO_ADDRESS, Digest

HEART = built_in("heart")


def planned(policy: Policy) -> Plan:
    rows = evaluation_rows(policy, open_sites(policy, public_rows=True))
    return plan(policy, open_task(policy.model_spec), rows, chain_id=1, ledger=ZERO_ADDRESS)


@pytest.fixture(scope="module")
def good() -> Plan:
    return planned(HEART)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("training", "learning_rate", Decimal("0.05" + "0" * 62 + "1")),
        ("training", "learning_rate", Decimal("5e-2")),
        ("federation", "name", "x" * 101),
        ("federation", "name", "x\0"),
        ("training", "seed", 1 << 63),
    ],
)
def test_a_policy_that_cannot_be_read_back_is_refused(
    section: str, key: str, value: object
) -> None:
    """Whatever let such a value in, the plan does not come to be."""
    changed = getattr(HEART, section).model_copy(update={key: value})
    policy = HEART.model_copy(update={section: changed})
    if value == Decimal("5e-2"):
        assert planned(policy).header
        return
    with pytest.raises((PolicyError, LedgerError)) as caught:
        planned(policy)
    assert "\n" not in str(caught.value)


def test_every_record_is_read_back(good: Plan) -> None:
    """Without one of its blocks, or with another record, a plan is refused."""
    require_readable(HEART, good.header, good.artefact)
    for cid in good.artefact.blocks:
        blocks = {c: data for c, data in good.artefact.blocks.items() if c != cid}
        roots = tuple(root for root in good.artefact.roots if root != cid)
        with pytest.raises((FedNodeError, LedgerError)):
            require_readable(HEART, good.header, Artefact(roots, blocks))


def test_another_policy_in_the_record_is_refused(good: Plan) -> None:
    other = built_in("heart").model_copy(
        update={"training": HEART.training.model_copy(update={"rounds": 11})}
    )
    with pytest.raises(PolicyError, match=r"comes back|the chain says"):
        require_readable(other, good.header, good.artefact)
    cid, data = record({"policy": other.rest_record()})
    blocks = {**good.artefact.blocks, cid: data}
    artefact = Artefact((*good.artefact.roots, cid), blocks)
    with pytest.raises((PolicyError, LedgerError)):
        require_readable(other, good.header, artefact)


def test_another_initial_model_is_refused(good: Plan) -> None:
    header = replace(good.header, initial_model_root=Digest(b"x" * 32))
    blocks = {**good.artefact.blocks, header.cid(): header.encode()}
    with pytest.raises(LedgerError, match="initial model"):
        require_readable(HEART, header, Artefact(good.artefact.roots, blocks))
