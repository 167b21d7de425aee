"""The watcher: holds every live result against what its round comes to, challenges what is wrong,
and answers for what is right.

One honest watcher awake is enough for all that can be proved. It keeps nothing but the proofs that
it has committed to and not opened yet; everything else it finds again on the chain.
"""

import logging
import secrets
from dataclasses import dataclass

from eth_abi.abi import encode as abi_encode
from eth_utils.crypto import keccak

from fednode.disputing import Examination
from fednode.federation import Federation
from fednode.roles.journal import Journal
from fednode.roles.role import Progress, attempt, expire_if_due, finished
from ledger.chain.accounts import Account
from ledger.chain.federations import Dispute
from ledger.disputes import Challenge, Waiting
from ledger.history import DemandOpened
from ledger.proceedings import Proposal
from ledger.proofs import Demand, Proof, Target, Wanted, answer
from ledger.types import Digest, Wei

log = logging.getLogger("fednode")

COMMITTED = "challenge"
Key = tuple[Digest, int]


@dataclass(frozen=True, slots=True)
class Secret:
    """A proof that was committed to, and the salt that hides it."""

    proof: bytes
    salt: Digest

    def commitment(self, challenger: str) -> Digest:
        """Hash what the contract compares when the proof is opened."""
        words = (challenger, keccak(self.proof), self.salt)
        return Digest(keccak(abi_encode(("address", "bytes32", "bytes32"), words)))


class Guard:
    """Nothing but a watcher: whoever has a bond to spare may be one."""

    def __init__(
        self, federation: Federation, account: Account, journal: Journal, *, stay: bool
    ) -> None:
        self._federation = federation
        self._account = account
        self._watcher = Watcher(federation, account, journal)
        self._stay = stay

    def step(self) -> Progress:
        """See to disputes; stop when all is judged, or, if it is to stay, when all has settled."""
        self._federation.refresh()
        if finished(self._federation):
            return Progress.DONE
        if self._watcher.step() is Progress.ACTED:
            return Progress.ACTED
        if self._watcher.at_rest and not self._stay:
            return Progress.DONE
        moved = expire_if_due(self._federation, self._account)
        return Progress.ACTED if moved else Progress.WAITING


