"""The watcher: holds every live result against what its round comes to, challenges what is wrong,
and answers for what is right.

One honest watcher awake is enough for all that can be proved. It keeps nothing but the proofs that
it has committed to and not opened yet; everything else it finds again on the chain. Several of one
account do not get in each other's way: what hides a proof follows from account and proof, so each
can open what another committed to, if it finds the same.
"""

import logging
from dataclasses import dataclass
from functools import partial

from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak

from fednode.disputing import Examination
from fednode.federation import Federation
from fednode.roles.duties import Duties
from fednode.roles.journal import Journal
from fednode.roles.role import Progress, Sender, attempt, end, finished, idles, volunteer
from fednode.roles.turns import Turn, turn_in, turn_of
from ledger.chain.accounts import Account
from ledger.chain.errors import ContractRejected, Unfunded
from ledger.chain.federations import Dispute
from ledger.disputes import MOST_STEPS, Challenge, Waiting
from ledger.errors import MalformedRecord
from ledger.history import DemandOpened, ProofCommitted
from ledger.proceedings import Proposal
from ledger.proofs import Demand, NoProof, Proof, Target, Wanted, answer
from ledger.sealing import NotForUs
from ledger.state import FederationState, Phase
from ledger.stores import BlockUnavailable, Budget
from ledger.stores.budget import spending
from ledger.types import Address, Digest, Wei

log = logging.getLogger("fednode")

COMMITTED = "challenge"
SALTED = b"\x19FedNode proof\n"
"""What an account signs to hide a proof begins with this, as no transaction does (EIP-191)."""
LOOKS = 8
"""In the shorter of challenge and answer window, how often a result is looked at again."""
OF_UPDATES = (Wanted.BATCH, Wanted.HEADER, Wanted.INPUT)
LATE = "its challenge window is over, and it will settle with the next `advance`"
Key = tuple[Digest, int, bytes]


@dataclass(frozen=True, slots=True)
class Secret:
    """A proof that is committed to, and the salt that hides it."""

    proof: bytes
    salt: Digest
    challenger: Address

    @classmethod
    def of(cls, account: Account, proposal: Proposal, proof: Proof) -> "Secret":
        """Hide a proof. The same one is hidden alike each time: a commitment that is lost from
        sight, and is made again, costs no proof.
        """
        place = SALTED + proposal.result + bytes([proposal.attempt])
        signature = account.sign_digest(Digest(keccak(place + keccak(proof.data))))
        return cls(proof.data, Digest(keccak(signature)), account.address)

    @property
    def commitment(self) -> Digest:
        """Hash what the contract compares when the proof is opened."""
        words = (self.challenger, keccak(self.proof), self.salt)
        return Digest(keccak(abi_encode(("address", "bytes32", "bytes32"), words)))


@dataclass(slots=True)
class Look:
    """An examination, when it was made, and what it came to with what had been demanded by then.
    Hopeless: the result is not ours, but nothing that was there shows it.
    """

    examination: Examination
    at: int
    hopeless: bool = False
    found: tuple[list[Target], Proof | Demand | None] | None = None

    def find(self, demanded: list[Target]) -> Proof | Demand | None:
        """Find what shows that the result is wrong, once for what was demanded."""
        if self.found is None or self.found[0] != demanded:
            self.found = demanded, self.examination.find(demanded)
        return self.found[1]

    @property
    def final(self) -> bool:
        """Whether looking again can change nothing."""
        return not self.examination.missing


