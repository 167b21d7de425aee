"""`fednode claim`: everything that is due to an account."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from fednode.claims import Claimed, Claims
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
from ledger.chain.federations import PAYEE_GAS
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
@click.option(
    "--gas",
    type=click.IntRange(min=PAYEE_GAS),
    default=PAYEE_GAS,
    show_default=True,
    metavar="N",
    help="Gas that one payee's own code may use.",
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
    gas: int,
    as_json: bool,
) -> None:
    """Take out what is due to the account: payouts, fees, bonds, stakes, a creator's refund.

    All but payouts needs the chain alone. The list of payouts is read from the store. A payment
    that its payee's own code refuses stays due, stops no other, and ends the command with exit
    code 1.
    """
    output = Output(as_json)
    opened = place.holdings()
    account = open_account(keystore, password_file)
    claims = Claims(opened, account, everybody=everybody, gas=gas).take()
    _report(output, claims)
    if claims.unread is not None:
        output.error(str(claims.unread))
    if claims.unread is not None or claims.failed:
        ctx.exit(FAILED)


def _report(output: Output, claims: Claims) -> None:
    """Print what was taken out, and why the rest was not."""
    token = claims.federation.state.policy.token
    unread, failed = claims.unread, claims.failed
    in_token = () if token == ZERO_ADDRESS else ("payout", "fees", "refund")
    claimed = _by_transaction(claims.claimed)
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
            **({} if unread is None else {"unread": str(unread)}),
            **({"failed": [f.record() for f in failed]} if failed else {}),
        },
        *(lines or ["nothing was paid" if failed else f"{nothing} now"]),
    )


def _by_transaction(claimed: Sequence[Claimed]) -> list[Claimed]:
    """Add up the payouts of one transaction, whose gas they share."""
    sums: dict[tuple[str, bytes], Claimed] = {}
    for each in claimed:
        key = each.kind, each.receipt.transaction
        before = sums[key].amount if key in sums else 0
        sums[key] = replace(each, amount=before + each.amount)
    return list(sums.values())