class Watcher:
    """Watches one federation with an account that pays the challenges' bonds."""

    def __init__(self, federation: Federation, account: Account, journal: Journal) -> None:
        self._federation = federation
        self._account = account
        self._journal = journal
        self._examined: dict[Key, Examination] = {}
        self._right: set[Key] = set()
        self._hopeless: set[Key] = set()

    @property
    def at_rest(self) -> bool:
        """Whether every live result was judged and no challenge of this account is open."""
        live = list(self._federation.state.live())
        judged = self._right | self._hopeless
        done = all((p.result, p.attempt) in judged for p in live)
        return done and all(self._own(proposal) is None for proposal in live)

    def trust(self, proposal: Proposal) -> None:
        """Take a result for right that this node has computed itself."""
        self._right.add((proposal.result, proposal.attempt))

    def step(self) -> Progress:
        """Do at most one thing that is due in any dispute."""
        state = self._federation.state
        live = list(state.live())
        keys = {(p.result, p.attempt) for p in live}
        self._examined = {k: e for k, e in self._examined.items() if k in keys}
        for proposal in live:
            if self._attack(proposal) or self._defend(proposal):
                return Progress.ACTED
        return Progress.WAITING

    # -- against what is wrong

    def _attack(self, proposal: Proposal) -> bool:
        key = (proposal.result, proposal.attempt)
        if key in self._right or key in self._hopeless:
            return False
        own = self._own(proposal)
        if own is not None:
            return self._go_on(proposal, own)
        if not self._is_time(proposal):
            return False
        found = self._find(proposal)
        if found is None:
            return False
        bond = Wei(self._federation.replica.policy.challenge_bond)
        place = (self._account, self._federation.id, proposal.result)
        contract = self._federation.contract
        name = proposal.result.hex()[:16]
        if isinstance(found, Demand):
            return attempt(
                f"demanded a {found.target.kind.name} of result {name}",
                lambda: contract.demand(*place, evidence=found.evidence, bond=bond),
            )
        commitment = self._commit(proposal, found)
        return attempt(
            f"challenged result {name}: {found.kind.name}",
            lambda: contract.commit_proof(*place, commitment=commitment, bond=bond),
        )

    def _go_on(self, proposal: Proposal, own: Challenge) -> bool:
        """Take the next step of a challenge of this account."""
        dispute = Dispute(self._federation.id, proposal.result, own.number)
        contract = self._federation.contract
        if own.waiting is Waiting.PROOF:
            secret = self._secret(proposal)
            if secret is None:
                return False
            return attempt(
                f"proved result {proposal.result.hex()[:16]} to be wrong",
                lambda: contract.open_proof(self._account, dispute, secret.proof, salt=secret.salt),
            )
        if own.waiting is not Waiting.CHALLENGER:
            return False
        found = self._find(proposal, own)
        if isinstance(found, Demand):
            return attempt(
                f"demanded a {found.target.kind.name} next",
                lambda: contract.redemand(self._account, dispute, found.evidence),
            )
        if isinstance(found, Proof):
            commitment = self._commit(proposal, found)
            return attempt(
                f"found a proof: {found.kind.name}",
                lambda: contract.recommit_proof(self._account, dispute, commitment),
            )
        return False

    def _find(self, proposal: Proposal, own: Challenge | None = None) -> Proof | Demand | None:
        """Examine a result, anew only when something was opened."""
        key = (proposal.result, proposal.attempt)
        examination = self._examine(proposal)
        if examination.right:
            self._right.add(key)
            return None
        found = examination.find(_demanded(own) if own is not None else ())
        if found is None:
            log.warning("result %s is not ours, but nothing shows it", proposal.result.hex()[:16])
            self._hopeless.add(key)
        return found

    def _examine(self, proposal: Proposal) -> Examination:
        key = (proposal.result, proposal.attempt)
        if key not in self._examined:
            self._examined[key] = Examination(self._federation, proposal)
        return self._examined[key]

    def _own(self, proposal: Proposal) -> Challenge | None:
        mine = self._account.address
        challenges = proposal.challenges.all
        return next((c for c in challenges if c.challenger == mine and not c.resolved), None)

    def _is_time(self, proposal: Proposal) -> bool:
        """Whether to challenge a wrong result now: while bytes may still come nothing is demanded,
        and while there is time it is left to those who have challenged already.
        """
        policy, now = self._federation.replica.policy, self._federation.chain.now()
        others = any(not challenge.resolved for challenge in proposal.challenges.all)
        wait = policy.challenge_window // 2 if others else policy.attest_window // 4
        begin = proposal.challenge_deadline if others else proposal.attest_deadline
        closed = self._federation.state.rounds[proposal.round].closed
        assert closed is not None
        earliest = max(begin - wait, closed.reveal_deadline)
        return earliest <= now < proposal.challenge_deadline

    # -- for what is right

    def _defend(self, proposal: Proposal) -> bool:
        waiting = (c for c in proposal.challenges.all if c.waiting is Waiting.ANSWER)
        return any(self._answer(proposal, c) for c in waiting if self._is_due(proposal, c))

    def _answer(self, proposal: Proposal, challenge: Challenge) -> bool:
        """Open what a demand asks for, of a result that this node agrees with."""
        examination, step = self._examine(proposal), challenge.step
        if challenge.challenger == self._account.address or not examination.right:
            return False
        data = answer(_target(step), examination.sources)
        if data is None or not isinstance(step, DemandOpened):
            return False
        return attempt(
            f"answered challenge {challenge.number} to result {proposal.result.hex()[:16]}",
            lambda: self._federation.contract.answer(self._account, step, data),
        )

    def _is_due(self, proposal: Proposal, challenge: Challenge) -> bool:
        """The proposer answers at once, others when half of the clock has run."""
        if proposal.proposer == self._account.address:
            return True
        if challenge.deadline is None:
            return False
        half = self._federation.replica.policy.answer_window // 2
        return self._federation.chain.now() >= challenge.deadline - half

    # -- what must not be forgotten

    def _commit(self, proposal: Proposal, proof: Proof) -> Digest:
        secret = Secret(proof.data, Digest(secrets.token_bytes(32)))
        value = {"proof": secret.proof.hex(), "salt": secret.salt.hex()}
        self._journal.mark(proposal.round, _name(proposal), value)
        return secret.commitment(self._account.address)

    def _secret(self, proposal: Proposal) -> Secret | None:
        kept = self._journal.marked(proposal.round, _name(proposal))
        if not isinstance(kept, dict):
            return None
        return Secret(bytes.fromhex(kept["proof"]), Digest(bytes.fromhex(kept["salt"])))


def _name(proposal: Proposal) -> str:
    return f"{COMMITTED}-{proposal.attempt}"


def _target(step: object) -> Target:
    assert isinstance(step, DemandOpened)
    place = (Digest(step.root), step.total, step.size, step.level, step.position)
    return Target(Wanted(step.kind), *place)


def _demanded(challenge: Challenge) -> list[Target]:
    """List what a challenge has asked for so far."""
    return [_target(step) for step in challenge.taken if isinstance(step, DemandOpened)]
