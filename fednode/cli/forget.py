"""`fednode forget`: erase rows and updates of one's own, and declare it."""

from functools import partial
from pathlib import Path

import click

from fednode.cli.edge import (
    Output,
    account_options,
    chain_options,
    federation_option,
    journal_option,
    json_option,
    ledger_option,
    options,
    own_option,
    site_options,
    store_options,
)
from fednode.cli.open import Place, controlled, open_account, placed
from fednode.data.sources import open_source
from fednode.errors import FedNodeError
from fednode.federation import Federation
from fednode.forgetting import (
    Forgotten,
    Plan,
    begin,
    declare_again,
    finish,
    pending,
    plan,
    require_declared,
    updates_of,
)
from fednode.forgetting import done as destroyed
from fednode.in_use import alone
from fednode.kept_rows import without_forgotten
from fednode.roles.declarer import amend, under_way
from fednode.roles.journal import Journal
from fednode.site import load_site
from ledger.members import Participant
from ledger.types import Digest

EVERYTHING = "all"


@click.command()
@options(
    chain_options,
    ledger_option,
    federation_option,
    store_options,
    account_options,
    site_options,
    journal_option,
)
@click.option(
    "--rounds",
    default="",
    metavar="LIST",
    help="Rounds whose updates to erase: 0,1,4-7 or all; they must be over.",
)
@click.option(
    "--rows",
    default="",
    metavar="LIST",
    help="Rows of the site to erase, the first one being 1: 12,40-44. They are still in its file.",
)
@click.option("--resume", is_flag=True, help="Go on with what an earlier call began.")
@own_option
@json_option
@click.pass_context
@placed
def forget(
    ctx: click.Context,
    place: Place,
    keystore: Path,
    password_file: Path | None,
    site: str,
    data_dir: Path,
    journal: Path,
    rounds: str,
    rows: str,
    resume: bool,
    as_json: bool,
) -> None:
    """Destroy rows' salts, and updates with their keys and pins; declare it on the chain.

    Stop the participant first. Take the rows out of the site's file afterwards: with them in it the
    participant does not start again.
    """
    if resume == bool(rounds or rows):
        raise FedNodeError("give --rounds, --rows or both, or --resume alone")
    opened = place.open()
    account = open_account(keystore, password_file)
    member = controlled(opened, account)
    ctx.with_resource(alone(Journal(journal, opened.id).folder))
    planned = pending(journal)
    if not resume:
        require_declared(opened, journal)
        # Erasing shows nothing to others, so it needs no word that the rows are public.
        source = open_source(opened.policy.data, opened.policy.schema, data_dir)
        planned = plan(
            opened.state,
            member,
            without_forgotten(load_site(opened.policy, source, site), journal),
            journal,
            rounds=_rounds(opened, member, journal, rounds),
            rows=[number - 1 for number in _numbers(rows, "--rows")],
            claims=opened.replica.claims,
        )
        begin(journal, planned)
    declare = partial(amend, opened, account)
    again = [] if under_way(opened, member) else declare_again(opened, journal, declare)
    if planned is None:
        _tell(again, journal, as_json=as_json)
        return
    opened.refresh()
    done = finish(opened, journal, planned, declare, is_under_way=lambda: under_way(opened, member))
    Output(as_json).result(
        {
            "erasure": done.record.hex(),
            "rounds": list(planned.rounds),
            "rows_left": planned.rows,
            "blocks_kept": done.blocks.kept,
        },
        _text(planned, done),
    )


def _tell(again: list[Digest], journal: Path, *, as_json: bool) -> None:
    """Say what was declared again after a reorganisation, where nothing else was begun."""
    if not again and not destroyed(journal):
        raise FedNodeError(f"nothing was begun in {journal}: give --rounds or --rows")
    records = [record.hex() for record in again]
    text = f"declared again: {', '.join(records)}" if again else "all that was erased is declared"
    Output(as_json).result({"declared_again": records}, text)


def _text(planned: Plan, done: Forgotten) -> str:
    rounds = ", ".join(map(str, planned.rounds)) or "none"
    text = (
        f"erased here: own updates (rounds: {rounds}); declared by {done.record.hex()}; what "
        "others have fetched they may still hold"
    )
    if done.blocks.kept:
        text += f"; {done.blocks.kept} blocks stay, as other records in the store link to them"
    if planned.kept is None:
        return text
    return f"{text}; {planned.rows} rows are left: take the others out of the site's file now"


def _rounds(opened: Federation, member: Participant, journal: Path, text: str) -> list[int]:
    if text == EVERYTHING:
        kept = Journal(journal, opened.id).updates()
        return updates_of(opened.state, member.index, opened.replica.claims, kept)
    return _numbers(text, "--rounds")


def _numbers(text: str, option: str) -> list[int]:
    """Read a list of numbers and ranges."""
    numbers: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            raise FedNodeError(f"{option} {text!r}: write numbers and ranges, such as 3,5-9")
        span = range(int(first), int(last or first) + 1)
        if not 0 < len(span) <= 1_000_000:
            raise FedNodeError(f"{option} {text!r}: {part} is no range")
        numbers += span
    return numbers
