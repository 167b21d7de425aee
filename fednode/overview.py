"""Where a federation stands, for `fednode status`: as one record, and in lines for people.

All of it follows from the chain alone, but for what `Recorded` holds: that needs the policy's
record, the participants' and the results'. No model is built and no program code imported.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from fednode.claims import Holding
from fednode.federation import released
from fednode.names import read_names
from fednode.outlook import ACTS, Outlook, calling, closing, listed
from fednode.policy import Policy
from ledger.audit.wording import metric
from ledger.lines import clean
from ledger.members import Participant
from ledger.plain import dated, ether, moment, span
from ledger.proceedings import Outcome
from ledger.sealing import NotForUs
from ledger.state import FederationState, Phase
from ledger.stores import ContentStore
from ledger.types import ZERO_ADDRESS

CLOCKS_AGREE = 60
"""Seconds by which chain time may differ from the machine's clock without a word."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What records add to what the chain tells. `utility` is in millionths."""

    name: str | None = None
    metric: str | None = None
    utility: int | None = None
    version: int | None = None
    names: dict[int, str] = field(default_factory=dict)
    shard_models: int | None = None
    """By shards, how many models a row may answer."""

    @classmethod
    def read(cls, holdings: Holding, store: ContentStore) -> "Recorded":
        """Read them; raise what a store that lacks them raises."""
        state = holdings.state
        policy = Policy.from_record(holdings.replica.rest().get("policy"))
        try:
            trail: tuple[int, ...] | None = holdings.replica.trail()
        except NotForUs:
            trail = None  # sealed, and no key of ours opens it
        ended = state.phase is Phase.ENDED and trail is not None
        return cls(
            name=policy.federation.name,
            metric=None if policy.evaluation.mode == "none" else policy.evaluation.metric,
            utility=trail[-1] if trail else None,
            version=released(policy, state, trail or ()) if ended else None,
            names=read_names(state.participants, store),
            shard_models=policy.shard_models if policy.evaluation.mode == "shards" else None,
        )


