"""`fednode claim`: everything that is due to an account."""

from pathlib import Path

import click

from fednode.claims import claim_all
from fednode.cli.edge import (
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
@placed
def claim(
    place: Place,
    keystore: Path,
    password_file: Path | None,
    everybody: bool,
    as_json: bool,
) -> None:
    """Take out what is due to the account: payouts, fees, bonds, stakes, a creator's refund."""
    opened = place.open()
    claimed = claim_all(opened, open_account(keystore, password_file), everybody=everybody)
    token = opened.policy.reward.token
    in_token = () if token is None else ("payout", "fees", "refund")
    lines = [
        f"{c.kind}: {c.amount} {f'units of token {token}' if c.kind in in_token else 'wei'} "
        f"({c.receipt.gas_used} gas)"
        for c in claimed
    ]
    Output(as_json).result(
        {
            "claimed": [
                {"kind": c.kind, "amount": str(c.amount), "gas": c.receipt.gas_used}
                for c in claimed
            ]
        },
        "\n".join(lines) or "nothing is due to this account now",
    )
