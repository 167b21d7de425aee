"""Measuring a whole history again on the original rows, for an auditor who is shown them.

An audit without them believes a shard's counts, and knows only the slices that were opened. Rows
come in the files that `fednode data evaluation` writes, and count only if their root is the one
that the federation holds. What was erased by declaration, or is sealed for others, cannot be
measured again, and the verdict says so.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fednode.data.evaluation_set import EvaluationSet
from fednode.data.salted import SaltedRows
from fednode.errors import FedNodeError
from fednode.evaluation import shards
from fednode.evaluation.evaluator import agree
from fednode.evaluation.metrics import PPM
from fednode.evaluation.shards import Counts
from fednode.evaluation.slices import cut
from fednode.federation import Rulebook, read_rulebook
from fednode.roles.counting import coalition_counts, left_out
from incentives.valuation import Valuation
from ledger import artefacts
from ledger.audit.evidence import Evidence
from ledger.audit.verdict import UTILITIES, Check, Finding, Lack, Verdict
from ledger.errors import MalformedRecord
from ledger.history import Event
from ledger.members import Participant
from ledger.proceedings import Accepted, Round
from ledger.replica import Replica
from ledger.round import Int32, Players, deciding, gained
from ledger.sealing import NO_KEYS, NotForUs, Vault
from ledger.stores import BlockNotFound
from ledger.types import Address


class NotTheRows(FedNodeError):
    """Rows that the federation has never committed to."""

    def __init__(self, what: str) -> None:
        super().__init__(f"--eval-data: {what}: get the files of this federation's own rows")


@dataclass(frozen=True, slots=True)
class Remeasured:
    """One thing that was measured again; `recorded` is None where nothing was recorded of it, and
    `lack` says why it was not measured, if it was not.
    """

    round: int
    subject: str
    measured: tuple[int, ...]
    recorded: tuple[int, ...] | None
    signer: Address | None = None
    tolerance: int = 0
    lack: Lack | None = None

    @property
    def check(self) -> Check:
        """What it adds to a verdict."""
        ok = self.lack is None and self.agrees
        return Check(UTILITIES, self.round, self.subject, ok=ok, lack=self.lack)

    @property
    def agrees(self) -> bool:
        """Whether what was recorded is what was measured."""
        recorded = self.measured if self.recorded is None else self.recorded
        return agree(recorded, self.measured, tolerance=self.tolerance)

    @property
    def text(self) -> str:
        """What was found, in one line."""
        if self.recorded is None:
            gain = gained(self.measured) / PPM
            return f"Round {self.round}: {self.subject}; on it the round gained {gain:+.4f}."
        pairs = zip(self.recorded, self.measured, strict=False)
        wrong = sum(one != other for one, other in pairs)
        return (
            f"Round {self.round}: {self.subject}: {wrong} of {len(self.measured)} numbers "
            f"recorded otherwise; all together {self.recorded[-1]} instead of {self.measured[-1]}."
        )


def read_rows(path: Path) -> list[SaltedRows]:
    """Read a file of rows, or all files of a folder."""
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    if not files:
        raise NotTheRows(f"{path} is an empty folder")
    return [SaltedRows.load(file) for file in files]


def remeasure(
    verdict: Verdict,
    evidence: Evidence,
    rows: Sequence[SaltedRows],
    *,
    own: Collection[str] = (),
    vault: Vault = NO_KEYS,
) -> Verdict:
    """Add to the verdict of an audit what measuring everything again on the original rows gives."""
    if not verdict.holds:
        return replace(verdict, notes=(*verdict.notes, "Nothing was measured on the rows given."))
    erased = {(one.participant, round_) for one in verdict.erased for round_ in one.rounds}
    history = _History(evidence, own, vault, erased)
    found = list(history.remeasured(rows))
    checks = tuple(one.check for one in (*found, *history.missed))
    told = tuple(one.text for one in found if one.recorded is None or not one.agrees)
    wrong = next((one for one in found if not one.agrees), None)
    return replace(
        verdict,
        checks=(*verdict.checks, *checks),
        notes=(*verdict.notes, *told, *history.notes),
        finding=None if wrong is None else _finding(wrong),
        remeasured=sum(one.recorded is not None for one in found),
    )


def _finding(wrong: Remeasured) -> Finding:
    assert wrong.recorded is not None
    pairs = zip(wrong.measured, wrong.recorded, strict=False)
    place, (expected, found) = next((k, pair) for k, pair in enumerate(pairs) if len({*pair}) > 1)
    subject = f"{wrong.subject}, number {place}, on the original rows"
    return Finding(UTILITIES, wrong.round, subject, str(expected), str(found), wrong.signer)


class _Given:
    """The events of the evidence, all at once."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = events

    def poll(self) -> Sequence[Event]:
        events, self._events = self._events, ()
        return events

    def reset(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class _Played:
    """A training result: its round, and what its coalitions' models are made from."""

    accepted: Accepted
    round: Round
    before: Int32
    players: Players
    valuation: Valuation


class _History:
    """A federation's results, with everything that they were made from."""

    def __init__(
        self,
        evidence: Evidence,
        own: Collection[str],
        vault: Vault,
        erased: Collection[tuple[int, int]],
    ) -> None:
        self.missed: list[Remeasured] = []
        self.notes: list[str] = []
        self._erased = erased
        self._store = evidence.store
        self._replica = Replica(
            _Given(evidence.events), evidence.store, origin=evidence.origin, vault=vault
        )
        self._state = self._replica.refresh()
        self._book: Rulebook = read_rulebook(self._replica, evidence.store, own=own)

    def remeasured(self, rows: Sequence[SaltedRows]) -> Iterator[Remeasured]:
        """Measure every training result again, in order."""
        mode = self._book.policy.evaluation.mode
        if mode == "shards":
            yield from self._shards(rows)
        elif mode == "none" or len(rows) != 1:
            raise NotTheRows(f"{len(rows)} files for a federation that measures on {mode} rows")
        elif mode == "slices":
            yield from self._slices(rows[0])
        else:
            yield from self._public(rows[0].rows)

    def _public(self, rows: EvaluationSet) -> Iterator[Remeasured]:
        if rows.digest != self._replica.link("evaluation"):
            raise NotTheRows("the rows are not those that the policy published")
        for played in self._results():
            yield self._utilities(played, rows, "its utilities")

    def _slices(self, rows: SaltedRows) -> Iterator[Remeasured]:
        slices = cut(rows, self._book.policy.slices)
        opener = self._book.opener
        if opener is None or slices.root != opener.tree.commitment.root:
            raise NotTheRows("the rows are not those that the policy promised slices of")
        for played in self._results():
            number = self._state.slice_number(played.round)
            if number < len(slices.parts):
                part, subject = slices.parts[number].rows, f"slice {number}"
                measured = self._utilities(played, part, f"its utilities on {subject}")
                if not measured.recorded:
                    subject = f"{subject} was not opened in time"
                    measured = replace(measured, subject=subject, recorded=None)
                yield measured

    def _shards(self, rows: Sequence[SaltedRows]) -> Iterator[Remeasured]:
        owners = [(self._owner(shard), shard) for shard in rows]
        for played in self._results():
            following = self._state.lineage[played.accepted.height :][:1]
            for accepted in following if played.players.participants else ():
                carrying = self._state.rounds[accepted.round]
                for owner, shard in owners:
                    found = self._reported(played, carrying, owner, shard)
                    if found is not None:
                        yield self._counts(played, owner.index, shard.rows, found)

    def _owner(self, shard: SaltedRows) -> Participant:
        """Find whose shard it is by what its owner committed to."""
        root = shard.commitment
        for participant in self._state.participants:
            if any(dataset.root == root for dataset in participant.datasets):
                return participant
        raise NotTheRows(f"nobody here has committed to a shard with the root {shard.root.hex()}")

    def _reported(
        self, played: _Played, carrying: Round, owner: Participant, shard: SaltedRows
    ) -> Counts | None:
        """Read what a participant said that it counted on a shard; None, and a note of it, if that
        is erased, or was on other rows, of which it may have erased some since.
        """
        subject = _on_its_shard(owner.index)
        if owner.dataset(carrying.index)[1].root != shard.commitment:
            self.notes.append(
                f"Round {played.round.index}: {subject} were of other rows than these."
            )
            return None
        if (owner.index, carrying.index) in self._erased:
            self._miss(played.round, subject, Lack.ERASED)
            return None
        leaves, access = self._replica.policy.leaves, self._replica.access(carrying)
        claims = self._replica.claims(carrying)
        for place in deciding(claims, carrying.batched):
            if claims[place].participant != owner.index:
                continue
            digest = claims[place].digest
            try:
                data = artefacts.read_update(self._store, digest, leaves, access).evaluation
                return None if data is None else shards.read(data, played.accepted.result)
            except NotForUs:
                self._miss(played.round, subject, Lack.SEALED)
                return None
            except MalformedRecord:
                return None
        return None

    def _counts(
        self, played: _Played, owner: int, shard: EvaluationSet, found: Counts
    ) -> Remeasured:
        book, others = self._book, left_out(played.players, owner)
        measuring = book.measuring(shard)
        counted = coalition_counts(book.rules, measuring, played.valuation, played.before, others)
        expected = shards.count(shard, counted, book.policy.evaluation.metric)
        return Remeasured(
            round=played.round.index,
            subject=_on_its_shard(owner),
            measured=(*expected.cells, *expected.counts),
            recorded=(*found.cells, *found.counts),
            signer=self._state.participants[owner].signer,
        )

    def _utilities(self, played: _Played, rows: EvaluationSet, subject: str) -> Remeasured:
        evaluator = self._book.measuring(rows)
        coalitions = played.valuation.coalitions(len(played.players.participants))
        models = self._book.rules.models(played.before, played.players, coalitions)
        return Remeasured(
            round=played.round.index,
            subject=subject,
            measured=evaluator.utilities(models),
            recorded=self._replica.reader(played.accepted).records().utilities,
            tolerance=evaluator.tolerance,
        )

    def _results(self) -> Iterator[_Played]:
        for accepted in self._state.lineage:
            trained = self._state.training_index(accepted.height) - 1
            played = self._played(accepted, trained) if trained >= 0 else None
            if played is not None:
                yield played

    def _played(self, accepted: Accepted, trained: int) -> _Played | None:
        """Read what a result was made from; None, and a note of it, if that cannot be had."""
        round_ = self._state.rounds[accepted.round]
        try:
            before = self._replica.model(accepted.height - 1)
            players = self._replica.players(accepted)
        except NotForUs:
            self._miss(round_, _AGAIN, Lack.SEALED)
            return None
        except BlockNotFound:
            if round_.index not in {erased for _, erased in self._erased}:
                raise
            self._miss(round_, _AGAIN, Lack.ERASED)
            return None
        valuation = self._book.rules.valuation(trained)
        return _Played(accepted, round_, before, players, valuation)

    def _miss(self, round_: Round, subject: str, lack: Lack) -> None:
        """Note what cannot be measured again."""
        self.missed.append(Remeasured(round_.index, subject, (), None, lack=lack))


_AGAIN = "what the original rows say of its coalitions"


def _on_its_shard(owner: int) -> str:
    return f"the counts of participant {owner} on its shard"
