"""`fednode claim`: everything that is due to an account."""

from collections.abc import Callable, Mapping, Sequence
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
from fednode.names import read_names
from fednode.outlook import NAME
from ledger.chain.federations import PAYEE_GAS
from ledger.lines import clean
from ledger.plain import ether
from ledger.types import ZERO_ADDRESS, Address


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
    content = place.content() if everybody else None
    people = opened.state.participants
    _report(output, claims, {} if content is None else read_names(people, content))
    if claims.unread is not None:
        output.error(str(claims.unread))
    if claims.unread is not None or claims.failed:
        ctx.exit(FAILED)


def _report(output: Output, claims: Claims, names: Mapping[int, str]) -> None:
    """Print what was taken out, and why the rest was not; with --everybody for whom."""
    unread, failed = claims.unread, claims.failed
    claimed, called = _by_transaction(claims.claimed), _payees(claims, names)
    if claims.everybody:
        lines = [f"{called(c)}: {c.kind} of {_amount(claims, c)}" for c in claims.claimed]
    else:
        lines = [f"{c.kind}: {_amount(claims, c)} ({c.receipt.gas_used} gas)" for c in claimed]
    nothing = "nothing else was due to this account" if unread else "nothing is due to this account"
    output.result(
        {
            "claimed": [
                {"kind": c.kind, "amount": str(c.amount), "gas": c.receipt.gas_used}
                for c in claimed
            ],
            "paid": [
                {"kind": c.kind, "amount": str(c.amount), "payee": c.payee, "name": called(c)}
                for c in claims.claimed
            ],
            **({} if unread is None else {"unread": str(unread)}),
            **({"failed": [f.record() for f in failed]} if failed else {}),
        },
        *(lines or ["nothing was paid" if failed else f"{nothing} now"]),
    )


def _amount(claims: Claims, claimed: Claimed) -> str:
    """Return an amount in ether, or in the least units of the pool's token."""
    token = claims.federation.state.policy.token
    if token != ZERO_ADDRESS and claimed.kind in ("payout", "fees", "refund"):
        return f"{claimed.amount:,} units of token {token}"
    return ether(claimed.amount)


def _payees(claims: Claims, names: Mapping[int, str]) -> Callable[[Claimed], str]:
    """Give what a payee is called: a participant's name, with the address that was paid."""
    owners: dict[Address, str] = {}
    for person in claims.federation.state.participants:
        known = clean(names.get(person.index, f"participant {person.index}"), NAME)
        owners |= dict.fromkeys((person.payout, person.controller, person.signer), known)

    def called(claimed: Claimed) -> str:
        name = owners.get(claimed.payee)
        return claimed.payee if name is None else f"{name} ({claimed.payee})"

    return called


def _by_transaction(claimed: Sequence[Claimed]) -> list[Claimed]:
    """Add up the payouts of one transaction, whose gas they share."""
    sums: dict[tuple[str, bytes], Claimed] = {}
    for each in claimed:
        key = each.kind, each.receipt.transaction
        before = sums[key].amount if key in sums else 0
        sums[key] = replace(each, amount=before + each.amount)
    return list(sums.values())
