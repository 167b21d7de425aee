"""The federation itself: created, joined, trained, paid out, by the same code that nodes run."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module

from fednode.claims import claim_all
from fednode.creation import create, plan
from fednode.demo.options import DemoOptions
from fednode.demo.result import RoundRow, title
from fednode.demo.stage import Stage
from fednode.demo.watch import Watch
from fednode.evaluation.metrics import PPM
from fednode.federation import Federation
from fednode.membership import invite, make_request, membership, site_secret
from fednode.policy import Policy
from fednode.roles.journal import Journal
from fednode.roles.participant import Participant
from fednode.roles.proposer import Proposer
from fednode.roles.role import Progress, Role
from fednode.roles.trainer import Trainer
from fednode.roles.turns import moments
from fednode.site import Site, evaluation_rows, open_sites
from fednode.training.task import open_task
from ledger.chain.accounts import Account
from ledger.chain.federations import Federations, deploy
from ledger.history import Event, HistoryReader, LogsBehind, Reorganised
from ledger.proceedings import Accepted
from ledger.types import Digest, FederationId, Wei

INVITATION_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Hospital:
    """One site with its account, its own view of the federation, and its journal."""

    site: Site
    account: Account
    federation: Federation
    journal: Journal

    def participant(self) -> Role:
        """Give the role that trains and votes."""
        trainer = Trainer(self.federation.rulebook.task, self.site.train)
        return Participant(self.federation, self.account, trainer, self.journal)

    def proposer(self) -> Role:
        """Give the role that proposes when it is the hospital's turn."""
        return Proposer(self.federation, self.account)


def found(
    stage: Stage, policy: Policy, sites: Sequence[Site], options: DemoOptions, watch: Watch
) -> list[Hospital]:
    """Deploy the contract, create the federation, and let every hospital join."""
    watch.say("deploying the contract")
    contract = Federations(stage.chain, deploy(stage.chain, stage.creator))
    watch.say("creating the federation")
    federation = _create(stage, contract, policy)
    hospitals = []
    for place, site in enumerate(sites):
        watch.say(f"{title(site.name)} joins")
        _join(stage, contract, federation, site, place=place, options=options)
    for place, (site, account) in enumerate(zip(sites, stage.hospitals, strict=True)):
        view = Federation(contract, federation, stage.store(place))
        journal = Journal(options.directory / "journals" / site.name, federation)
        hospitals.append(Hospital(site, account, view, journal))
    return hospitals


def _create(stage: Stage, contract: Federations, policy: Policy) -> FederationId:
    planned = plan(
        policy,
        open_task(policy.model_spec),
        evaluation_rows(policy, open_sites(policy, public_rows=True)),
        chain_id=stage.chain.chain_id,
        ledger=contract.address,
    )
    salt = Digest(secrets.token_bytes(32))
    federation, receipt = create(contract, stage.creator, planned, stage.store(0), salt=salt)
    stage.fund(policy, receipt, planned.cost.gas_per_round)
    return federation


def _join(
    stage: Stage,
    contract: Federations,
    federation: FederationId,
    site: Site,
    *,
    place: int,
    options: DemoOptions,
) -> None:
    account = stage.hospitals[place]
    secret = site_secret(options.directory / "journals" / site.name)
    request, identity = make_request(
        federation, account, name=title(site.name), site=site, secret=secret
    )
    stage.store(place).put(identity)
    invitation = invite(
        request,
        stage.creator,
        expires=stage.chain.now() + INVITATION_SECONDS,
        chain_id=stage.chain.chain_id,
        ledger=contract.address,
    )
    terms = membership(request, invitation, signer=account.address, payout=account.address)
    contract.join(account, federation, terms, stake=Wei(0))


def play(stage: Stage, hospitals: Sequence[Hospital], watch: Watch) -> list[RoundRow]:
    """Step all roles until the federation has ended and settled.

    Proposers act when no participant has anything to do: so nobody waits for bytes that another
    role of this very process is about to publish.
    """
    # Imported before the clock starts: the seconds that torch takes belong to no round.
    watch.say("loading torch")
    import_module("fednode.training.sgd")
    watch.say("training")
    spectator = Spectator(hospitals[0].federation)
    rounds = hospitals[0].federation.replica.policy.rounds
    participants = [hospital.participant() for hospital in hospitals]
    proposers = [hospital.proposer() for hospital in hospitals]
    while True:
        progress = {role.step() for role in participants}
        if Progress.ACTED not in progress:
            progress |= {role.step() for role in proposers}
        for row in spectator.look():
            watch.round(row, of=rounds)
        if progress == {Progress.DONE}:
            return spectator.rows
        if Progress.ACTED not in progress:
            state = spectator.federation.state
            watch.say("waiting for the end of the challenge window" if state.ended else "waiting")
            stage.rest(next((at for at in moments(state) if at > stage.chain.now()), None))


@dataclass(slots=True)
class Spectator:
    """Sees the rounds go by: what they cost and what they came to."""

    federation: Federation
    rows: list[RoundRow] = field(default_factory=list)
    _gas: dict[int, int] = field(default_factory=dict)
    _seen: set[bytes] = field(default_factory=set)
    _reader: HistoryReader = field(init=False)
    _since: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        view = self.federation
        self._reader = HistoryReader(
            view.chain, view.contract.address, view.id, begins=view.contract.first_block
        )

    def look(self) -> list[RoundRow]:
        """Give the rounds that were accepted since the last look."""
        state = self.federation.refresh()
        for event in self._events():
            self._count(event)
        new = [self._row(accepted) for accepted in state.lineage[len(self.rows) :]]
        self.rows.extend(new)
        return new

    def _events(self) -> Sequence[Event]:
        try:
            return self._reader.poll()
        except LogsBehind as lag:
            return lag.events
        except Reorganised:
            self._reader.reset()
            self._gas.clear()
            self._seen.clear()
            return self._reader.poll()

    def _count(self, event: Event) -> None:
        """Add a transaction's gas to the round of its first event that has one."""
        round_ = getattr(event, "round", None)
        if round_ is None or event.meta.transaction in self._seen:
            return
        self._seen.add(event.meta.transaction)
        receipt = self.federation.chain.receipt(event.meta.transaction)
        self._gas[round_] = self._gas.get(round_, 0) + (receipt.gas_used if receipt else 0)

    def _row(self, accepted: Accepted) -> RoundRow:
        state = self.federation.state
        reader = self.federation.replica.reader(accepted)
        measured = reader.records().utilities
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        return RoundRow(
            round=accepted.round,
            version=state.training_index(accepted.height),
            quality=measured[-1] / PPM if measured else None,
            model=reader.header.model_digest.hex(),
            updates=reader.header.number,
            seats=state.rounds[accepted.round].seats,
            gas=self._gas.get(accepted.round, 0),
            seconds=seconds,
        )


def settle(stage: Stage, hospitals: Sequence[Hospital], watch: Watch) -> Wei:
    """Claim every payout and bond, take the refund, write a checkpoint; give the refund."""
    watch.say("claiming payouts and bonds")
    for hospital in hospitals:
        claim_all(hospital.federation, hospital.account)
    view = hospitals[0].federation
    taken = claim_all(view, stage.creator)
    view.contract.checkpoint(stage.creator, view.id)
    view.refresh()
    return Wei(sum(claimed.amount for claimed in taken if claimed.kind == "refund"))
