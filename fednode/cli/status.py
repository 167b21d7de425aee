"""`fednode status`: where a federation stands."""

from pathlib import Path

import click

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
)
from fednode.cli.open import Place, placed
from fednode.disclosed import Disclosed
from fednode.federation import Federation
from fednode.holdings import Holdings
from fednode.models.errors import ModelDescriptionError, ModelNotAllowed
from fednode.policy import PolicyError
from fednode.roles.effort import Effort, attested
from fednode.roles.journal import Journal
from ledger.errors import MalformedRecord
from ledger.lines import clean
from ledger.sealing import NotForUs
from ledger.state import Phase
from ledger.stores import BlockUnavailable
from ledger.types import ZERO_ADDRESS

UNREADABLE = (
    BlockUnavailable,
    MalformedRecord,
    PolicyError,
    ModelDescriptionError,
    ModelNotAllowed,
)
"""Errors of a policy's records, or of results, that a store lacks, has in no usable form, or that
need code which was not allowed.
"""
LABELS = {
    "deadline_in": "seconds to the deadline",
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
    """Print a federation's phase, deadline, participants, results and payouts.

    Where the policy's records cannot be read, what the chain alone tells is printed, and an error.
    """
    output = Output(as_json)
    try:
        opened = place.open()
        fields = {**_fields(opened), **_recorded(opened)}
    except UNREADABLE as error:
        holdings = place.holdings(required=True)
        text = advised(error)
        fields = {**_fields(holdings), "unread": text}
        output.result(fields, *_lines(fields))
        output.error(text)
        ctx.exit(FAILED)
    if journal is not None:
        fields["attesting"] = _attesting(opened, journal)
        fields |= _shard(opened, journal)
    output.result(fields, *_lines(fields))


def _recorded(opened: Federation) -> dict[str, object]:
    """Give what the policy's record and the results add to what the chain tells."""
    state, trail = opened.state, _trail(opened)
    ended = state.phase is Phase.ENDED and trail is not None
    return {
        "name": opened.policy.federation.name,
        "utility": trail[-1] / 1_000_000 if trail else None,
        "released_version": opened.released_version() if ended else None,
    }


def _fields(opened: Federation | Holdings) -> dict[str, object]:
    state = opened.state
    deadline = state.deadline
    now = opened.contract.chain.now()
    return {
        "federation": opened.id.hex(),
        "name": None,
        "phase": state.phase.value,
        "round": state.round.index if state.rounds else None,
        "commits": state.round.slots if state.rounds else 0,
        "seats": state.round.seats if state.rounds else 0,
        "challenges": sum(1 for _ in state.disputed()),
        "deadline_in": None if deadline is None else deadline - now,
        "results": len(state.lineage),
        "settled": sum(accepted.settled for accepted in state.lineage),
        "rounds": state.policy.rounds,
        "head": state.head.hex(),
        "utility": None,
        "released_version": None,
        "token": None if state.policy.token == ZERO_ADDRESS else state.policy.token,
        "participants": [
            {
                "index": p.index,
                "signer": p.signer,
                "rows": p.datasets[-1].rows,
                "active": p.until is None,
                "slashed": p.slashed,
                "claimed": str(p.paid),
                "charged": sorted(p.charged),
            }
            for p in state.participants
        ],
    }


def _attesting(opened: Federation, journal: Path) -> list[dict[str, object]]:
    """Give what attesting cost a participant in each round; a folder that is none of this
    federation's is not made into one.
    """
    if not (journal / opened.id.hex()).is_dir():
        return []
    efforts = attested(Journal(journal, opened.id))
    return [{"round": number, **effort.record()} for number, effort in efforts.items()]


def _shard(opened: Federation, journal: Path) -> dict[str, object]:
    """Give how many models a participant's shard has answered, by shards."""
    if opened.policy.evaluation.mode != "shards":
        return {}
    disclosed = Disclosed(journal)
    return {
        "shard_models": disclosed.answered(opened.id),
        "shard_models_in_all": disclosed.most_asked(),
        "shard_models_at_most": opened.policy.shard_models,
    }


def _trail(opened: Federation) -> tuple[int, ...] | None:
    """Give the utilities so far; None where they are sealed and no key of ours opens them."""
    try:
        return opened.standing().trail
    except NotForUs:
        return None


def _lines(fields: dict[str, object]) -> list[str]:
    unit = "wei" if fields["token"] is None else "units"
    lines = [
        f"{LABELS.get(name, name.replace('_', ' '))}: {clean(str(value), 200)}"
        for name, value in fields.items()
        if name not in ("participants", "attesting", "unread") and value is not None
    ]
    people = fields["participants"]
    assert isinstance(people, list)
    for person in people:
        left = "" if person["active"] else ", slashed" if person["slashed"] else ", has left"
        withheld = ", ".join(map(str, person["charged"]))
        charged = f", charged for withholding in round {withheld}" if withheld else ""
        lines.append(
            f"participant {person['index']}: {person['signer']}, {person['rows']} rows, "
            f"{person['claimed']} {unit} claimed{charged}{left}"
        )
    rounds = fields.get("attesting", [])
    assert isinstance(rounds, list)
    for line in rounds:
        lines.append(f"attesting round {line['round']}: {Effort.of_record(line)}")
    return lines