class Guard:
    """Nothing but a watcher: whoever has a bond to spare may be one. One that is not to stay was
    started by somebody who wants to see what is wrong now, so it waits for nobody.
    """

    def __init__(
        self, federation: Federation, account: Account, journal: Journal, *, stay: bool
    ) -> None:
        self._federation = federation
        self._account = account
        self._watcher = Watcher(federation, account, journal, send=attempt, at_once=not stay)
        self._stay = stay
        self._duties = Duties()

    @property
    def unjudged(self) -> dict[Digest, str]:
        """The live results that it cannot judge, or not any more, and why."""
        return self._watcher.unjudged

    def step(self) -> Progress:
        """See to disputes; stop when all is judged, or, if it is to stay, when all has settled."""
        self._federation.refresh()
        if finished(self._federation):
            return end(self._federation)
        duties = self._duties
        duties.begin(self._federation.chain.now())
        acted = duties.do("disputing", lambda: self._watcher.step() is Progress.ACTED)
        if not acted and not self._stay and duties.undisturbed and self._watcher.at_rest:
            return Progress.DONE
        last = turn_of(self._federation.state, self._account.address)
        own = last if self._stay else Turn()
        idle = partial(idles, self._federation, self._account, own, only_challenges=True)
        return duties.end(acted or duties.do("idling", idle))


