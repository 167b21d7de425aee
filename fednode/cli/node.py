"""`fednode participant` and `fednode proposer`: the long-lived processes of a federation."""

from pathlib import Path

import click

from fednode.cli.edge import (
    FAILED,
    Output,
    Seconds,
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
    start_logging,
    store_options,
    verbose_option,
)
from fednode.cli.open import Place, placed
from fednode.errors import FedNodeError
from fednode.roles.pace import Pace
from fednode.roles.pulse import Pulse
from fednode.roles.role import POLL, run

node_options = options(
    chain_options,
    ledger_option,
    deployer_option,
    federation_option,
    store_options,
    account_options,
    key_option,
)
poll_option = click.option(
    "--poll",
    default=POLL,
    show_default=True,
    type=Seconds(0.05, 60),
    metavar="SECONDS",
    help="The shortest rest when nothing is to be done; it grows while nothing happens, to a "
    "sixth of the shortest window and 15 s at most.",
)

relay_option = click.option(
    "--relay",
    envvar="FEDNODE_RELAY",
    metavar="URL",
    help="The relay of the policy; without it everything is sent as a transaction of one's own. "
    "[FEDNODE_RELAY]",
)


@click.command()
@options(node_options, own_rows_options, journal_option, own_option, poll_option)
@relay_option
@verbose_option
@json_option
@click.pass_context
@placed
def participant(
    ctx: click.Context,
    place: Place,
    keystore: Path,
    password_file: Path | None,
    site: str,
    data_dir: Path,
    public_rows: bool,
    journal: Path,
    poll: float,
    relay: str | None,
    verbose: bool,
    as_json: bool,
) -> None:
    """Train, commit, publish, recompute and vote until the federation has ended and settled.

    May be killed and started again at any time: it goes on where it was. At the end it opens its
    test set, once, and prints what the released model is worth on it.
    """
    from fednode.cli.warning import warn_of_differences
    from fednode.final_report import final_report
    from fednode.forgetting import require_declared
    from fednode.in_use import alone
    from fednode.kept_rows import without_forgotten
    from fednode.membership import require_committed
    from fednode.own_word import keep_word, says_public
    from fednode.roles.effort import attested, summary, total
    from fednode.roles.journal import Journal
    from fednode.roles.participant import NotAMember, Participant
    from fednode.roles.trainer import Trainer
    from fednode.site import load_site, open_sites

    start_logging(verbose=verbose)
    opened, account = place.open_to_pay(keystore, password_file)
    member = opened.state.member(account.address)
    if member is None:
        raise NotAMember(account)
    public = says_public(journal, site, now=public_rows)
    source = open_sites(opened.policy, data_dir, public_rows=public)
    rows = without_forgotten(load_site(opened.policy, source, site), journal)
    try:
        require_committed(rows, journal, member.datasets[-1].root)
    except FedNodeError:
        require_declared(opened, journal)
        raise
    keep_word(journal, site, public_rows=public_rows)
    warn_of_differences(opened, rows, journal)
    own_journal = Journal(journal, opened.id)
    ctx.with_resource(alone(own_journal.folder))
    trainer = Trainer(opened.rulebook.task, rows.train, rows.shard)
    carrier = None
    if relay is not None:
        from fednode.relay.carrier import through_relay

        carrier = through_relay(relay, opened, account, own_journal)
    node = Participant(opened, account, trainer, own_journal, carrier)
    run(node, poll=poll, pace=Pace(opened, poll), look=Pulse(opened).look)
    efforts = attested(own_journal)
    attesting = {"attesting": total(efforts)}
    if opened.released_version() < 0:
        fields = {"released_version": None, **attesting}
        Output(as_json).result(fields, "the federation ended without a result")
        return
    report = final_report(opened, rows, own_journal)
    output = Output(as_json)
    output.result(
        {**report.record(), "failures": node.failures, "outages": node.outages, **attesting},
        report.text(),
        summary(efforts),
    )
    if node.failures:
        last = max(node.failures)
        output.error(
            f"{len(node.failures)} rounds had no update of ours, the last of them round "
            f"{last}: {node.failures[last]}"
        )
        ctx.exit(FAILED)


@click.command()
@options(node_options, own_option, poll_option, relay_option, verbose_option)
@json_option
@placed
def proposer(
    place: Place,
    keystore: Path,
    password_file: Path | None,
    poll: float,
    relay: str | None,
    verbose: bool,
    as_json: bool,
) -> None:
    """Propose results when it is this account's turn, or anybody's, until all has settled.

    The account may be a participant's own, or anybody's: one that is no participant may propose
    once a turn was missed. With --relay results go through the relay, which lends the bond.
    """
    from fednode.roles.proposer import Proposer

    start_logging(verbose=verbose)
    opened, account = place.open_to_pay(keystore, password_file)
    backer = None
    if relay is not None:
        from fednode.relay.sponsored import sponsored

        backer = sponsored(relay, opened, account)
    role = Proposer(opened, account, backer)
    run(role, poll=poll, pace=Pace(opened, poll), look=Pulse(opened).look)
    height = len(opened.state.lineage)
    Output(as_json).result(
        {"results": height, "head": opened.state.head.hex()},
        f"the federation has ended: {height} results, the last is {opened.state.head.hex()}",
    )
