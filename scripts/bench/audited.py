"""A federation whose nodes all live in this process, each with its own view, store and journal."""

from collections.abc import Iterator

from fednode.auditing import run_audit
from fednode.creation import create, plan
from fednode.federation import Federation
from fednode.policy import Policy
from fednode.roles.journal import Journal
from fednode.roles.participant import Participant
from fednode.roles.proposer import Proposer
from fednode.roles.role import Role
from fednode.roles.trainer import Trainer
from fednode.training.task import open_task
from ledger.audit.sources import evidence_from_chain
from ledger.audit.verdict import Verdict
from ledger.chain.accounts import Account
from ledger.chain.client import Chain
from ledger.chain.federations import Federations, Membership, deploy
from ledger.history import HistoryReader, ResultProposed, UpdateCommitted, Voted
from ledger.identity import identity_artefact, sign_identity
from ledger.round import Int32
from ledger.state import Phase
from ledger.stores import open_store
from ledger.types import ZERO_DIGEST, FederationId, Wei
from scripts.bench.clock import PARTICIPANT, Breakdown, Clock, TimedStore, instrument, timed
from scripts.bench.engines import Engine
from scripts.bench.workload import Data

PROPOSER = "proposer"
AUDIT = "audit"
ROUND_EVENTS = (UpdateCommitted, ResultProposed, Voted)


class Audited:
    """A federation whose nodes all live in this process, each with its own view and journal."""

    def __init__(self, engine: Engine, data: Data, *, store: str | None) -> None:
        self._clock = Clock()
        self._engine = engine
        self._location = store or str(engine.folder / "blocks")
        self._contract = Federations(engine.chain, deploy(engine.chain, engine.creator))
        self._federation = self._create(data.policy)
        for account in engine.members(len(data.tables)):
            self._join(account)
        self._watcher = Federation(self._contract, self._federation, open_store(self._location))
        roles = list(self._open_roles(data))
        self._participants = [participant for participant, _ in roles]
        self._proposers = [proposer for _, proposer in roles]

    def model(self) -> Int32:
        """Give the newest model."""
        return self._watcher.standing().model

    def round(self) -> Breakdown:
        """Play one round; give what it took on all nodes.

        A node is stepped when there may be something for it to do: how often it looks in between is
        a matter of its poll interval, not of the round.
        """
        goal = len(self._watcher.refresh().lineage) + 1
        self._clock.take()
        with instrument(self._clock):
            while len(self._watcher.refresh().lineage) < goal:
                self._sweep(goal)
        return self._clock.take()

    def _sweep(self, goal: int) -> None:
        """Step every participant once, then the proposer whose turn it is."""
        for participant in self._participants:
            self._step(PARTICIPANT, participant)
            if len(self._watcher.refresh().lineage) == goal:
                return
        state = self._watcher.state
        if state.phase is Phase.PROPOSE:
            turn = state.in_turn(state.round)
            self._step(PROPOSER, self._proposers[turn.index if turn else 0])

    def _step(self, activity: str, role: Role) -> None:
        with self._clock.acting(activity):
            role.step()

    def traffic(self) -> tuple[int, int, int]:
        """Count the transactions of all rounds, their gas and their bytes, from receipts."""
        reader = HistoryReader(self._engine.chain, self._contract.address, self._federation)
        seen = {e.meta.transaction for e in reader.poll() if isinstance(e, ROUND_EVENTS)}
        gas = size = 0
        for transaction in seen:
            receipt = self._engine.chain.receipt(transaction)
            sent = self._engine.chain.transaction(transaction)
            assert receipt is not None
            assert sent is not None
            gas += receipt.gas_used
            size += len(sent.raw or sent.data)
        return len(seen), gas, size

    def settle(self) -> None:
        """Let the challenge windows end and settle every result."""
        state = self._watcher.refresh()
        while not state.settled:
            assert state.deadline is not None
            self._engine.jump(state.deadline)
            self._contract.advance(self._engine.creator, self._federation)
            state = self._watcher.refresh()

    def audit(self) -> tuple[Verdict, Breakdown]:
        """Replay everything from chain and store."""
        self._clock.take()
        contract = Federations(self._timed_chain(), self._contract.address)
        store = TimedStore(open_store(self._location), self._clock)
        with instrument(self._clock), self._clock.acting(AUDIT):
            with self._clock.part("chain"):
                evidence = evidence_from_chain(contract, self._federation, store)
            verdict = run_audit(evidence)
        return verdict, self._clock.take()

    def _create(self, policy: Policy) -> FederationId:
        planned = plan(
            policy,
            open_task(policy.model_spec),
            None,
            chain_id=self._engine.chain.chain_id,
            ledger=self._contract.address,
        )
        store = open_store(self._location)
        federation, _ = create(self._contract, self._engine.creator, planned, store)
        return federation

    def _join(self, account: Account) -> None:
        """Join with an identity record and an account that is signer, controller and payee."""
        identity = identity_artefact(sign_identity(account, account.address))
        open_store(self._location).put(identity)
        membership = Membership(
            signer=account.address,
            payout=account.address,
            identity=identity.roots[0].digest,
            dataset_root=ZERO_DIGEST,
            rows=1,
        )
        self._contract.join(account, self._federation, membership, stake=Wei(0))

    def _open_roles(self, data: Data) -> Iterator[tuple[Participant, Proposer]]:
        """Make every member's two roles, which share a view of the federation."""
        members = self._engine.members(len(data.tables))
        for place, (account, rows) in enumerate(zip(members, data.tables, strict=True)):
            view = self._view()
            trainer = Trainer(open_task(data.policy.model_spec), rows)
            journal = Journal(self._engine.folder / f"journal-{place}", self._federation)
            kept = timed(journal, self._clock, "store")
            yield Participant(view, account, trainer, kept), Proposer(view, account)

    def _view(self) -> Federation:
        contract = Federations(self._timed_chain(), self._contract.address)
        store = TimedStore(open_store(self._location), self._clock)
        return Federation(contract, self._federation, store)

    def _timed_chain(self) -> Chain:
        return timed(self._engine.chain, self._clock, "chain")