class Watcher:
    """Watches one federation with an account that pays the challenges' bonds. By default one
    without the means leaves it to others. `beside`: it does not run in the participant's own
    process; `at_once`: it does not wait for its turn. Without a journal a proof that was committed
    to is found again, or not.
    """

    def __init__(
        self,
        federation: Federation,
        account: Account,
        journal: Journal | None = None,
        *,
        send: Sender = volunteer,
        beside: bool = True,
        at_once: bool = False,
    ) -> None:
        self._federation = federation
        self._account = account
        self._journal = journal
        self._send = send
        self._beside = beside
        self._at_once = at_once
        self._sent: dict[Key, int] = {}
        self._looks: dict[Key, Look] = {}
        self._budgets: dict[Key, Budget] = {}
        self._right: set[Key] = set()
        self._unread: dict[Digest, str] = {}
        self._duties = Duties()

    @property
    def at_rest(self) -> bool:
        """Whether every live result was judged, as far as it can be, no challenge of this account
        is open, and the chain's node shows no less than all of them.
        """
        if self._federation.lag is not None:
            return False
        live = list(self._federation.state.live())
        unjudged = self.unjudged
        judged = all(self._judged(p) or p.result in unjudged for p in live)
        return judged and all(self._own(proposal) is None for proposal in live)

    @property
    def unjudged(self) -> dict[Digest, str]:
        """The live results that are sealed for others, or too old to be challenged."""
        now = self._federation.chain.now()
        live = [p for p in self._federation.state.live() if not self._judged(p)]
        late = {p.result: LATE for p in live if p.challenge_deadline <= now}
        return late | {p.result: self._unread[p.result] for p in live if p.result in self._unread}

    def _judged(self, proposal: Proposal) -> bool:
        """Whether a result is right, or is not and nothing will show it."""
        look = self._looks.get(proposal.key)
        hopeless = look is not None and look.hopeless and look.final
        return hopeless or proposal.key in self._right

    def trust(self, proposal: Proposal) -> None:
        """Take a result for right that this node has computed itself."""
        self._right.add(proposal.key)

    def step(self) -> Progress:
        """Do at most one thing that is due in any dispute. A result that cannot be judged, such as
        one that builds on bytes that cannot be had or read, keeps none of the others from it.
        """
        state = self._federation.state
        if self._prove_late():
            return Progress.ACTED
        live = list(state.live())
        keys = {proposal.key for proposal in (*live, *state.fallen())}
        self._looks = {key: look for key, look in self._looks.items() if key in keys}
        self._sent = {key: at for key, at in self._sent.items() if key in keys}
        self._budgets = {key: budget for key, budget in self._budgets.items() if key in keys}
        self._duties.begin(self._federation.chain.now())
        acted, waited = False, 0.0
        for proposal in live:
            budget = self._budget(proposal)
            before = budget.left
            with spending(budget):
                acted = self._duties.do(_duty(proposal), partial(self._dispute, proposal))
            waited += max(0.0, before - budget.left)
            if acted or waited > self._patience / 2:
                # What is due against these results must not wait for bytes of all the others too.
                break
        return self._duties.end(acted)

    def _dispute(self, proposal: Proposal) -> bool:
        """Do one thing that is due for or against a result."""
        try:
            return self._attack(proposal) or self._defend(proposal)
        except NotForUs as error:
            self._pass_over(proposal, error)
        except (BlockUnavailable, MalformedRecord, NoProof) as error:
            self._note_missing(proposal, error)
            name = proposal.result.hex()[:16]
            log.warning("result %s cannot be judged yet: %s", name, error)
        return False

    def _note_missing(self, proposal: Proposal, error: Exception) -> None:
        """Look again later where an earlier result lacks a block: that may come as well."""
        look = self._looks.get(proposal.key)
        if look is not None and isinstance(error, BlockUnavailable):
            look.examination.missing.add(error.cid)

    @property
    def _patience(self) -> int:
        return self._federation.policy.windows.patience

    def _budget(self, proposal: Proposal) -> Budget:
        """Give what fetching for a result may still cost: all of it once, little for each look
        after the first.
        """
        return self._budgets.setdefault(proposal.key, Budget(self._patience))

    def see_to_disputes(self) -> bool:
        """Do what `step` does, for a node that has other things to do as well: a bond that cannot
        be paid must not keep it from them.
        """
        try:
            return self.step() is Progress.ACTED
        except Unfunded as error:
            log.warning("a challenge cannot be paid for: %s", error)
            return False

    def _pass_over(self, proposal: Proposal, error: NotForUs) -> None:
        """Leave a result alone that is rightly sealed for others, as it is for late joiners."""
        if proposal.result not in self._unread:
            log.warning("result %s cannot be judged: %s", proposal.result.hex()[:16], error)
        self._unread[proposal.result] = str(error)

    # -- against what is wrong

    def _attack(self, proposal: Proposal) -> bool:
        """Challenge a wrong result, or take the next step of this account's challenge to it."""
        own = self._own(proposal)
        if own is None and proposal.key in self._right:
            return False
        if own is None:
            if self._judged(proposal):
                return False
            self._look(proposal)
            return self._is_time(proposal) and self._press(proposal)
        if not self._leads(proposal, own):
            return False
        if own.waiting is Waiting.PROOF:
            return self._prove(proposal, own)
        return own.waiting is Waiting.CHALLENGER and self._go_on(proposal, own)

    def _go_on(self, proposal: Proposal, own: Challenge) -> bool:
        """Take the next step after an answer. If the result is right, or nothing leads on, concede:
        an answered challenge that runs out costs half of its bond.
        """
        spent = proposal.key in self._right or len(own.taken) >= MOST_STEPS
        if not spent and self._press(proposal, own):
            return True
        look, half = (
            self._looks.get(proposal.key),
            self._federation.replica.policy.answer_window // 2,
        )
        now = self._federation.chain.now()
        late = own.deadline is not None and now >= own.deadline - half
        hopeless = look is not None and look.hopeless and (look.final or late)
        if not (spent or hopeless or proposal.key in self._right):
            return False
        dispute = Dispute(self._federation.id, proposal.result, own.number)
        return self._send(
            f"conceded challenge {own.number} to result {proposal.result.hex()[:16]}",
            lambda: self._federation.contract.concede(self._account, dispute),
        )

    def _prove_late(self) -> bool:
        """Open a proof that this account committed to before its result fell: proposer and voters
        answer for it until one answer window later, and the commitment's bond is lost then.
        """
        state, now = self._federation.state, self._federation.chain.now()
        half = state.policy.answer_window // 2
        for proposal in state.fallen():
            until = state.answerable_until(proposal)
            first = not self._beside or self._at_once or proposal.key in self._sent
            mine = [c for c in proposal.challenges.all if c.challenger == self._account.address]
            if now >= until or not (first or now >= until - half):
                continue
            for own in mine:
                try:
                    if own.waiting is Waiting.PROOF and self._prove(proposal, own):
                        return True
                except (NotForUs, BlockUnavailable, MalformedRecord, NoProof) as error:
                    name = proposal.result.hex()[:16]
                    log.warning("the proof against result %s is not found again: %s", name, error)
        return False

    def _leads(self, proposal: Proposal, own: Challenge) -> bool:
        """Whether to go on with a challenge of this account: a process beside the participant's
        leaves what it has not opened itself to that until half of the clock has run.
        """
        if not self._beside or self._at_once or proposal.key in self._sent:
            return True
        half = self._federation.replica.policy.answer_window // 2
        return own.deadline is not None and self._federation.chain.now() >= own.deadline - half

    def _press(self, proposal: Proposal, own: Challenge | None = None) -> bool:
        """Demand bytes, or commit to a proof: as the first step of a challenge, or its next."""
        found = self._find(proposal, own)
        if found is None:
            return False
        account, id_, contract = self._account, self._federation.id, self._federation.contract
        if own is None:
            self._sent[proposal.key] = self._federation.chain.now()
            bond = Wei(self._federation.replica.policy.challenge_bond)
            demand = partial(contract.demand, account, id_, proposal.result, bond=bond)
            commit = partial(contract.commit_proof, account, id_, proposal.result, bond=bond)
        else:
            dispute = Dispute(id_, proposal.result, own.number)
            demand = partial(contract.redemand, account, dispute)
            commit = partial(contract.recommit_proof, account, dispute)
        name = proposal.result.hex()[:16]
        if isinstance(found, Demand):
            return self._send(
                f"demanded a {found.target.kind.name} of result {name}",
                lambda: demand(evidence=found.evidence),
            )
        secret = Secret.of(account, proposal, found)
        self._keep(proposal, secret)
        return self._send(
            f"committed to a proof against result {name}: {found.kind.name}",
            lambda: commit(commitment=secret.commitment),
        )

    def _prove(self, proposal: Proposal, own: Challenge) -> bool:
        """Open the proof that a challenge of this account has committed to."""
        secret = self._secret(proposal, own)
        if secret is None:
            return False
        dispute = Dispute(self._federation.id, proposal.result, own.number)
        return self._send(
            f"proved result {proposal.result.hex()[:16]} to be wrong",
            lambda: self._federation.contract.open_proof(
                self._account,
                dispute,
                secret.proof,
                attempt=proposal.attempt,
                salt=secret.salt,
            ),
        )

    def _find(self, proposal: Proposal, own: Challenge | None) -> Proof | Demand | None:
        """Find what shows that a result is wrong, with what challenges brought to light. A
        challenge that begins with a demand waits for the end of the examination's budget.
        """
        look = self._look(proposal)
        found = self._shown(look, own)
        if own is not None or found is None:
            return found
        if isinstance(found, Proof):
            return found if self._is_clear(proposal) else None
        now = self._federation.chain.now()
        if now < self._demanding(proposal, found) or self._is_asked(proposal, found):
            return None
        if not self._is_clear(proposal):
            return None
        return self._asked_again(proposal, look, found)

    def _is_asked(self, proposal: Proposal, demand: Demand) -> bool:
        """Whether another account's open challenge asks for bytes of the same tree: its answers
        are for all to read, so one bond is enough. In the last quarter of the challenge window a
        node waits for no other one, which may never go on.
        """
        quarter = self._federation.replica.policy.challenge_window // 4
        if self._federation.chain.now() >= proposal.challenge_deadline - quarter:
            return False
        others = [c for c in proposal.challenges.all if c.challenger != self._account.address]
        asked = (target for c in others if not c.resolved for target in _targets(c))
        return any((t.kind, t.root) == (demand.target.kind, demand.target.root) for t in asked)

    def _asked_again(self, proposal: Proposal, look: Look, demand: Demand) -> Proof | Demand | None:
        """Ask once more for what is to be demanded: bytes may have come, and no bond is paid for
        these. Nothing else is asked for.
        """
        self._budget(proposal).renew(self._patience / LOOKS)
        if not look.examination.has_come(demand):
            return demand
        self._budget(proposal).renew(self._patience / 2)
        return self._shown(self._anew(proposal), None)

    def _demanding(self, proposal: Proposal, demand: Demand) -> int:
        """Say from when on missing bytes are demanded: when the budget of the examination is over.
        An update is not demanded as long as votes may decide about it, which cost nothing.
        """
        state = self._federation.state
        due = bytes_due(state, proposal) + self._patience
        is_decided = state.phase is not Phase.ATTEST or state.round.proposal.key != proposal.key
        if is_decided or demand.target.kind not in OF_UPDATES:
            return due
        return max(due, proposal.attest_deadline - state.policy.attest_window // 4)

    def _shown(self, look: Look, own: Challenge | None) -> Proof | Demand | None:
        examination = look.examination
        proposal = examination.proposal
        if examination.right:
            self._right.add(proposal.key)
            examination.make_good()
            return None
        if look.hopeless:
            return None
        found = look.find(_demanded(proposal))
        if own is None and isinstance(found, Demand) and self._is_spent(proposal):
            found = None
        if found is None:
            log.warning("result %s is not ours, but nothing shows it", proposal.result.hex()[:16])
            look.hopeless = True
        return found

    def _look(self, proposal: Proposal) -> Look:
        """Look at a result; again after a while, as long as bytes are missing that may come."""
        policy, look = self._federation.replica.policy, self._looks.get(proposal.key)
        if look is None:
            return self._anew(proposal)
        patience = min(policy.challenge_window, policy.answer_window) // LOOKS
        if look.final or self._federation.chain.now() <= look.at + patience:
            return look
        self._budget(proposal).renew(self._patience / LOOKS)
        return self._anew(proposal)

    def _anew(self, proposal: Proposal) -> Look:
        """Look at a result, on what is left of its budget."""
        before = self._looks.get(proposal.key)
        if before is None:
            examination = Examination(self._federation, proposal)
        else:
            examination = before.examination.again()
        look = Look(examination, self._federation.chain.now())
        self._looks[proposal.key] = look
        look.examination.gather()
        return look

    def _own(self, proposal: Proposal) -> Challenge | None:
        mine = self._account.address
        challenges = proposal.challenges.all
        return next((c for c in challenges if c.challenger == mine and not c.resolved), None)

    def _is_spent(self, proposal: Proposal) -> bool:
        """Whether a challenge of this account came to nothing: what was demanded was shown, and
        showed nothing. Another bond is only paid for a proof, or whoever lacks an update of a right
        result would lose one after the other.
        """
        mine = self._account.address
        return any(c.challenger == mine and c.resolved for c in proposal.challenges.all)

    def _is_time(self, proposal: Proposal) -> bool:
        """Whether it is our turn to challenge a wrong result."""
        due, end = self._due(proposal), proposal.challenge_deadline
        return due <= self._federation.chain.now() < end

    def _due(self, proposal: Proposal) -> int:
        return self._turn(proposal).between(*challenge_time(self._federation.state, proposal))

    def _is_clear(self, proposal: Proposal) -> bool:
        """Whether no challenge may be under way that this node has not read of, or there is no time
        left to wait for that.
        """
        end, sent = proposal.challenge_deadline, self._sent.get(proposal.key)
        since = self._due(proposal) if sent is None else sent
        patience = since + (end - since) // 2
        if sent is None:
            window = self._federation.replica.policy.challenge_window
            patience = min(patience, end - window // 4)
        return self._federation.chain.now() >= patience or self._is_read(proposal)

    def _is_read(self, proposal: Proposal) -> bool:
        """Whether this node has read of every challenge that the contract knows: one that waits for
        its confirmations may be its own, or another's that is enough. But who opens one after the
        other, so that there is always one, must not keep it waiting for ever.
        """
        try:
            known = self._federation.contract.result(self._federation.id, proposal.result)
        except ContractRejected:
            return False
        read = (proposal.attempt, len(proposal.challenges.all))
        return read == (known.attempt, known.challenges)

    def _turn(self, proposal: Proposal) -> Turn:
        if self._at_once:
            return Turn()
        state, round_ = self._federation.state, self._federation.state.rounds[proposal.round]
        return turn_in(state, round_, self._account.address, beside=self._beside)

    # -- for what is right

    def _defend(self, proposal: Proposal) -> bool:
        waiting = (c for c in proposal.challenges.all if c.waiting is Waiting.ANSWER)
        return any(self._answer(proposal, c) for c in waiting if self._is_due(proposal, c))

    def _answer(self, proposal: Proposal, challenge: Challenge) -> bool:
        """Open what a demand asks for, of a result that this node agrees with."""
        examination, step = self._look(proposal).examination, challenge.step
        if challenge.challenger == self._account.address or not examination.right:
            return False
        data = answer(_target(step), examination.sources)
        if data is None or not isinstance(step, DemandOpened):
            return False
        return self._send(
            f"answered challenge {challenge.number} to result {proposal.result.hex()[:16]}",
            lambda: self._federation.contract.answer(self._account, step, data),
        )

    def _is_due(self, proposal: Proposal, challenge: Challenge) -> bool:
        """The proposer answers at once, in its participant's process or else beside it; others take
        turns when half of the clock has run.
        """
        ours = proposal.proposer == self._account.address
        if ours and not self._beside:
            return True
        if challenge.deadline is None:
            return False
        half, own = self._federation.replica.policy.answer_window // 2, self._turn(proposal)
        begin = challenge.deadline - half
        if ours:
            begin, own = begin - half, Turn(1, own.last)
        return self._federation.chain.now() >= own.between(begin, begin + half)

    # -- what must not be forgotten

    def _keep(self, proposal: Proposal, secret: Secret) -> None:
        if self._journal is not None:
            value = {"proof": secret.proof.hex(), "salt": secret.salt.hex()}
            self._journal.mark(proposal.round, _name(secret.commitment), value)

    def _secret(self, proposal: Proposal, own: Challenge) -> Secret | None:
        """Give what a challenge of this account has committed to: as it was kept, or found again
        where another process committed to it.
        """
        assert isinstance(own.step, ProofCommitted)
        kept = self._kept(proposal, own.step.commitment)
        if kept is not None:
            return kept
        found = self._find(proposal, own)
        if not isinstance(found, Proof):
            return None
        secret = Secret.of(self._account, proposal, found)
        return secret if secret.commitment == own.step.commitment else None

    def _kept(self, proposal: Proposal, commitment: Digest) -> Secret | None:
        """Read what was committed to from the journal; what was altered there is found again."""
        name = _name(commitment)
        kept = None if self._journal is None else self._journal.marked(proposal.round, name)
        if not isinstance(kept, dict):
            return None
        try:
            proof, salt = bytes.fromhex(kept["proof"]), Digest(bytes.fromhex(kept["salt"]))
        except (KeyError, TypeError, ValueError):
            return None
        secret = Secret(proof, salt, self._account.address)
        return secret if len(salt) == 32 and secret.commitment == commitment else None


def challenge_time(state: FederationState, proposal: Proposal) -> tuple[int, int]:
    """Say from when to when watchers challenge a wrong result. It is left to challengers that were
    earlier, until half of the window has passed.
    """
    end, begin = proposal.challenge_deadline, bytes_due(state, proposal)
    if any(not challenge.resolved for challenge in proposal.challenges.all):
        begin = max(begin, end - state.policy.challenge_window // 2)
    return begin, end


def bytes_due(state: FederationState, proposal: Proposal) -> int:
    """Say when all bytes of a proposed result and its updates should be there: at the proposal, or
    at the round's reveal deadline if that comes later, but not so late that a challenge is.
    """
    closed, window = state.rounds[proposal.round].closed, state.policy.challenge_window
    assert closed is not None
    proposed = proposal.challenge_deadline - window
    return max(proposed, min(closed.reveal_deadline, proposed + window // 4))


def _duty(proposal: Proposal) -> str:
    return f"judging result {proposal.result.hex()[:16]}"


def _name(commitment: Digest) -> str:
    return f"{COMMITTED}-{commitment.hex()}"


def _target(step: object) -> Target:
    assert isinstance(step, DemandOpened)
    place = (Digest(step.root), step.total, step.size, step.level, step.position)
    return Target(Wanted(step.kind), *place)


def _demanded(proposal: Proposal) -> list[Target]:
    """List what has been demanded of a result so far, by anybody: answers are for all to read."""
    return list(dict.fromkeys(t for c in proposal.challenges.all for t in _targets(c)))


def _targets(challenge: Challenge) -> list[Target]:
    return [_target(step) for step in challenge.taken if isinstance(step, DemandOpened)]
