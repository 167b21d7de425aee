"""`fednode status`: where a federation stands."""

from pathlib import Path

import click

from fednode.cli.edge import (
    Output,
    chain_options,
    federation_option,
    json_option,
    key_option,
    ledger_option,
    options,
    own_option,
    store_options,
)
from fednode.cli.open import open_content, open_contract, open_federation, open_vault
from fednode.federation import Federation
from ledger.audit.wording import clean
from ledger.sealing import NotForUs
from ledger.state import Phase

LABELS = {"deadline_in": "seconds to the deadline"}


@click.command()
@options(chain_options, ledger_option, federation_option, store_options, key_option, own_option)
@json_option
def status(
    rpc: str,
    chain_id: int | None,
    ledger: str,
    federation: str,
    ipfs: str | None,
    store: Path | None,
    key_files: tuple[Path, ...],
    own: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print a federation's phase, deadline, participants, results and payouts."""
    opened = open_federation(
        open_contract(rpc, chain_id, ledger),
        federation,
        open_content(ipfs, store),
        own=own,
        vault=open_vault(key_files),
    )
    fields = _fields(opened)
    Output(as_json).result(fields, _text(fields))


def _fields(opened: Federation) -> dict[str, object]:
    state, trail = opened.state, _trail(opened)
    deadline = state.deadline
    now = opened.chain.now()
    return {
        "federation": opened.id.hex(),
        "name": opened.policy.federation.name,
        "phase": state.phase.value,
        "round": state.round.index if state.rounds else None,
        "commits": state.round.slots if state.rounds else 0,
        "seats": state.round.seats if state.rounds else 0,
        "challenges": sum(1 for _ in state.disputed()),
        "deadline_in": None if deadline is None else deadline - now,
        "results": len(state.lineage),
        "settled": sum(accepted.settled for accepted in state.lineage),
        "rounds": opened.policy.training.rounds,
        "head": state.head.hex(),
        "utility": trail[-1] / 1_000_000 if trail else None,
        "released_version": opened.released_version()
        if state.phase is Phase.ENDED and trail is not None
        else None,
        "token": opened.policy.reward.token,
        "participants": [
            {
                "index": p.index,
                "signer": p.signer,
                "rows": p.datasets[-1].rows,
                "active": p.until is None,
                "slashed": p.slashed,
                "claimed": str(p.paid),
            }
            for p in state.participants
        ],
    }


def _trail(opened: Federation) -> tuple[int, ...] | None:
    """Give the utilities so far; None where they are sealed and no key of ours opens them."""
    try:
        return opened.standing().trail
    except NotForUs:
        return None


def _text(fields: dict[str, object]) -> str:
    unit = "wei" if fields["token"] is None else "units"
    lines = [
        f"{LABELS.get(name, name.replace('_', ' '))}: {clean(str(value), 200)}"
        for name, value in fields.items()
        if name != "participants" and value is not None
    ]
    people = fields["participants"]
    assert isinstance(people, list)
    for person in people:
        left = "" if person["active"] else ", slashed" if person["slashed"] else ", has left"
        lines.append(
            f"participant {person['index']}: {person['signer']}, {person['rows']} rows, "
            f"{person['claimed']} {unit} claimed{left}"
        )
    return "\n".join(lines)
