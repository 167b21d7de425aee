"""Models of a user's own, from the policy to the audit, on the embedded chain."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from fednode.auditing import run_audit
from fednode.exporting import export_version
from fednode.models.errors import (
    ModelDescriptionError,
    ModelNotAllowed,
    OwnModelError,
    SourceDiffers,
)
from fednode.models.export import read_export, write_export
from fednode.policy import PolicyError
from fednode.training.task import TrainingTask, first_private, layout_of, open_task
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


def test_another_copy_of_the_model_is_refused_by_nodes_and_audits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other copy computes the very same: what counts is that it is not what was agreed to."""
    model = "own_model:narrow"
    cast = cast_of(model, tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    text = (EXAMPLES / "own_model.py").read_text(encoding="utf-8")
    (other / "own_model.py").write_text(text + "\nprint('ran')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(other)
    monkeypatch.delitem(sys.modules, "own_model")
    with pytest.raises(SourceDiffers, match="differs from the policy's"):
        cast.hospitals[0].view()
    with pytest.raises(SourceDiffers, match="differs from the policy's"):
        audited(cast, model)
    assert "own_model" not in sys.modules


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ("import no_such_library\n", "no_such_library"),
        ("raise RuntimeError('no GPU')\n", "no GPU"),
        ("", "has no 'make'"),
        ("raise SystemExit(0)\n", "SystemExit"),
        ("def make(spec): raise SystemExit(0)\n", "SystemExit"),
        ("def make(spec): raise MemoryError('too large')\n", "too large"),
        ("def make(spec): return 7\n", "makes a int"),
    ],
)
def test_a_model_that_does_not_work_here_accuses_nobody(
    spoilt: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same files, on a machine that lacks something: the audit says so of itself."""
    good = (EXAMPLES / "own_model.py").read_text(encoding="utf-8").replace("def narrow", "def make")
    switch = "import os\nif os.environ.get('SPOILT'):\n"
    body = "".join(f"    {line}\n" for line in spoilt.splitlines()) or "    pass\n"
    indented = "".join(f"    {line}\n" if line else "\n" for line in good.splitlines())
    folder = tmp_path / "switching"
    folder.mkdir()
    (folder / "switching_model.py").write_text(f"{switch}{body}else:\n{indented}", "utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "switching_model", raising=False)
    cast = cast_of("switching_model:make", tmp_path)
    monkeypatch.setenv("SPOILT", "1")
    monkeypatch.delitem(sys.modules, "switching_model")
    with pytest.raises(OwnModelError, match=reason):
        audited(cast, "switching_model:make")


ENDING = """

class Ending(StackModel):
    def logits_of_all(self, *arguments, **options):
        import os

        if os.environ.get("SPOILT"):
            raise SystemExit(0)
        return super().logits_of_all(*arguments, **options)


def ending(spec):
    made = narrow(spec)
    return Ending(made.layers, spec.input_shape, spec.private)
"""


def test_a_model_that_ends_the_program_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (EXAMPLES / "own_model.py").read_text(encoding="utf-8") + ENDING
    folder = tmp_path / "ending"
    folder.mkdir()
    (folder / "ending_model.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "ending_model", raising=False)
    cast = cast_of("ending_model:ending", tmp_path)
    roles = cast.roles()
    play(cast, lambda: roles)
    assert audited(cast, "ending_model:ending").holds
    monkeypatch.setenv("SPOILT", "1")
    with pytest.raises(OwnModelError, match="ended the program"):
        audited(cast, "ending_model:ending")


class Exiting:
    """A task that ends the program wherever it is called."""

    utility_tolerance = 1

    def __getattr__(self, name: str) -> NoReturn:
        raise SystemExit(0)


@pytest.mark.parametrize("use", [layout_of, first_private])
def test_a_task_that_ends_the_program_is_one_error_wherever_it_is_called(
    use: Callable[[TrainingTask], object],
) -> None:
    task: Any = Exiting()
    with pytest.raises(OwnModelError, match="ended the program"):
        use(task)


def test_a_model_that_comes_out_larger_here_accuses_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a library's other default would make it."""
    text = (EXAMPLES / "own_model.py").read_text(encoding="utf-8")
    folder = tmp_path / "sizing"
    folder.mkdir()
    text = text.replace('spec.options.get("hidden", 4)', 'int(__import__("os").environ["UNITS"])')
    (folder / "sizing_model.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "sizing_model", raising=False)
    monkeypatch.setenv("UNITS", "4")
    cast = cast_of("sizing_model:narrow", tmp_path)
    monkeypatch.setenv("UNITS", "400")
    with pytest.raises(OwnModelError, match="makes others here"):
        audited(cast, "sizing_model:narrow")


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
