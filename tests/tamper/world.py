"""The contract as a slow reference in Python, with a content store beside it.

`World` has the contract's functions and emits its events, from the contract's own rules as they
stand in `contracts/src/Federations.sol`; so histories of thousands of federations can be made
without a chain. What an honest node would do with it is a `Story`.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cache
from typing import TypeVar

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from fednode.data.evaluation_set import EvaluationSet
from fednode.data.salted import SaltedRows
from fednode.evaluation.slices import LINK as SLICES
from fednode.evaluation.slices import SliceCommitment, Slices, cut
from fednode.models.layout import zeros
from fednode.rounds import FederationRules
from ledger import artefacts, cbor
from ledger import history as ev
from ledger.audit.evidence import Deployment, Evidence
from ledger.audit.verdict import TrustedBlock
from ledger.batch import Batch, Leaf
from ledger.chain.accounts import Account, from_key
from ledger.chain.calls import call
from ledger.cid import CID, Codec
from ledger.headers import PolicyHeader, ResultHeader, federation_id
from ledger.identity import identity_artefact, sign_identity
from ledger.payload import Payload, pad
from ledger.replica import LOCKED, Origin, Replica
from ledger.round import RoundContext
from ledger.sealing import NO_KEYS, Vault
from ledger.signatures import Commit, Domain, Vote
from ledger.stores import Artefact, MemoryStore
from ledger.types import ZERO_DIGEST, Address, Digest, FederationId, ParticipantId, RoundIndex, Wei
from tests.tamper.policies import Terms, evaluation_rows, rows_of

CHAIN_ID = 31337
LEDGER = Address(to_checksum_address("0x" + "fed0" * 10))
START = 1_800_000_000
SLICE = 12
"""Rows in a slice."""
E = TypeVar("E", bound=ev.Event)


@cache
def account(number: int) -> Account:
    """Give the account of a number; 0 creates federations, 1 is nobody's."""
    return from_key(keccak(text=f"account {number}"))


@cache
def identity(number: int) -> Artefact:
    """Give the identity record that an account signs."""
    return identity_artefact(sign_identity(account(number), f"Hospital {number}"))


CREATOR, STRANGER, FIRST_MEMBER = 0, 1, 2


def digest_of(*parts: object) -> Digest:
    """Make a digest that stands for something that nobody opens."""
    return Digest(keccak(text=repr(parts)))


class NoEvents:
    """A replica that is fed by hand."""

    def poll(self) -> list[ev.Event]:
        return []

    def reset(self) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Owner:
    """Who answers for a block, and in which round."""

    round: int | None
    signer: Address | None


def rechained(events: Iterable[ev.Event]) -> list[ev.Event]:
    """Give events the accumulators that they would have had."""
    h = ZERO_DIGEST
    result = []
    for event in events:
        h = ev.follows(h, event)
        result.append(replace(event, h=h))
    return result


@dataclass(frozen=True, slots=True)
class Setting:
    """What a federation is created with. `records` is whose policy lies in the store, `header`
    what the contract is told.
    """

    terms: Terms
    rows: EvaluationSet | None
    header: PolicyHeader
    artefact: Artefact
    slices: Slices | None = None

    @classmethod
    def draw(
        cls,
        rng: random.Random,
        of: Terms,
        *,
        records: Terms | None = None,
        parent: Digest = ZERO_DIGEST,
        shift: int = 0,
        chain_id: int = CHAIN_ID,
        ledger: Address = LEDGER,
    ) -> "Setting":
        """Draw the rows, write header and records. `shift` sets the published initial model off."""
        rows = evaluation_rows(rng, of)
        initial = of.layout.pack({**zeros(of.layout.payload), **of.task.initial(0)})
        promised = Payload(pad(initial, of.layout.leaves))
        initial[-1] += shift
        published = Payload(pad(initial, of.layout.leaves)).artefact()
        parts = [published]
        links: dict[str, cbor.Value] = {"initial": published.roots[0]}
        if rows is not None:
            parts.append(rows.artefact())
            links["evaluation"] = parts[1].roots[0]
        slices = None
        if of.policy.evaluation.mode == "slices":
            held = rows_of(rng, of, SLICE * of.policy.slices)
            slices = cut(SaltedRows.draw(held, rng.randbytes(32)), of.policy.slices)
            links[SLICES] = promised_by_creator(slices).record()
        policy = (records or of).policy
        if parent != ZERO_DIGEST and policy.statistics:
            links[LOCKED] = policy.statistics
        rest = artefacts.record({"policy": policy.rest_record(), **links})
        header = of.policy.header(
            chain_id,
            ledger,
            initial_model_root=promised.root,
            rest=rest[0].digest,
            leaves=of.layout.leaves,
            coordinates=of.layout.writable,
            ancestor=FederationId(parent),
            parent=parent,
        )
        head = artefacts.raw(header.encode())
        own = Artefact((head[0], rest[0]), dict([head, rest]))
        return cls(of, rows, header, own.merge(*parts), slices)


