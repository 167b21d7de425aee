"""`fednode audit`: replay a federation's whole history, from a chain or from a bundle."""

from pathlib import Path

import click

from fednode.auditing import run_audit
from fednode.cli.edge import (
    DOES_NOT_HOLD,
    FAILED,
    NOT_ALL_CHECKED,
    OutFile,
    Output,
    advised,
    deployer_option,
    json_flag,
    key_option,
    own_option,
    start_option,
    store_options,
)
from fednode.cli.open import deploying, federation_id, open_content, open_contract, open_vault
from fednode.errors import FedNodeError
from fednode.files import write_file
from fednode.remeasuring import read_rows
from fednode.report_terminal import terminal
from ledger.audit.evidence import Evidence
from ledger.audit.report import html
from ledger.audit.sources import bundle_evidence, evidence_from_bundle, evidence_from_chain
from ledger.chain.client import Chain
from ledger.errors import LedgerError, MalformedRecord
from ledger.stores import RecordingStore


@click.command()
@click.option("--rpc", envvar="FEDNODE_RPC", metavar="URL", help="A chain node. [FEDNODE_RPC]")
@click.option("--chain-id", type=int, metavar="N", help="Refuse a node of any other chain.")
@click.option(
    "--ledger", envvar="FEDNODE_LEDGER", metavar="ADDRESS", help="The contract. [FEDNODE_LEDGER]"
)
@start_option
@click.option(
    "--federation",
    envvar="FEDNODE_FEDERATION",
    metavar="ID",
    help="The federation. [FEDNODE_FEDERATION]",
)
@store_options
@deployer_option
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Audit this evidence bundle: no chain, no IPFS.",
)
@click.option(
    "--trust-block", metavar="HASH", help="With --bundle: the hash of the block to trust."
)
@click.option(
    "--html", "html_file", type=OutFile(text=True), metavar="FILE", help="Write a report."
)
@click.option(
    "--write-bundle",
    type=OutFile(),
    metavar="FILE",
    help="Write what the audit read as an evidence bundle.",
)
@click.option(
    "--eval-data",
    "eval_data",
    type=click.Path(path_type=Path, exists=True),
    metavar="PATH",
    help="Measure all again on original rows: a file of `fednode data evaluation`, or a folder.",
)
@key_option
@own_option
@json_flag("Print the verdict as JSON.")
@click.pass_context
def audit(
    ctx: click.Context,
    rpc: str | None,
    chain_id: int | None,
    ledger: str | None,
    federation: str | None,
    ipfs: str | None,
    store: Path | None,
    deployers: tuple[str, ...],
    bundle: Path | None,
    trust_block: str | None,
    html_file: Path | None,
    write_bundle: Path | None,
    eval_data: Path | None,
    key_files: tuple[Path, ...],
    own: tuple[str, ...],
    as_json: bool,
) -> None:
    """Replay everything; exit code 0 only if all of it holds, 3 if a step does not, 4 if all that
    could be checked holds, and something was erased, or sealed for other keys than yours (--key).

    Either from a chain node, a content store and the contract's address (--rpc, --ledger,
    --federation, --ipfs or --store), or from an evidence bundle (--bundle, --trust-block).
    """
    output = Output(as_json)
    vault = open_vault(key_files)
    if bundle is not None:
        if write_bundle is not None:
            raise FedNodeError("--write-bundle needs a chain: --bundle names a bundle already")
        evidence = _opened(bundle, _hash(trust_block))
    else:
        if rpc is None or ledger is None or federation is None:
            raise FedNodeError(
                "give --rpc, --ledger and --federation with --ipfs or --store, or --bundle with "
                "--trust-block"
            )
        contract = open_contract(rpc, chain_id, ledger)
        evidence = evidence_from_chain(
            contract,
            federation_id(federation),
            RecordingStore(open_content(ipfs, store)),
            deployers=deploying(deployers),
        )
    rows = read_rows(eval_data) if eval_data is not None else []
    verdict = run_audit(evidence, own=own, vault=vault, rows=rows)
    notes: list[str] = []
    unwritten = None
    try:
        if html_file is not None:
            write_file(html_file, html(verdict).encode())
            notes.append(f"report: {html_file}")
        if write_bundle is not None:
            notes += _bundle(write_bundle, evidence, contract.chain)
    except (FedNodeError, LedgerError) as error:
        unwritten = advised(error)  # which does not take the verdict away
    if as_json:
        output.result(verdict.to_json())
    else:
        output.picture(lambda: terminal(verdict))
    for note in notes:
        output.aside(note)
    if unwritten is not None:
        output.error(unwritten)
        ctx.exit(FAILED)
    if not verdict.holds:
        ctx.exit(DOES_NOT_HOLD)
    if verdict.lacks:
        ctx.exit(NOT_ALL_CHECKED)


def _opened(bundle: Path, trust_block: bytes) -> Evidence:
    try:
        return evidence_from_bundle(bundle, trust_block)
    except MalformedRecord as error:
        if error.kind == "CAR header":
            raise FedNodeError(
                f"--bundle {bundle} is no bundle, it does not begin as a CAR file: give the file "
                "that --write-bundle wrote"
            ) from None
        raise FedNodeError(f"--bundle {bundle}: {error}; get the file again") from None


def _bundle(path: Path, evidence: Evidence, chain: Chain) -> list[str]:
    block = bundle_evidence(path, evidence, chain)
    return [
        f"bundle: {path}",
        f"audit it with: fednode audit --bundle {path} --trust-block 0x{block.hash.hex()}",
    ]


def _hash(text: str | None) -> bytes:
    if text is None:
        raise FedNodeError("--bundle needs --trust-block, the hash of the one block you trust")
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:
        raise FedNodeError(f"--trust-block {text!r} is not a hash of 64 hexadecimal digits")
    return value