@dataclass(frozen=True, slots=True)
class Overview:
    """A federation at a chain time. `clock` is the machine's own time."""

    holdings: Holding
    now: int
    clock: int
    recorded: Recorded

    @property
    def _state(self) -> FederationState:
        return self.holdings.state

    def record(self) -> dict[str, object]:
        """Return it for JSON: times in seconds, amounts in wei or a token's least units."""
        state, known = self._state, self.recorded
        outlook = Outlook.of(state)
        round_ = state.round if state.rounds else None
        return {
            "federation": self.holdings.id.hex(),
            "name": known.name,
            "phase": state.phase.value,
            "round": outlook.round,
            "time": self.now,
            "deadline": outlook.deadline,
            "deadline_in": None if outlook.deadline is None else outlook.deadline - self.now,
            "passed": outlook.passed(self.now),
            "next_due": state.deadline,
            "turn": None if outlook.turn is None else self._who(outlook.turn),
            "turn_is_anybodys": outlook.anybody,
            "waiting_to": ACTS.get(state.phase),
            "waiting_for": None
            if outlook.missing is None
            else [self._who(p) for p in outlook.missing],
            "joins_missing": outlook.joins,
            "commits": round_.slots if round_ else 0,
            "seats": round_.seats if round_ else 0,
            "attempt": round_.attempt if round_ else 0,
            "challenges": sum(1 for _ in state.disputed()),
            "results": len(state.lineage),
            "void": sum(r.outcome is Outcome.VOID for r in state.rounds),
            "void_in_a_row": state.void_in_a_row,
            "closable_from": None if state.phase is Phase.ENDED else state.closable_from,
            "settled": sum(accepted.settled for accepted in state.lineage),
            "rounds": state.policy.rounds,
            "head": state.head.hex(),
            "metric": known.metric,
            "utility": None if known.utility is None else known.utility / 1_000_000,
            "released_version": known.version,
            "token": None if state.policy.token == ZERO_ADDRESS else state.policy.token,
            "pool": str(state.policy.pool),
            "claimed": str(sum(p.paid for p in state.participants)),
            "participants": [self._participant(p) for p in state.participants],
        }

    def _who(self, participant: Participant) -> dict[str, object]:
        index = participant.index
        name = self.recorded.names.get(index)
        return {"index": index, "name": name, "signer": participant.signer}

    def _participant(self, participant: Participant) -> dict[str, object]:
        return {
            **self._who(participant),
            "rows": participant.datasets[-1].rows,
            "active": participant.until is None,
            "slashed": participant.slashed,
            "stake": str(participant.stake),
            "claimed": str(participant.paid),
            "charged": sorted(participant.charged),
        }

    def lines(self) -> Iterator[str]:
        """Return it in lines for people."""
        state, known = self._state, self.recorded
        yield f"federation: {self.holdings.id.hex()}"
        if known.name is not None:
            yield f"name: {clean(known.name, 200)}"
        yield f"phase: {state.phase.value}"
        if state.rounds:
            yield f"round: {state.round.index}"
        yield f"chain time: {moment(self.now)}{self._clocks()}"
        yield from self._waiting()
        if state.rounds:
            yield f"commits: {state.round.slots} of {state.round.seats}"
        yield from self._results()
        if state.phase is Phase.ENDED and known.version is not None:
            yield f"released version: {known.version}"
        yield from self._money()
        yield from map(self._line, state.participants)

    def _waiting(self) -> Iterator[str]:
        state, called = self._state, calling(self.recorded.names)
        outlook = Outlook.of(state)
        if outlook.deadline is not None:
            yield f"deadline of the phase: {dated(outlook.deadline, self.now)}"
        if outlook.turn is not None:
            passed = ", which has passed" if outlook.passed(self.now) else ""
            yield f"turn to propose: {called(outlook.turn)}{passed}"
        elif outlook.anybody:
            yield "turn to propose: any account, as a turn has passed"
        if outlook.missing and state.phase is not Phase.PROPOSE:
            acted = "committed" if state.phase is Phase.COMMIT else "voted"
            yield f"not {acted} yet: {listed([called(p) for p in outlook.missing])}"
        if state.settled:
            yield "now: all is over: the federation has ended, and all its results have settled"
        else:
            yield f"now: {outlook.sentence(self.now, called)}"
        due = state.deadline
        if due is not None and due != outlook.deadline:
            yield f"next due: {dated(due, self.now)}"
        advice = closing(state, self.now)
        if advice is not None:
            yield f"note: {advice}"

    def _clocks(self) -> str:
        """Say how far chain time is from the machine's: where the chain stands still, no time that
        is printed ever comes.
        """
        behind = self.clock - self.now
        if abs(behind) <= CLOCKS_AGREE:
            return ""
        if behind < 0:
            return f" ({span(-behind)} ahead of this machine's clock)"
        return (
            f" ({span(behind)} behind this machine's clock: if it stands still, no deadline comes "
            "until the chain makes blocks)"
        )

    def _results(self) -> Iterator[str]:
        state, known = self._state, self.recorded
        settled = sum(accepted.settled for accepted in state.lineage)
        void = sum(r.outcome is Outcome.VOID for r in state.rounds)
        more = f"; {state.policy.rounds} results are to be trained"
        yield (
            f"results: {len(state.lineage)} accepted, {settled} of them settled; "
            f"{void} rounds void{'' if state.phase is Phase.ENDED else more}"
        )
        disputed = sum(1 for _ in state.disputed())
        if disputed:
            yield f"challenges: {disputed}"
        if known.utility is not None:
            yield f"quality: {known.utility / 1_000_000:.4f} ({metric(known.metric or '')})"

    def _money(self) -> Iterator[str]:
        state = self._state
        yield f"pool: {self._amount(state.policy.pool)}"
        yield f"claimed: {self._amount(sum(p.paid for p in state.participants))}"

    def _amount(self, units: int) -> str:
        """Return an amount of the pool's currency."""
        token = self._state.policy.token
        return ether(units) if token == ZERO_ADDRESS else f"{units:,} units of token {token}"

    def _line(self, person: Participant) -> str:
        name = self.recorded.names.get(person.index)
        who = person.signer if name is None else calling({person.index: name})(person)
        left = "" if person.until is None else ", slashed" if person.slashed else ", has left"
        withheld = ", ".join(map(str, sorted(person.charged)))
        charged = f", charged for withholding in round {withheld}" if withheld else ""
        return (
            f"participant {person.index}: {who}, {person.datasets[-1].rows} rows, "
            f"{ether(person.stake)} staked, {self._amount(person.paid)} claimed{charged}{left}"
        )
