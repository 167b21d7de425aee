"""`fednode create`: a federation from a policy file."""

from collections.abc import Collection, Iterator
from pathlib import Path

import click

from fednode.ancestry import NoAncestor, ancestor_of
from fednode.cli.edge import (
    Output,
    account_options,
    chain_options,
    data_option,
    deployer_option,
    json_option,
    ledger_option,
    options,
    own_option,
    policy_option,
    public_option,
    store_options,
)
from fednode.cli.open import (
    address,
    federation_id,
    open_account,
    open_content,
    open_contract,
    require_shipped,
)
from fednode.creation import SLICES_MISSING, Plan, plan
from fednode.creation import create as create_federation
from fednode.data.errors import RowsNotPublic
from fednode.data.evaluation_set import EvaluationSet
from fednode.errors import FedNodeError
from fednode.evaluation.slices import SliceCommitment
from fednode.federation import Federation
from fednode.policy import CREATOR, Cost, Policy, load_policy, shards_warning
from fednode.policy.odds import explain, odds
from fednode.policy.stakes import worst_loss
from fednode.site import published_rows
from fednode.training.task import layout_of, open_task
from ledger.chain.accounts import Account
from ledger.chain.federations import Federations
from ledger.plain import ether, span
from ledger.replica import UnknownFederation
from ledger.stores import ContentStore
from ledger.types import ZERO_ADDRESS, ZERO_DIGEST, Digest, FederationId, Wei

FOR_REAL = ("rpc", "ledger", "keystore")
"""Options that a dry run can do without."""
NO_CHAIN = 1
"""Stands for the chain's id in the records of a dry run, where it decides nothing."""


def _lenient(command: click.Command) -> click.Command:
    """Let the parser accept a command line that suffices for a dry run."""
    for parameter in command.params:
        if parameter.name in FOR_REAL:
            parameter.required = False
    return command


@_lenient
@click.command()
@options(chain_options, ledger_option, store_options, account_options, policy_option, data_option)
@public_option
@click.option(
    "--slices",
    metavar="ROOT",
    help="By slices: the root that the holder got from `fednode data evaluation`.",
)
@click.option("--holder", metavar="ADDRESS", help="Who opens the slices, if it is another account.")
@click.option("--ancestor", metavar="ID", help="Go on from this ended federation's last model.")
@click.option(
    "--untrained",
    is_flag=True,
    help="Take over the ancestor's statistics alone, and train from the start.",
)
@click.option("--salt", default="00", metavar="HEX", help="Tells equal policies apart.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only check the policy and print what a round will cost: needs neither a store, an "
    "account nor, without --ancestor, a chain.",
)
@deployer_option
@own_option
@json_option
@click.pass_context
def create(
    ctx: click.Context,
    rpc: str | None,
    chain_id: int | None,
    ledger: str | None,
    ipfs: str | None,
    store: Path | None,
    keystore: Path | None,
    password_file: Path | None,
    policy_file: Path,
    data_dir: Path,
    public_rows: bool,
    slices: str | None,
    holder: str | None,
    ancestor: str | None,
    untrained: bool,
    salt: str,
    dry_run: bool,
    deployers: tuple[str, ...],
    own: tuple[str, ...],
    as_json: bool,
) -> None:
    """Create a federation, fund its pool, and print what a round will cost."""
    output = Output(as_json)
    policy = load_policy(policy_file)
    if untrained and ancestor is None:
        raise FedNodeError("--untrained is for a federation with an ancestor: give --ancestor")
    tell_apart = _salt(salt)
    notes = list(_warnings(policy))
    if not dry_run or ancestor is not None:
        _require_given(ctx, ("rpc", "ledger") if dry_run else FOR_REAL)
    account = None if dry_run or keystore is None else open_account(keystore, password_file)
    contract = None if rpc is None or ledger is None else open_contract(rpc, chain_id, ledger)
    if account is not None and contract is not None:
        require_shipped(contract, deployers, [account.address])
    content = None
    if not dry_run or ancestor is not None or None not in (ipfs, store):
        content = open_content(ipfs, store, new=not dry_run)
    task = open_task(policy.model_spec, own=own)
    planned = plan(
        policy,
        task,
        _published(policy, data_dir, public_rows, notes if dry_run else None),
        chain_id=NO_CHAIN if contract is None else contract.chain.chain_id,
        ledger=ZERO_ADDRESS if contract is None else contract.address,
        ancestor=None
        if ancestor is None or contract is None or content is None
        else ancestor_of(
            _ancestor(contract, federation_id(ancestor, option="--ancestor"), content, own),
            policy,
            layout_of(task, policy.numeric_columns),
            untrained=untrained,
        ),
        slices=_slices(_root(policy, slices, notes if dry_run else None), holder, account),
    )
    output.note(_cost(planned))
    output.note(_pool(planned))
    output.note(_worst(planned))
    output.note(_risk(planned))
    for line in explain(policy):
        output.note(line)
    for warning in notes:
        output.note(warning)
    if account is None or contract is None or content is None:
        unchecked = _unchecked(contract, content)
        if slices is None and policy.evaluation.mode == "slices":
            unchecked.append("the slices")
        fields = {**_predictions(policy, planned), "notes": notes, "not_checked": unchecked}
        output.result(fields, f"nothing was created; not checked: {', '.join(unchecked)}")
        return
    if policy.reward.token is not None:
        contract.approve(account, planned.header.token, Wei(policy.reward.pool))
    federation, receipt = create_federation(contract, account, planned, content, salt=tell_apart)
    output.result(
        {
            "federation": federation.hex(),
            "policy": planned.header.digest().hex(),
            "gas": receipt.gas_used,
            "block": receipt.block_number,
            **_predictions(policy, planned),
            "notes": notes,
        },
        f"federation {federation.hex()} (block {receipt.block_number}, {receipt.gas_used} gas)",
    )