def promised_by_creator(slices: Slices) -> SliceCommitment:
    """Give the creator's promise of slices."""
    return SliceCommitment(slices.root, account(CREATOR).address)


class World:
    """One federation on a chain of its own, and everybody's blocks."""

    def __init__(self, setting: Setting, vault: Vault = NO_KEYS) -> None:
        self.terms = setting.terms
        self.rows = setting.rows
        self.header = setting.header
        self.slices = setting.slices
        promised = None if self.slices is None else promised_by_creator(self.slices)
        self.rules: FederationRules = setting.terms.rules(setting.header, setting.rows, promised)
        self.store = MemoryStore()
        self.events: list[ev.Event] = []
        self.owners: dict[CID, Owner] = {}
        self.headers: dict[Digest, ResultHeader] = {}
        self.members: list[int] = []
        self._accounts: dict[Address, Account] = {}
        self.time = START
        self._transactions = 0
        self._sender, self._call = account(CREATOR).address, b""
        self._bases: dict[Digest, int] = {}
        self.federation = federation_id(
            CHAIN_ID,
            LEDGER,
            creator=account(CREATOR).address,
            policy=setting.header.digest(),
            salt=ZERO_DIGEST,
        )
        self.origin = Origin(CHAIN_ID, LEDGER, self.federation)
        self.replica = Replica(NoEvents(), self.store, origin=self.origin, vault=vault)
        self.store.put(setting.artefact)
        self.own(setting.artefact.blocks, Owner(None, account(CREATOR).address))
        # Whoever asks for the policy's header before any event has nobody to blame.
        self.owners[CID(Codec.RAW, setting.header.digest())] = Owner(None, None)

    # -- what tests ask

    def evidence(
        self, events: Sequence[ev.Event] | None = None, *, h: Digest | None = None
    ) -> Evidence:
        """Give what an audit runs from; `h` is what the trusted block says."""
        events = self.events if events is None else events
        last = self.events[-1]
        block = TrustedBlock(last.meta.block_number, digest_of(last.meta), last.meta.timestamp)
        ours = Deployment(True, LEDGER, LEDGER)
        return Evidence(
            self.origin, block, ours, events, last.h if h is None else h, self.store, {}
        )

    def own(self, blocks: Iterable[CID], owner: Owner) -> None:
        """Note who answers for blocks; whoever did so first, still does."""
        for cid in blocks:
            self.owners.setdefault(cid, owner)

    def signer(self, index: int) -> Address:
        """Give a participant's signer in the current round."""
        state = self.replica.state
        now = state.round.index if state.rounds else 0
        return state.participants[index].signer_in(now)

    def of_kind(self, kind: type[E]) -> list[E]:
        """List the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    # -- a transaction

    def begin(self, sender: Address) -> None:
        """Start a transaction in a block of its own."""
        self._transactions += 1
        self.time += 1
        self._sender, self._call = sender, b""

    def wait(self, until: int) -> None:
        """Let time pass; the next transaction happens then."""
        self.time = max(self.time, until - 1)

    def emit(self, event: E) -> None:
        """Log an event of the current transaction."""
        h = self.events[-1].h if self.events else ZERO_DIGEST
        event = replace(event, h=ev.follows(h, event))
        self.events.append(event)
        self.replica.take(event)

    @property
    def base(self) -> dict[str, object]:
        """Give what every event of the current transaction has."""
        number = 100 + self._transactions
        return {
            "meta": ev.EventMeta(
                block_number=number,
                block_hash=digest_of("block", number),
                timestamp=self.time,
                transaction=digest_of("transaction", number),
                log_index=len(self.events),
                sender=self._sender,
                call=self._call,
                to=LEDGER,
            ),
            "federation": self.federation,
            "h": ZERO_DIGEST,
        }

    def _calls(self, function: str, *arguments: object) -> None:
        """Let the current transaction call a function of the contract."""
        self._call = call(function, self.federation, *arguments)

    def _emit(self, kind: type[E], /, **fields: object) -> None:
        self.emit(kind(**self.base, **fields))  # type: ignore[arg-type]

    # -- the contract: participants

    def create(self) -> None:
        self.begin(account(CREATOR).address)
        self._call = call("createFederation", astuple(self.header), ZERO_DIGEST, b"")
        self._emit(
            ev.FederationCreated,
            creator=account(CREATOR).address,
            policy=self.header.digest(),
            salt=ZERO_DIGEST,
            pool=Wei(self.header.pool),
        )

    def join(
        self,
        number: int,
        rows: int,
        *,
        record: Artefact | None = None,
        root: Digest | None = None,
        key: bytes = bytes(32),
    ) -> None:
        who = account(number)
        record = record or identity(number)
        self.store.put(record)
        self.own(record.blocks, Owner(None, who.address))
        self.begin(who.address)
        self.members.append(number)
        self._accounts[who.address] = who
        application = {
            "controller": who.address,
            "signer": who.address,
            "payout": account(number + 1000).address,
            "identity": record.roots[0].digest,
            "key": key,
            "dataset_root": root or digest_of("data", number),
            "rows": rows,
        }
        self._calls("join", (*application.values(), 0), b"", b"")
        participant = ParticipantId(len(self.members) - 1)
        self._emit(ev.ParticipantJoined, participant=participant, **application)
        active = sum(p.until is None for p in self.replica.state.participants)
        if not self.replica.state.rounds and active == self.header.start_participants:
            self._open()

    def leave(self, index: int) -> None:
        self.begin(account(self.members[index]).address)
        self._calls("leave", index)
        self._emit(ev.ParticipantLeft, participant=ParticipantId(index))

    def rotate(self, index: int, number: int) -> None:
        self.begin(account(self.members[index]).address)
        signer = account(number)
        self._accounts[signer.address] = signer
        self._calls("rotateSigner", index, signer.address)
        self._emit(ev.SignerRotated, participant=ParticipantId(index), signer=signer.address)

    def commit_dataset(self, index: int, rows: int) -> None:
        self.begin(account(self.members[index]).address)
        known = self.replica.state.participants[index].datasets
        root = digest_of("data", index, len(known))
        self._calls("commitDataset", index, root, rows, 0, b"")
        self._emit(
            ev.DatasetCommitted,
            participant=ParticipantId(index),
            dataset=len(known),
            root=root,
            rows=rows,
        )

    def amend_dataset(
        self,
        index: int,
        *,
        root: Digest | None = None,
        rows: int | None = None,
        erasure: Digest | None = None,
    ) -> None:
        self.begin(account(self.members[index]).address)
        known = self.replica.state.participants[index].datasets
        root = root or digest_of("less data", index, len(known))
        rows = known[-1].rows // 2 if rows is None else rows
        erasure = erasure or digest_of("erasure")
        self._calls("amendDataset", index, root, rows, erasure)
        self._emit(
            ev.DatasetAmended,
            participant=ParticipantId(index),
            dataset=len(known),
            root=root,
            rows=rows,
            erasure=erasure,
        )

    def register_key(self, index: int, key: bytes | None = None) -> None:
        self.begin(account(self.members[index]).address)
        key = key or digest_of("key", self.time)
        self._calls("registerKey", index, key)
        self._emit(ev.KeyRegistered, participant=ParticipantId(index), key=key)

    def withdraw_stake(self, index: int) -> None:
        self.begin(account(self.members[index]).address)
        left = Wei(self.replica.state.participants[index].stake)
        self._emit(ev.StakeWithdrawn, participant=ParticipantId(index), amount=left)

    # -- the contract: a round

    def commit(self, index: int, digest: Digest) -> None:
        round_ = self.replica.state.round
        self.begin(self.signer(index))
        self._calls("commitUpdate", round_.index, digest)
        if self.header.draws(round_.candidates) and round_.seed is None:
            self._emit(ev.SeedDrawn, round=round_.index, seed=digest_of("seed", round_.index))
        self._emit(
            ev.UpdateCommitted,
            round=round_.index,
            order=len(round_.commits),
            participant=ParticipantId(index),
            digest=digest,
        )
        if self.header.least_updates <= len(round_.commits) == round_.seats:
            self._close_commit()

    def open_slice(self, artefact: Artefact) -> None:
        """Let the holder show a slice for the current round, or something else."""
        self.store.put(artefact)
        holder = account(CREATOR).address
        self.begin(holder)
        digest = artefact.roots[0].digest
        round_ = self.replica.state.round.index
        self._calls("openSlice", round_, digest)
        self._emit(ev.SliceOpened, round=round_, account=holder, digest=digest)

    def post_batch(self, leaves: Sequence[tuple[int, Digest, Account]]) -> None:
        """Let the relay post commits, each with who signs it."""
        round_ = self.replica.state.round
        domain = Domain(CHAIN_ID, LEDGER)
        signed = [
            Leaf(
                index, digest, domain.sign(by, Commit(self.federation, round_.index, index, digest))
            )
            for index, digest, by in leaves
        ]
        batch = Batch.of(signed)
        self.store.put(batch.artefact())
        self.begin(self.header.relay)
        posted = batch.posted
        self._calls("postBatch", round_.index, posted.root, posted.leaves, posted.index)
        if self.header.draws(round_.candidates) and round_.seed is None:
            self._emit(ev.SeedDrawn, round=round_.index, seed=digest_of("seed", round_.index))
        self._emit(
            ev.BatchPosted,
            round=round_.index,
            root=posted.root,
            leaves=posted.leaves,
            index=posted.index,
        )

    def signing(self, index: int) -> Account:
        """Give the account that signs for a participant in the current round."""
        return self._accounts[self.signer(index)]

    def refuses(self, header: ResultHeader) -> str | None:
        """Say which field of a result header the contract would refuse, if any."""
        state = self.replica.state
        number, least = header.number, self.header.least_updates
        height = len(state.lineage) + 1
        base = self._base_of_head()
        training = state.training_index(height) > 0
        purse = self.header.purse
        paid = bool(training and header.scores and header.gain > 0 and purse)
        earned = purse * header.gain // self.header.target if paid else 0
        checks = {
            "common": header.common == self.context().common(ResultHeader.TAG),
            "number": number <= state.round.slots,
            "weight": header.weight < 1 << 31 and (number >= least or header.weight == 0),
            "stop": training or not header.stop,
            "payoutTotal": header.payout_total == base + min(earned, purse - base),
        }
        return next((name for name, holds in checks.items() if not holds), None)

    def propose(self, sender: Address, header: ResultHeader, index: Digest) -> None:
        round_ = self.replica.state.round
        self.begin(sender)
        self._calls("proposeResult", astuple(header), index, b"")
        digest = header.digest()
        self.headers[digest] = header
        self._bases[digest] = self._base_of_head()
        self._emit(
            ev.ResultProposed,
            round=round_.index,
            attempt=round_.attempt,
            proposer=sender,
            signer=sender,
            result=digest,
            index=index,
            attest_deadline=self.time + self.header.attest_window,
            challenge_deadline=self.time + self.header.challenge_window,
        )

    def vote(self, index: int, support: bool) -> None:
        round_ = self.replica.state.round
        self.begin(self.signer(index))
        proposal = round_.proposal
        vacant = proposal.committee.vacant([index])
        self._calls("vote", round_.index, proposal.attempt, proposal.result, vacant, support)
        self._vote(proposal.committee.ballot(index, support=support))

    def vote_together(self, voters: Sequence[int], support: bool, sender: Address) -> None:
        """Let somebody post votes that their owners signed."""
        proposal = self.replica.state.round.proposal
        place = (self.federation, proposal.round, proposal.attempt, proposal.result)
        domain = Domain(CHAIN_ID, LEDGER)
        posted, ballots = [], 0
        for index in voters:
            signature = domain.sign(self._accounts[self.signer(index)], Vote(*place, support))
            posted.append((support, signature.r, signature.vs))
            ballots |= proposal.committee.ballot(index, support=support)
        self.begin(sender)
        vacant = proposal.committee.vacant(voters)
        self._calls("postVotes", *place[1:], vacant, posted)
        self._vote(ballots)

    def _vote(self, ballots: int) -> None:
        round_ = self.replica.state.round
        self._emit(
            ev.Voted,
            round=round_.index,
            attempt=round_.attempt,
            result=round_.proposal.result,
            ballots=ballots,
        )
        proposal = round_.proposal
        quorum = self.header.quorum_bps * proposal.committee.seats
        if proposal.count(True) * 10_000 >= quorum:
            self._accept()
        elif proposal.count(False) * 10_000 >= quorum:
            self._reject()

    def disprove(self, result: Digest, attempt: int, challenger: Address) -> None:
        """Let somebody commit to a proof against a result, and open it."""
        which: dict[str, object] = {"result": result, "attempt": attempt, "challenge": 0}
        self.begin(challenger)
        commitment = digest_of("proof")
        self._emit(ev.ProofCommitted, **which, challenger=challenger, commitment=commitment)
        self.begin(challenger)
        proposal = self.replica.state.proposal(result, attempt)
        assert proposal is not None
        last = attempt + 1 == self.header.attempts
        deadline = 0 if last else self.time + self.header.propose_window
        self._emit(
            ev.ResultDisproved, **which, round=proposal.round, kind=1, propose_deadline=deadline
        )
        if last:
            self._void()

    def advance(self, sender: Address) -> None:
        self.begin(sender)
        state = self.replica.state
        phase = state.phase.value
        if phase == "commit" and self.time >= state.round.commit_deadline:
            if state.round.slots < self.header.least_updates:
                self._void()
            else:
                self._close_commit()
        elif phase == "propose" and self.time >= state.round.propose_deadline:
            self._miss()
        elif phase == "attest" and self.time >= state.round.proposal.attest_deadline:
            if state.round.proposal.majority():
                self._accept()
            else:
                self._reject()
        self._settle()

    def close(self, sender: Address) -> None:
        self.begin(sender)
        state = self.replica.state
        if state.rounds:
            self._emit(ev.RoundVoided, round=state.round.index)
        self._emit(ev.FederationEnded, idle=True)
        lineage = state.lineage
        if lineage and all(a.settled for a in lineage) and not lineage[-1].ends_period:
            self._end_period(lineage[-1].result)

    def claim(self, index: int, amount: int, sender: Address) -> None:
        self.begin(sender)
        self._emit(
            ev.PayoutClaimed,
            participant=ParticipantId(index),
            payout=self.replica.state.participants[index].payout,
            amount=Wei(amount),
        )

    def refund(self, sender: Address) -> None:
        self.begin(sender)
        left = Wei(self.replica.state.left)
        self._emit(ev.Refunded, creator=account(CREATOR).address, amount=left)

    def collect_fees(self, index: int, sender: Address) -> None:
        self.begin(sender)
        earned = Wei(self.replica.state.participants[index].fees)
        self._emit(ev.FeesCollected, participant=ParticipantId(index), amount=earned)

    def withdraw(self, owner: Address) -> None:
        self.begin(owner)
        credit = self.replica.state.credits.of(owner)
        ethers, fees = Wei(credit.ethers), Wei(credit.fees)
        self._emit(ev.Withdrawn, account=owner, ethers=ethers, fees=fees)

    def release_bond(self, result: Digest, attempt: int, owner: Address) -> None:
        self.begin(owner)
        self._emit(ev.BondReleased, result=result, attempt=attempt, proposer=owner)

    def checkpoint(self, sender: Address) -> None:
        self.begin(sender)
        self._emit(ev.Checkpoint)

    # -- the contract: within

    def _open(self) -> None:
        state = self.replica.state
        self._emit(
            ev.RoundOpened,
            round=RoundIndex(len(state.rounds)),
            parent=state.head,
            seats=sum(p.until is None for p in state.participants),
            commit_deadline=self.time + self.header.commit_window,
        )

    def _close_commit(self) -> None:
        round_ = self.replica.state.round
        reveal = self.time + self.header.reveal_window
        self._emit(
            ev.CommitClosed,
            round=round_.index,
            slots=round_.slots,
            reveal_deadline=reveal,
            propose_deadline=reveal + self.header.propose_window,
        )

    def _miss(self) -> None:
        round_ = self.replica.state.round
        deadline = self._retry_deadline()
        attempt = round_.attempt
        self._emit(ev.TurnMissed, round=round_.index, attempt=attempt, propose_deadline=deadline)
        if deadline == 0:
            self._void()

    def _retry_deadline(self) -> int:
        last = self.replica.state.round.attempt + 1 == self.header.attempts
        return 0 if last else self.time + self.header.propose_window

    def _void(self) -> None:
        self._emit(ev.RoundVoided, round=self.replica.state.round.index)
        self._open()

    def _accept(self) -> None:
        state = self.replica.state
        result, round_ = state.round.proposal.result, state.round.index
        height = len(state.lineage) + 1
        self._emit(ev.ResultAccepted, round=round_, result=result, height=height)
        if self.headers[result].stop or state.training_index(height) == self.header.rounds:
            self._emit(ev.FederationEnded, idle=False)
        else:
            self._open()

    def _reject(self) -> None:
        round_ = self.replica.state.round
        proposal, deadline = round_.proposal, self._retry_deadline()
        self._emit(
            ev.ResultRejected,
            round=round_.index,
            attempt=round_.attempt,
            result=proposal.result,
            propose_deadline=deadline,
        )
        if deadline == 0:
            self._void()

    def _settle(self) -> None:
        state = self.replica.state
        for accepted in state.lineage[:]:
            if accepted.settled:
                continue
            if self.time < accepted.proposal.challenge_deadline:
                break
            self._emit(ev.ResultSettled, result=accepted.result, height=accepted.height)
            last = state.phase.value == "ended" and accepted is state.lineage[-1]
            if last or self._ends_period(accepted.height):
                self._end_period(accepted.result)

    def _ends_period(self, height: int) -> bool:
        trained = self.replica.state.training_index(height)
        period = self.header.reward_period
        return trained > 0 and period > 0 and trained % period == 0

    def _end_period(self, result: Digest) -> None:
        header = self.headers[result]
        self._emit(
            ev.PeriodEnded,
            result=result,
            payouts=header.payouts,
            total=Wei(header.payout_total),
        )

    def _base_of_head(self) -> int:
        lineage = self.replica.state.lineage
        if not lineage:
            return 0
        head = lineage[-1]
        ended = self._ends_period(head.height)
        return self.headers[head.result].payout_total if ended else self._bases[head.result]

    def context(self) -> RoundContext:
        """Give what the chain says about the current round."""
        return self.replica.context(self.replica.state.round)
