"""Forgetting: a participant destroys rows' salts and its own updates, and declares that it did.

The declaration comes first, and the destruction once the declaration is as deep in the chain as the
policy demands, as nothing could excuse what is missing otherwise. In between the journal holds the
plan: a call that was stopped goes on from there, and nothing else is forgotten instead.

A deeper reorganisation can still take the declaration back. So the journal keeps what was declared,
without what it was about, and the declaration is sent again.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fednode.disclosed import Disclosed, RowDigest
from fednode.errors import FedNodeError
from fednode.files import read_private, sweep, write_new, write_own
from fednode.kept_rows import KEPT, KeptRows
from fednode.membership import SECRET, committed, shown_shard
from fednode.roles.journal import Journal
from fednode.site import Site
from ledger.erasure import Erasure, LetGo, declarations, honour
from ledger.members import Participant
from ledger.replica import Replica
from ledger.slots import Claims, direct
from ledger.state import FederationState
from ledger.stores import ContentStore, LocalStore
from ledger.types import Digest, FederationId, ParticipantId, RoundIndex

PLAN = "forgetting.json"
DONE = "forgotten-*.json"
NOTE = "forgotten.new"
Declare = Callable[["Plan", Digest], object]
"""Sends the contract what is left, and the digest of the record of what was erased."""


class Following(Protocol):
    """A federation as a node follows it."""

    @property
    def id(self) -> FederationId:
        """Give its id."""

    @property
    def store(self) -> ContentStore:
        """Give the node's store."""

    @property
    def state(self) -> FederationState:
        """Give the state as of the last refresh."""

    @property
    def replica(self) -> Replica:
        """Give the node's copy of the federation."""

    def refresh(self) -> FederationState:
        """Take in what has happened."""


class Plan(BaseModel):
    """What is to be forgotten, and what is left then; `kept` only if rows go, `told` being how they
    stand in the record of what rows have told. A journal may be that of several federations, so the
    plan names its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    participant: int = Field(ge=0)
    rounds: tuple[int, ...]
    erased: int = Field(ge=0)
    root: str = Field(pattern=r"^[0-9a-f]{64}$")
    rows: int = Field(ge=0)
    kept: KeptRows | None = None
    told: tuple[RowDigest, ...] = ()
    federation: str = Field("", pattern=r"^([0-9a-f]{64})?$")

    def is_of(self, federation: FederationId) -> bool:
        """Whether this was planned in a federation."""
        return self.federation in ("", federation.hex())

    def erasure(self, federation: FederationId) -> Erasure:
        """Give the record that is declared."""
        rounds = tuple(RoundIndex(round_) for round_ in self.rounds)
        return Erasure(federation, ParticipantId(self.participant), rounds, self.erased)


def plan(
    state: FederationState,
    participant: Participant,
    site: Site,
    journal: Path,
    *,
    rounds: Collection[int],
    rows: Collection[int],
    claims: Claims = direct,
) -> Plan:
    """Say what is left without these rounds' updates and these rows, by their places.

    Refuse what cannot be declared: a round that may still be disputed, or that the participant has
    no update in; a row that the site does not have.
    """
    kept_updates = Journal(journal, state.federation).updates()
    _require_rounds(state, participant, rounds, claims, kept_updates)
    unknown = sorted(row for row in rows if not 0 <= row < len(site.table))
    if unknown:
        raise FedNodeError(f"--rows: site {site.name!r} has no row {unknown[0] + 1}")
    now = committed(site, journal)
    if now.root != participant.datasets[-1].root:
        raise FedNodeError(
            f"the rows of site {site.name!r} are not those on the chain: give the --site, --data "
            "and --journal that you joined with, and take rows out of the file afterwards"
        )
    shard_salts = () if site.held is None else shown_shard(site, journal).salts
    kept = KeptRows.of(site, now.salts, map(bytes, shard_salts)).without(set(rows))
    places = np.setdiff1d(np.arange(len(site.table)), list(rows))
    left = kept.commitment(kept.cut(replace(site, table=site.table.take(places))))
    if not left.rows:
        raise FedNodeError("no row would be left to train on: leave the federation instead")
    return Plan(
        participant=participant.index,
        rounds=tuple(sorted(set(rounds))),
        erased=now.rows - left.rows,
        root=left.root.hex(),
        rows=left.rows,
        kept=kept if rows else None,
        told=Disclosed(journal).digests(site.table.take(np.array(sorted(rows), dtype=np.int64))),
        federation=state.federation.hex(),
    )


def updates_of(
    state: FederationState,
    participant: int,
    claims: Claims = direct,
    kept: Collection[int] = (),
) -> list[int]:
    """List the rounds that a participant can erase its updates of: those it committed to, and those
    of which its journal has `kept` one that was never committed.
    """
    return [
        round_.index
        for round_ in state.rounds[: state.over]
        if round_.index in kept
        or any(s.unbound is None and s.participant == participant for s in claims(round_))
    ]


def pending(journal: Path) -> Plan | None:
    """Read a plan that was begun."""
    path = journal / PLAN
    return _read(path) if path.exists() else None


def _read(path: Path) -> Plan:
    try:
        return Plan.model_validate_json(read_private(path))
    except (OSError, ValidationError):
        raise FedNodeError(f"the journal's {path} is damaged: restore it from a copy") from None


def done(journal: Path) -> list[Plan]:
    """Read what was destroyed by declaration, the oldest first."""
    return [_read(path) for path in sorted(journal.glob(DONE))]


def lost(federation: Following, journal: Path) -> list[Plan]:
    """List what was destroyed and is not declared on the chain any more, as what is to be declared
    again: the chain was reorganised. What is left then is what the newest erasure left.
    """
    plans = [each for each in done(journal) if each.is_of(federation.id)]
    gone = [each for each in plans if not _is_covered(federation, each)]
    newest = plans[-1] if plans else None
    return [
        each.model_copy(update={"root": newest.root, "rows": newest.rows})
        for each in gone
        if newest is not None
    ]


def require_declared(federation: Following, journal: Path) -> None:
    """Refuse to go on as if nothing had happened where a declaration was lost."""
    if lost(federation, journal):
        raise FedNodeError(
            "the chain was reorganised and has lost the declaration of an erasure: run "
            "`fednode forget --resume` first, with the controller's account"
        )


def declare_again(federation: Following, journal: Path, declare: Declare) -> list[Digest]:
    """Send the declarations again that the chain has lost, the oldest first.

    A declaration covers only rounds that are over. If one is not over again yet, nothing is sent.
    """
    again = lost(federation, journal)
    late = max((round_ for each in again for round_ in each.rounds), default=-1)
    if late >= federation.state.over:
        raise FedNodeError(
            f"the chain was reorganised, and round {late}, whose update was erased, is not over: "
            "run `fednode forget --resume` when its result has settled"
        )
    digests = []
    for each in again:
        record = each.erasure(federation.id).artefact()
        federation.store.put(record)
        declare(each, record.roots[0].digest)
        digests.append(record.roots[0].digest)
    return digests


def begin(journal: Path, planned: Plan) -> None:
    """Write a plan down, unless another one was begun."""
    try:
        write_new(journal / PLAN, planned.model_dump_json().encode(), private=True)
    except FileExistsError:
        raise FedNodeError(
            "something else is being forgotten: run `fednode forget --resume` first"
        ) from None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The digest of the declaration, and what became of the blocks that it covers."""

    record: Digest
    blocks: LetGo


