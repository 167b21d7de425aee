"""From what an audit learned to the verdict that people read."""

from fractions import Fraction

from ledger.audit.evidence import Evidence
from ledger.audit.facts import Facts
from ledger.audit.verdict import (
    Entry,
    Erased,
    Finding,
    Outcome,
    ParticipantSummary,
    RoundSummary,
    Terms,
    Verdict,
)
from ledger.headers import Evaluation
from ledger.proceedings import Accepted, Round
from ledger.proceedings import Outcome as RoundOutcome
from ledger.replica import UnknownFederation
from ledger.state import FederationState, Phase
from ledger.types import Wei

VALUE_UNIT = 27_720
_UNKNOWN = Terms(name="unknown", rule="", metric="", valuation="", pool=Wei(0))


def summarise(evidence: Evidence, facts: Facts, finding: Finding | None) -> Verdict:
    """Make the verdict."""
    try:
        state = facts.replica.state
    except UnknownFederation:
        state = None
    gas = _gas_by_round(evidence)
    rounds = tuple(_round(state, facts, r, gas) for r in state.rounds) if state else ()
    participants = _participants(state, facts) if state else ()
    return Verdict(
        federation=evidence.origin.federation,
        chain_id=evidence.origin.chain_id,
        contract=evidence.origin.ledger,
        trusted_block=evidence.block,
        terms=facts.terms or _UNKNOWN,
        rounds=rounds,
        participants=participants,
        checks=tuple(facts.checks),
        finding=finding,
        notes=(*facts.notes, *_notes(state)),
        erased=tuple(
            Erased(participant, _name(facts, participant), tuple(sorted(rounds)))
            for participant, rounds in sorted(facts.erased.items())
        ),
    )


def _name(facts: Facts, participant: int) -> str:
    return facts.names.get(participant, f"participant {participant}")


def _round(
    state: FederationState, facts: Facts, round_: Round, gas: dict[int, int]
) -> RoundSummary:
    accepted = next((a for a in state.lineage if a.round == round_.index), None)
    proposal = round_.proposals[-1] if round_.proposals else None
    published = facts.results.get(accepted.result) if accepted else None
    measured = _measured(state, facts, accepted)
    entries = published.entries()[: round_.slots] if published else []
    return RoundSummary(
        round=round_.index,
        outcome=_outcome(round_, settled=accepted is not None and accepted.settled),
        opened_at=round_.opened,
        ended_at=accepted.accepted_at if accepted else None,
        version=state.training_index(accepted.height) if accepted else None,
        result=accepted.result if accepted else None,
        proposer=proposal.signer if proposal else None,
        statistics=state.statistics_round(round_.parent),
        attempts=min(round_.attempt + 1, state.policy.attempts),
        seats=proposal.committee.seats if proposal else round_.seats,
        votes_for=proposal.count(True) if proposal else 0,
        votes_against=proposal.count(False) if proposal else 0,
        entries=tuple(Entry(e.participant, e.weight, e.reason) for e in entries),
        utility_before=measured[0] if measured else None,
        utility_after=measured[-1] if measured else None,
        gas=gas.get(round_.index),
    )


def _measured(state: FederationState, facts: Facts, accepted: Accepted | None) -> tuple[int, ...]:
    """Give the utilities of a round's coalitions; by shards, the next result carries them."""
    if accepted is None:
        return ()
    late = state.policy.evaluation == Evaluation.SHARDS
    holder = next(iter(state.lineage[accepted.height :][:1]), None) if late else accepted
    published = facts.results.get(holder.result) if holder else None
    return published.records.utilities if published else ()


def _outcome(round_: Round, *, settled: bool) -> Outcome:
    if round_.outcome is RoundOutcome.ACCEPTED:
        return Outcome.SETTLED if settled else Outcome.ACCEPTED
    return Outcome.VOID if round_.outcome is RoundOutcome.VOID else Outcome.OPEN


def _gas_by_round(evidence: Evidence) -> dict[int, int]:
    """Add up the gas of the transactions of each round; one that ends a round and opens the next
    counts once.
    """
    gas: dict[int, int] = {}
    seen: set[bytes] = set()
    for event in evidence.events:
        round_ = getattr(event, "round", None)
        used = evidence.gas.get(event.meta.transaction)
        if round_ is None or used is None or event.meta.transaction in seen:
            continue
        seen.add(event.meta.transaction)
        gas[round_] = gas.get(round_, 0) + used
    return gas


def _participants(state: FederationState, facts: Facts) -> tuple[ParticipantSummary, ...]:
    """Sum contributions over all periods, and take payouts from the newest result that was
    checked.
    """
    values = [Fraction(0)] * len(state.participants)
    payouts = [0] * len(state.participants)
    checked = [a for a in state.lineage if a.result in facts.results]
    for place, accepted in enumerate(checked):
        records = facts.results[accepted.result].records
        stop = records.header.stop
        last = place == len(checked) - 1
        if not last and not state.ends_period(accepted.height, stop):
            continue
        for leaf in records.values:
            values[leaf.index] += Fraction(leaf.value, VALUE_UNIT)
        for payout_leaf in records.payouts:
            payouts[payout_leaf.index] = payout_leaf.amount
    total = sum(payouts) or 1
    return tuple(
        ParticipantSummary(
            index=participant.index,
            signer=participant.signer,
            name=_name(facts, participant.index),
            identity=participant.identity,
            weight=state.scale(participant.index, state.round) if state.rounds else 0,
            value=value,
            share=Fraction(payout, total),
            payout=Wei(payout),
            claimed=Wei(participant.paid),
        )
        for participant, value, payout in zip(state.participants, values, payouts, strict=True)
    )


def _notes(state: FederationState | None) -> tuple[str, ...]:
    """Say what the audit does not cover."""
    notes = ["What happened after the trusted block is outside of this audit."]
    if state is None:
        return tuple(notes)
    open_results = sum(not a.settled for a in state.lineage)
    if open_results:
        notes.append(f"{open_results} accepted results are not settled yet: payouts may change.")
    if state.phase is not Phase.ENDED:
        notes.append("The federation goes on: contributions and payouts are those so far.")
    return tuple(notes)
