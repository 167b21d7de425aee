"""The charger: takes the policy's fee from who committed to an update that nobody could have.

A settled result says who that is; anybody may hold it against the contract, and nobody is paid for
it, since the fee is burned. So the participants take turns: the one whose turn it was to propose
begins, then two more may, then four, a quarter of the attest window after each other. Nothing is
kept: the chain knows who was charged, and takes no fee twice.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from fednode.federation import Federation
from fednode.roles.role import Progress, volunteer
from fednode.roles.turns import place, wave
from ledger.chain.accounts import Account
from ledger.errors import MalformedRecord
from ledger.members import Participant as Member
from ledger.nodes import Reason, in_order
from ledger.proceedings import Accepted
from ledger.proofs import OpenTree, charge
from ledger.sealing import NotForUs
from ledger.stores import BlockUnavailable
from ledger.types import Digest, ParticipantId

log = logging.getLogger("fednode")

GAS = 250_000
"""What a charge costs at the most: 145,000 among four slots, a few words more among thousands."""


@dataclass(frozen=True, slots=True)
class Charge:
    """Who is to be charged for which result, and what shows it."""

    accepted: Accepted
    participant: ParticipantId
    evidence: bytes


class Charger:
    """Charges for one federation with a participant's account."""

    def __init__(self, federation: Federation, account: Account) -> None:
        self._federation = federation
        self._account = account
        self._found: dict[Digest, list[Charge]] = {}
        self._refused: set[tuple[Digest, ParticipantId]] = set()

    def step(self, member: Member) -> Progress:
        """Charge one participant if it is our turn; DONE if there is nothing that we shall do."""
        progress = Progress.DONE if self._read_all() else Progress.WAITING
        for due in self._open(member):
            if self._federation.chain.now() < self._turn(member, due.accepted):
                progress = Progress.WAITING
            elif self._pays(due) and self._send(due):
                return Progress.ACTED
        return progress

    def _read_all(self) -> bool:
        """Read what settled results say; say whether all were read. After a start there are many:
        one in a step is waited for in vain, no more.
        """
        for accepted in self._settled():
            if accepted.result not in self._found:
                found = self._read(accepted)
                self._found[accepted.result] = found or []
                if found is None:
                    return all(a.result in self._found for a in self._settled())
        return True

    def _settled(self) -> list[Accepted]:
        """List the results that say whom to charge, if there is a fee."""
        state = self._federation.state
        return [a for a in state.lineage if a.settled] if state.policy.unavailable_fee else []

    def _open(self, member: Member) -> Iterator[Charge]:
        """List what the settled results that were read say and nobody was charged for; nobody
        charges itself.
        """
        state = self._federation.state
        for accepted in self._settled():
            for due in self._found.get(accepted.result, ()):
                owner = state.participants[due.participant]
                over = accepted.round in owner.charged or owner.stake == 0
                refused = (accepted.result, due.participant) in self._refused
                if not over and not refused and owner.index != member.index:
                    yield due

    def _read(self, accepted: Accepted) -> list[Charge] | None:
        """Find out whom a result calls unavailable; without its nodes it is for others. None if
        they were waited for in vain.
        """
        try:
            with self._federation.waiting():
                return list(self._unavailable(accepted))
        except (BlockUnavailable, MalformedRecord, NotForUs) as error:
            log.warning("nobody is charged for result %s: %s", _name(accepted), error)
            return None if isinstance(error, BlockUnavailable) else []

    def _unavailable(self, accepted: Accepted) -> Iterator[Charge]:
        reader = self._federation.replica.reader(accepted)
        round_ = self._federation.state.rounds[accepted.round]
        levels = reader.levels(round_.slots)
        nodes = OpenTree.of([node.encode() for node in in_order(levels)])
        entries = (entry for node in levels[0] for entry in node.entries)
        for slot, entry in zip(range(round_.slots), entries, strict=False):
            if entry.reason == Reason.UNAVAILABLE and entry.participant < round_.known:
                evidence = charge(reader.header, nodes, slot)
                yield Charge(accepted, ParticipantId(entry.participant), evidence)

    def _turn(self, member: Member, accepted: Accepted) -> int:
        """Say from when on a participant may charge for a result; who joined later comes last."""
        state = self._federation.state
        own = place(member, state.rounds[accepted.round])
        assert accepted.settled_at is not None
        return accepted.settled_at + wave(own) * (state.policy.attest_window // 4)

    def _pays(self, due: Charge) -> bool:
        """Whether the fee is worth a charge's gas: else it deters nobody, and costs only us."""
        state = self._federation.state
        fee = min(state.policy.unavailable_fee, state.participants[due.participant].stake)
        price = self._federation.chain.newest().header.get("baseFeePerGas", b"")
        return fee >= GAS * int.from_bytes(price, "big")

    def _send(self, due: Charge) -> bool:
        """Charge, unless the contract or the account's own means say no; then not again."""
        contract, result = self._federation.contract, due.accepted.result
        charged = volunteer(
            f"charged participant {due.participant} for round {due.accepted.round}",
            lambda: contract.charge_unavailable(
                self._account, self._federation.id, result, due.evidence
            ),
        )
        if not charged:
            self._refused.add((result, due.participant))
        return charged


def _name(accepted: Accepted) -> str:
    return accepted.result.hex()[:16]