def _ancestor(
    contract: Federations, federation: FederationId, content: ContentStore, own: tuple[str, ...]
) -> Federation:
    """Open the federation that a new one goes on from."""
    try:
        return Federation(contract, federation, content, own=own)
    except UnknownFederation:
        reason = "is not on this contract: check --ancestor, --ledger and --rpc"
        raise NoAncestor(federation, reason) from None


def _published(
    policy: Policy, data_dir: Path, public_rows: bool, notes: list[str] | None
) -> EvaluationSet | None:
    """Read the rows that are published. A dry run publishes none: it takes down in `notes` why the
    real run would refuse.
    """
    try:
        return published_rows(policy, data_dir, public_rows=public_rows)
    except RowsNotPublic as error:
        if notes is None:
            raise
        notes.append(f"not yet: {error}")
    return published_rows(policy, data_dir, public_rows=True)


def _root(policy: Policy, root: str | None, notes: list[str] | None) -> str | None:
    """Give the root of the slices. A dry run goes on without: it notes what the real run needs."""
    if root is not None or notes is None or policy.evaluation.mode != "slices":
        return root
    notes.append(f"not yet: {SLICES_MISSING}")
    return ZERO_DIGEST.hex()


def _require_given(ctx: click.Context, names: Collection[str]) -> None:
    for parameter in ctx.command.params:
        if parameter.name in names and ctx.params[parameter.name] is None:
            raise click.MissingParameter(ctx=ctx, param=parameter)


def _unchecked(contract: Federations | None, content: ContentStore | None) -> list[str]:
    """Name what a dry run leaves to the real one."""
    found = ["the account and its funds", "whether the contract is this package's program"]
    if contract is None:
        found.append("the chain and the contract")
    if content is None:
        found.append("the store")
    return found


def _slices(
    root: str | None, holder: str | None, account: Account | None
) -> SliceCommitment | None:
    """Read what is promised of slices; a dry run needs no holder yet."""
    if root is None:
        return None
    own = ZERO_ADDRESS if account is None else account.address
    opens = own if holder is None else address(holder, option="--holder")
    return SliceCommitment(Digest(federation_id(root, option="--slices")), opens)


