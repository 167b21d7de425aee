"""`fednode status`: where a federation stands."""

import time
from pathlib import Path

import click

from fednode.claims import Holding
from fednode.cli.edge import (
    FAILED,
    Output,
    advised,
    chain_options,
    federation_option,
    json_option,
    key_option,
    ledger_option,
    options,
    own_option,
    store_options,
    warn,
)
from fednode.cli.open import Place, placed
from fednode.disclosed import Disclosed
from fednode.holdings import Holdings
from fednode.overview import Overview, Recorded
from fednode.policy import PolicyError
from fednode.roles.effort import Effort, attested
from fednode.roles.journal import Journal
from ledger.errors import MalformedRecord
from ledger.lines import clean
from ledger.stores import BlockUnavailable, ContentStore
from ledger.types import FederationId

UNREADABLE = (BlockUnavailable, MalformedRecord, PolicyError)
"""Errors of a policy's records, or of results, that a store lacks or has in no usable form."""
NOTHING = Recorded()
NOT_READ = "names, policy and quality were not read"
CHAIN_ALONE = f"{NOT_READ}: give --ipfs or --store with a store that has them"
LONGEST_LINE = 1_000
"""Characters of a line that are printed, whatever strangers called themselves."""
ANSWERED = {
    "shard_models": "models that the shard has answered here",
    "shard_models_in_all": "models that its most asked row has answered in all federations",
    "shard_models_at_most": "models that a row may answer",
}


@click.command()
@options(chain_options, ledger_option, federation_option, store_options, key_option, own_option)
@click.option(
    "--journal",
    envvar="FEDNODE_JOURNAL",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="A participant's own memory: print what attesting has cost it, too. [FEDNODE_JOURNAL]",
)
@json_option
@click.pass_context
@placed
def status(
    ctx: click.Context,
    place: Place,
    journal: Path | None,
    as_json: bool,
) -> None:
    """Print a federation's phase, its deadline, whose turn it is and who is missing, with results
    and payouts.

    The chain alone tells most of it; names and quality need --ipfs or --store. No model is built.
    Without a store a note says what was not read. If a store does not have the records, what the
    chain tells is printed, and an error.
    """
    output = Output(as_json)
    holdings = place.holdings()
    content = place.content()
    recorded, unread = (NOTHING, CHAIN_ALONE) if content is None else _recorded(holdings, content)
    overview = _fields(holdings, recorded)
    fields, lines = overview.record(), _text(overview).split("\n")
    if unread is not None:
        fields["unread"] = unread
    if journal is not None:
        fields["attesting"] = rounds = _attesting(holdings.id, journal)
        lines += [f"attesting round {line['round']}: {Effort.of_record(line)}" for line in rounds]
        answered = _answered(holdings.id, recorded, journal)
        fields |= answered
        lines += [f"{ANSWERED[name]}: {number}" for name, number in answered.items()]
    output.result(fields, *lines)
    if content is None:
        warn(f"note: {CHAIN_ALONE}")
    elif unread is not None:
        output.error(unread)
        ctx.exit(FAILED)


def _recorded(holdings: Holdings, content: ContentStore) -> tuple[Recorded, str | None]:
    """Read what the records add; else say why they cannot be read."""
    try:
        return Recorded.read(holdings, content), None
    except UNREADABLE as error:
        return NOTHING, f"{NOT_READ}: {advised(error)}"


def _fields(opened: Holding, recorded: Recorded = NOTHING) -> Overview:
    """Take in where a federation stands now, by the chain's clock and by this machine's."""
    return Overview(opened, opened.contract.chain.now(), int(time.time()), recorded)


def _text(overview: Overview) -> str:
    return "\n".join(clean(line, LONGEST_LINE) for line in overview.lines())


def _attesting(federation: FederationId, journal: Path) -> list[dict[str, object]]:
    """Give what attesting cost a participant in each round; a folder that is none of this
    federation's is not made into one.
    """
    if not (journal / federation.hex()).is_dir():
        return []
    efforts = attested(Journal(journal, federation))
    return [{"round": number, **effort.record()} for number, effort in efforts.items()]


def _answered(federation: FederationId, recorded: Recorded, journal: Path) -> dict[str, int]:
    """Give how many models a participant's shard has answered, where evaluation is by shards."""
    if recorded.shard_models is None:
        return {}
    disclosed = Disclosed(journal)
    return {
        "shard_models": disclosed.answered(federation),
        "shard_models_in_all": disclosed.most_asked(),
        "shard_models_at_most": recorded.shard_models,
    }
