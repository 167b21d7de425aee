"""`fednode claim`: everything that is due to an account."""

from collections.abc import Sequence
from pathlib import Path

import click

from fednode.claims import Claimed, PayoutsUnreadable, claim_all
from fednode.cli.edge import (
    FAILED,
    Output,
    account_options,
    chain_options,
    federation_option,
    json_option,
    key_option,
    ledger_option,
    options,
    own_option,
    store_options,
)
from fednode.cli.open import Place, open_account, placed
from fednode.holdings import Holdings
from ledger.types import ZERO_ADDRESS


@click.command()
@options(
    chain_options,
    ledger_option,
    federation_option,
    store_options,
    account_options,
    key_option,
    own_option,
)
@click.option(
    "--everybody",
    is_flag=True,
    help="Send everybody what is due, to their own addresses, not only to the account.",
)
@json_option
@click.pass_context
@placed
def claim(
    ctx: click.Context,
    place: Place,
    keystore: Path,
    password_file: Path | None,
    everybody: bool,
    as_json: bool,
) -> None:
    """Take out what is due to the account: payouts, fees, bonds, stakes, a creator's refund.

    All but payouts needs the chain alone. The list of payouts is read from the store.
    """
    output = Output(as_json)
    opened = place.holdings()
    account = open_account(keystore, password_file)
    try:
        claimed = claim_all(opened, account, everybody=everybody)
    except PayoutsUnreadable as error:
        _report(output, opened, error.claimed, str(error))
        output.error(str(error))
        ctx.exit(FAILED)
    _report(output, opened, claimed)


def _report(
    output: Output, opened: Holdings, claimed: Sequence[Claimed], unread: str | None = None
) -> None:
    """Print what was taken out, and why no payouts were where they could not be proved."""
    token = opened.state.policy.token
    in_token = () if token == ZERO_ADDRESS else ("payout", "fees", "refund")
    lines = [
        f"{c.kind}: {c.amount} {f'units of token {token}' if c.kind in in_token else 'wei'} "
        f"({c.receipt.gas_used} gas)"
        for c in claimed
    ]
    nothing = "nothing else was due to this account" if unread else "nothing is due to this account"
    output.result(
        {
            "claimed": [
                {"kind": c.kind, "amount": str(c.amount), "gas": c.receipt.gas_used}
                for c in claimed
            ],
            **({} if unread is None else {"unread": unread}),
        },
        "\n".join(lines) or f"{nothing} now",
    )
