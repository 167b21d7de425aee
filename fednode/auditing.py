"""The audit with this project's rules: what the command, the script and the demo call."""

from collections.abc import Collection, Sequence

from fednode.data.salted import SaltedRows
from fednode.errors import FedNodeError
from fednode.federation import read_rulebook
from fednode.models.errors import ModelDescriptionError, OwnModelError
from fednode.models.guard import ModelFailed
from fednode.policy import Policy
from fednode.policy.errors import PolicyError
from fednode.remeasuring import remeasure
from ledger.audit.evidence import Evidence
from ledger.audit.replay import PolicyRefused, Rulebook, audit
from ledger.audit.verdict import BYTES, Terms, Verdict
from ledger.replica import Replica
from ledger.sealing import NO_KEYS, Vault
from ledger.stores import RecordingStore
from ledger.types import Address, Wei


class NothingRead(FedNodeError):
    """A content store that has none of a federation's blocks."""

    def __init__(self) -> None:
        super().__init__(
            "the content store has none of this federation's blocks, so nothing follows about "
            "anyone: check --ipfs or --store, and that a Kubo node has the participants' as peers"
        )


def run_audit(
    evidence: Evidence,
    *,
    own: Collection[str] = (),
    vault: Vault = NO_KEYS,
    rows: Sequence[SaltedRows] = (),
) -> Verdict:
    """Replay a federation's history by its policy; `own` names users' models that may run here,
    `vault` holds the keys that sealed artefacts are opened with, `rows` are original rows on which
    all is measured again.
    """

    def rulebook(replica: Replica) -> Rulebook:
        try:
            book = read_rulebook(replica, evidence.store, own=own)
        except OwnModelError:
            # The auditor's own copy: nothing follows from it about anybody else.
            raise
        except (PolicyError, ModelDescriptionError) as error:
            raise PolicyRefused(str(error)) from error
        exact = book.task.utility_tolerance == 0
        return Rulebook(book.rules, terms(book.policy, exact=exact))

    try:
        verdict = audit(evidence, rulebook, vault=vault)
        _require_store(verdict, evidence)
        return remeasure(verdict, evidence, rows, own=own, vault=vault) if rows else verdict
    except SystemExit as error:
        # Its exit code must not pass for the audit's.
        raise ModelFailed("the audit", error) from error


def _require_store(verdict: Verdict, evidence: Evidence) -> None:
    """Raise NothingRead if bytes are missing, and the auditor's store gave no block at all."""
    finding, store = verdict.finding, evidence.store
    lacking = finding is not None and finding.step == BYTES
    if lacking and isinstance(store, RecordingStore) and not store.blocks:
        raise NothingRead


def terms(policy: Policy, *, exact: bool) -> Terms:
    """Say what a policy agrees on, in the words of its file."""
    token = policy.reward.token
    return Terms(
        name=policy.federation.name,
        rule=policy.aggregation.rule,
        metric=policy.evaluation.metric if policy.evaluation.mode != "none" else "none",
        valuation=policy.valuation.kind,
        pool=Wei(policy.reward.pool),
        token=None if token is None else Address(token),
        exact=exact,
        evaluation=policy.evaluation.mode,
    )