def finish(
    federation: Following,
    journal: Path,
    planned: Plan,
    declare: Declare,
    *,
    is_under_way: Callable[[], bool] = lambda: False,
) -> Forgotten:
    """Declare what is planned, unless it has been or is under way, and destroy it."""
    if not planned.is_of(federation.id):
        raise FedNodeError(
            f"what is being forgotten is of federation {planned.federation}: run `fednode forget "
            "--resume` with that --federation first"
        )
    record = planned.erasure(federation.id).artefact()
    digest = record.roots[0].digest
    federation.store.put(record)
    if not _declared(federation, planned, digest) and not is_under_way():
        declare(planned, digest)
        federation.refresh()
    if not _declared(federation, planned, digest):
        raise FedNodeError(
            "the declaration is not deep enough in the chain yet, and nothing was destroyed: run "
            "`fednode forget --resume` in a while"
        )
    blocks = _destroy(federation, journal, planned)
    _note(journal, planned)
    (journal / PLAN).unlink()
    return Forgotten(digest, blocks)


def _note(journal: Path, planned: Plan) -> None:
    """Keep what was declared, without the salts of the rows that were left then: a later erasure
    may be about them.
    """
    bare, before = planned.model_copy(update={"kept": None, "told": ()}), done(journal)
    if before[-1:] != [bare]:
        scratch = journal / NOTE
        scratch.unlink(missing_ok=True)
        write_new(scratch, bare.model_dump_json().encode(), private=True)
        scratch.rename(journal / DONE.replace("*", f"{len(before):06d}"))


def _destroy(federation: Following, journal: Path, planned: Plan) -> LetGo:
    """Destroy what is planned, and what an earlier call that was killed left half written. Records
    are read only where they are here: what others have declared must not hold this up.
    """
    if planned.kept is not None:
        write_own(journal / KEPT, planned.kept.model_dump_json().encode())
        (journal / SECRET).unlink(missing_ok=True)
    Disclosed(journal).forget(planned.told)
    sweep(journal)
    own = Journal(journal, federation.id)
    known = list(declarations(LocalStore(federation.store), federation.state))
    updates = chain.from_iterable(map(own.all_updates, planned.rounds))
    made = {cid for update in updates for cid in update.artefact.blocks}
    blocks = honour(federation.store, federation.replica, known, made=made)
    for round_ in planned.rounds:
        own.forget_update(round_, keep_private=True)
    own.sweep()
    return blocks


def _declared(federation: Following, planned: Plan, digest: Digest) -> bool:
    return any(
        dataset.erasure == digest and dataset.root.hex() == planned.root
        for participant in federation.state.participants[planned.participant :][:1]
        for dataset in participant.datasets
    )


def _is_covered(federation: Following, planned: Plan) -> bool:
    """Whether an erasure is declared, whatever data set it was declared with."""
    digest = planned.erasure(federation.id).artefact().roots[0].digest
    return any(
        dataset.erasure == digest
        for participant in federation.state.participants[planned.participant :][:1]
        for dataset in participant.datasets
    )


def _require_rounds(
    state: FederationState,
    participant: Participant,
    rounds: Collection[int],
    claims: Claims,
    kept: Collection[int],
) -> None:
    possible = set(updates_of(state, participant.index, claims, kept))
    for round_ in sorted(rounds):
        if round_ >= state.over:
            raise FedNodeError(
                f"--rounds: round {round_} is not over: its updates may be asked for until its "
                "result has settled"
            )
        if round_ not in possible:
            raise FedNodeError(f"--rounds: there is no update of yours in round {round_}")
