"""`fednode join`: a site becomes a participant."""

from pathlib import Path

import click

from fednode.cli.edge import (
    OutFile,
    Output,
    account_options,
    chain_options,
    deployer_option,
    federation_option,
    journal_option,
    json_option,
    key_option,
    ledger_option,
    options,
    own_option,
    own_rows_options,
    store_options,
)
from fednode.cli.open import Place, address, placed, require_not_ended
from fednode.cli.warning import warn_of_counts, warn_of_differences
from fednode.errors import FedNodeError
from fednode.files import write_file
from fednode.membership import NO_KEY, make_request, membership, read_invitation, site_secret
from fednode.own_word import keep_word, says_public
from fednode.policy import Policy, load_policy, require_same
from fednode.site import load_site, open_sites
from ledger.sealing import load_key
from ledger.state import Phase
from ledger.types import Wei


@click.command()
@options(
    chain_options,
    ledger_option,
    deployer_option,
    federation_option,
    store_options,
    account_options,
    own_rows_options,
    journal_option,
    key_option,
)
@click.option("--name", required=True, help="The institution's name, as everybody will see it.")
@click.option(
    "--request",
    type=OutFile(),
    metavar="FILE",
    help="Write a request for an invitation instead of joining.",
)
@click.option(
    "--invitation",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The creator's answer to your request; an open federation needs none.",
)
@click.option("--signer", metavar="ADDRESS", help="Account of the node, if it is another one.")
@click.option("--payout", metavar="ADDRESS", help="Who is paid, if it is another account.")
@click.option(
    "--relay",
    metavar="URL",
    help="Let the policy's relay send the transaction and pay the stake: the account needs no "
    "ether.",
)
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Join only if the chain's policy is this one.",
)
@own_option
@json_option
@placed
def join(
    place: Place,
    keystore: Path,
    password_file: Path | None,
    site: str,
    data_dir: Path,
    public_rows: bool,
    journal: Path,
    name: str,
    request: Path | None,
    invitation: Path | None,
    signer: str | None,
    payout: str | None,
    relay: str | None,
    policy_file: Path | None,
    as_json: bool,
) -> None:
    """Join a federation with a site's rows; the account becomes the participant's controller."""
    output = Output(as_json)
    opened, account = place.open_to_pay(keystore, password_file)
    if policy_file is not None:
        require_same(load_policy(policy_file), opened.policy, source=str(policy_file))
    public = says_public(journal, site, now=public_rows)
    rows = load_site(opened.policy, open_sites(opened.policy, data_dir, public_rows=public), site)
    _require_way(opened.policy, asks=request is not None, invited=invitation is not None)
    if request is not None:  # the contract refuses a join itself
        require_not_ended(opened.id, ended=opened.state.phase is Phase.ENDED)
    warn_of_counts(opened, rows, journal)
    warn_of_differences(opened, rows, journal)
    secret = site_secret(journal)
    keep_word(journal, site, public_rows=public_rows)
    asked, identity = make_request(opened.id, account, name=name, site=rows, secret=secret)
    opened.store.put(identity)
    if request is not None:
        write_file(request, asked.model_dump_json(indent=2).encode(), private=True)
        output.result(
            {"request": str(request), "rows": asked.rows},
            f"wrote {request}: send it to the federation's creator, then join with the invitation",
        )
        return
    terms = membership(
        asked,
        read_invitation(invitation) if invitation else None,
        signer=address(signer, option="--signer") if signer else account.address,
        payout=address(payout, option="--payout") if payout else account.address,
        key=next((load_key(path).public for path in place.key_files), NO_KEY),
    )
    if relay is not None:
        from fednode.relay.sponsored import sponsored

        seat = sponsored(relay, opened, account).join(terms)
        output.result(
            {"participant": seat, "rows": asked.rows},
            f"joined as participant {seat} with {asked.rows} rows, through the relay",
        )
        return
    participant, receipt = opened.contract.join(
        account, opened.id, terms, stake=Wei(opened.replica.policy.stake)
    )
    output.result(
        {"participant": participant, "rows": asked.rows, "gas": receipt.gas_used},
        f"joined as participant {participant} with {asked.rows} rows ({receipt.gas_used} gas)",
    )


def _require_way(policy: Policy, *, asks: bool, invited: bool) -> None:
    """Refuse a way in that the federation does not have."""
    if policy.federation.open and (asks or invited):
        raise FedNodeError(
            "this federation is open to everybody: leave out --request and --invitation"
        )
    if not policy.federation.open and not (asks or invited):
        raise FedNodeError(
            "this federation is joined by its creator's invitation: run this with --request FILE, "
            "send the file to the creator, and join with --invitation and what comes back"
        )