def _salt(text: str) -> Digest:
    try:
        digits = text.removeprefix("0x")
        value = bytes.fromhex("0" * (len(digits) % 2) + digits)
    except ValueError:
        value = bytes(33)
    if len(value) > 32:
        raise FedNodeError(f"--salt {text!r} is not at most 64 hexadecimal digits")
    return Digest(value.rjust(32, b"\0"))


def _warnings(policy: Policy) -> Iterator[str]:
    """Say what a policy allows that it may not mean to."""
    if policy.stake.challenge_bond == 0:
        yield (
            "warning: stake.challenge_bond is 0: challenges for nothing cost no more than gas, and "
            "each delays settlement by windows.answer"
        )
    evaluation = policy.evaluation
    if evaluation.mode == "slices" and evaluation.holder != CREATOR:
        yield (
            f"warning: evaluation.holder is {evaluation.holder!r}, a site that trains too: it can "
            "train on every slice, and open only those on which the values suit it"
        )
    if evaluation.mode == "shards":
        yield shards_warning(policy)


def _predictions(policy: Policy, planned: Plan) -> dict[str, object]:
    """Give for JSON what the other lines say."""
    return {
        "cost": planned.cost.record(),
        "worst_case": planned.worst.record(),
        "committee": _committee(policy),
        **({"shard_models": policy.shard_models} if policy.evaluation.mode == "shards" else {}),
        "watcher_loss": worst_loss(planned.header).record(),
    }


def _cost(planned: Plan) -> str:
    cost = planned.cost
    return (
        f"a round: about {cost.gas_per_round:,} gas in all, {cost.seconds_per_evaluator:.1f} s for "
        f"each evaluator ({cost.evaluations} models), {cost.bytes_per_update:,} bytes an update, "
        f"{cost.bytes_per_round:,} bytes in all{_sealed(cost)}"
    )


def _sealed(cost: Cost) -> str:
    if not cost.readers:
        return ""
    return f"; envelopes for {cost.readers} keys, two of each participant, are counted in these"


def _pool(planned: Plan) -> str:
    """Say what is paid in, and what a turn costs in which its participant does not propose."""
    header = planned.header
    token = "" if header.token == ZERO_ADDRESS else f" units of token {header.token}"
    pool = f"{header.pool:,}{token}" if token else ether(header.pool)
    idle = header.reveal_window + header.propose_window
    return (
        f"the reward pool is {pool}, paid with the creation; a participant that does not propose "
        f"in its turn costs the round {span(idle)} (windows.reveal + windows.propose)"
    )


def _committee(policy: Policy) -> list[dict[str, object]]:
    return [found.record() for found in odds(policy)]


def _worst(planned: Plan) -> str:
    """Say by when honest nodes have acted if every byte of a result is withheld."""
    worst, header = planned.worst, planned.header
    return (
        f"worst case, with everything withheld: a node waits {worst.fetch} s for all bytes "
        f"together; the last has voted {worst.vote} s after the proposal "
        f"(windows.attest {header.attest_window}) and challenged after {worst.challenge} s "
        f"(windows.challenge {header.challenge_window}), and answers within {worst.answer} s "
        f"(windows.answer {header.answer_window}); {worst.demands} demands lead to a wrong leaf, "
        f"and one challenge delays settlement by {worst.dispute} s at most"
    )


def _risk(planned: Plan) -> str:
    """Say what an honest node risks that bytes of right results are withheld from."""
    loss = worst_loss(planned.header)
    return (
        f"a watcher demands what did not come within {planned.worst.fetch} s. If the result is "
        f"right all the same, it loses at most {ether(loss.attempt)} of its bond, or "
        f"{ether(loss.run)} in a run in which this happens in each attempt at each result, and the "
        "gas of its transactions"
    )
