"""Models of a user's own, from the policy to the audit, on the embedded chain."""

import sys
from pathlib import Path

import pytest

from fednode.auditing import run_audit
from fednode.exporting import export_version
from fednode.models.errors import ModelDescriptionError, ModelNotAllowed
from fednode.models.export import read_export, write_export
from fednode.policy import PolicyError
from fednode.training.task import open_task
from ledger.audit.sources import evidence_from_chain
from ledger.audit.verdict import Verdict
from ledger.stores import MemoryStore, RecordingStore
from tests.engines import embedded
from tests.federations import Cast, Stage, found, play, policy_of

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
BROKEN = """
def fails(spec):
    raise RuntimeError("on purpose")

def number(spec):
    return 7

constant = 7
"""


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Put the examples where a user's PYTHONPATH would."""
    (tmp_path / "broken_model.py").write_text(BROKEN, encoding="utf-8")
    (tmp_path / "unreadable_model.py").write_text("def (:", encoding="utf-8")
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("own_model", "broken_model", "unreadable_model"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def cast_of(model: str, folder: Path, *, tolerance: int = 0) -> Cast:
    policy = policy_of(
        task={"model": model, "options": {}, "private": []},
        training={"rounds": 1, "epochs": 2},
        evaluation={"utility_tolerance": tolerance},
        valuation={"kind": "leave-one-out"},
    )
    return found(Stage(embedded(), [MemoryStore()], folder), policy, own=(model,))


def audited(cast: Cast, *own: str) -> Verdict:
    store = RecordingStore(cast.hospitals[0].store)
    return run_audit(evidence_from_chain(cast.contract, cast.federation, store), own=own)


@pytest.mark.parametrize(("name", "tolerance"), [("narrow", 0), ("smooth", 1000)])
def test_a_federation_trains_a_model_of_ones_own(name: str, tolerance: int, tmp_path: Path) -> None:
    model = f"own_model:{name}"
    cast = cast_of(model, tmp_path, tolerance=tolerance)
    roles = cast.roles(train=True)
    state = play(cast, lambda: roles)
    assert len(state.lineage) == 2
    verdict = audited(cast, model)
    assert verdict.holds, verdict.finding
    assert verdict.terms.exact == (tolerance == 0)
    path = tmp_path / "model.safetensors"
    write_export(path, export_version(cast.hospitals[0].view(), 1))
    assert read_export(path).model.model == model
    with pytest.raises(ModelNotAllowed, match="--allow-model"):
        audited(cast)


def test_the_policy_must_state_the_tolerance(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="utility_tolerance"):
        cast_of("own_model:smooth", tmp_path, tolerance=5)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("no_such_module:make", "PYTHONPATH"),
        ("own_model:nothing", "has no 'nothing'"),
        ("unreadable_model:make", "SyntaxError"),
        ("broken_model:fails", "RuntimeError: on purpose"),
        ("broken_model:number", "makes a int"),
        ("broken_model:constant", "not a function"),
    ],
)
def test_what_is_no_model_is_refused(model: str, reason: str) -> None:
    spec = policy_of(task={"model": model, "options": {}, "private": []}).model_spec
    with pytest.raises(ModelDescriptionError, match=reason):
        open_task(spec, own=[model])
    with pytest.raises(ModelNotAllowed, match="--allow-model"):
        open_task(spec, own=["own_model:narrow"])
