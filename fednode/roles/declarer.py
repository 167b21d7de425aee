"""What a participant destroyed by declaration stays declared, whatever becomes of the chain.

A reorganisation can take a declaration back after the data are gone. An audit would then miss bytes
that nothing excuses, so the participant's node sends the declaration again.
"""

import logging
from pathlib import Path

from fednode.federation import Federation
from fednode.forgetting import Plan, lost
from fednode.roles.role import volunteer
from ledger.chain.accounts import Account
from ledger.chain.types import Receipt
from ledger.members import Participant
from ledger.types import Digest, ParticipantId

log = logging.getLogger("fednode")


def under_way(federation: Federation, member: Participant) -> bool:
    """Whether the contract has a commitment of a participant's that is not confirmed yet."""
    known = federation.contract.participant(federation.id, member.index)
    return int(known.datasets) > len(member.datasets)


def amend(federation: Federation, account: Account, left: Plan, erasure: Digest) -> Receipt:
    """Declare an erasure with the data set that it leaves."""
    return federation.contract.amend_dataset(
        account,
        federation.id,
        ParticipantId(left.participant),
        root=Digest(bytes.fromhex(left.root)),
        rows=left.rows,
        erasure=erasure,
    )


class Declarer:
    """Looks after each change of the chain whether all is still declared; `journal` is the folder
    that `fednode forget` works on.
    """

    def __init__(self, federation: Federation, account: Account, journal: Path) -> None:
        self._federation = federation
        self._account = account
        self._journal = journal
        self._seen: Digest | None = None

    def step(self, member: Participant) -> bool:
        """Send one lost declaration again, if there is one that can be sent; say whether it was."""
        state = self._federation.state
        if self._federation.lag is not None or state.h == self._seen:
            return False
        again = lost(self._federation, self._journal)
        if not again:
            self._seen = state.h
            return False
        first = again[0]
        if max(first.rounds, default=-1) >= state.over or under_way(self._federation, member):
            return False
        if member.controller != self._account.address:
            log.error(
                "the chain was reorganised and has lost the declaration of an erasure: run "
                "`fednode forget --resume` with the controller's account"
            )
            self._seen = state.h
            return False
        record = first.erasure(self._federation.id).artefact()
        with self._federation.waiting():
            self._federation.store.put(record)
        digest = record.roots[0].digest
        return volunteer(
            f"declared the erasure {digest.hex()[:16]} again",
            lambda: amend(self._federation, self._account, first, digest),
        )
