"""Who committed to what in a round: the leaves of the relay's batch in order, then the direct
commits. A leaf binds by its signature alone, so whoever reads the batch can say whom it binds.
"""

from collections.abc import Callable, Sequence

from ledger.batch import Batch, BatchSlot, Posted, Signers, read_batch
from ledger.proceedings import Round
from ledger.round import Slot
from ledger.signatures import Domain
from ledger.state import FederationState
from ledger.stores import ContentStore

Claims = Callable[[Round], Sequence[Slot]]
"""Gives the slots of a round, without what was published for them."""


def posted(round_: Round) -> Posted | None:
    """Give what the chain holds of a round's batch, if there is one."""
    if not round_.batched:
        return None
    return Posted(round_.batch_root, round_.batched, round_.batch_index)


def batch_of(store: ContentStore, round_: Round) -> Batch | None:
    """Read a round's batch, if there is one, as far as it can be had."""
    found = posted(round_)
    return None if found is None else read_batch(store, found)


def signers(state: FederationState, round_: Round, domain: Domain) -> Signers:
    """Give whose signatures bind in a round."""
    known = [
        member.signer_in(round_.index) if member.seated(round_.index) else None
        for member in state.participants[: round_.known]
    ]
    return Signers(domain, state.federation, round_.index, known)


def leaves(batch: Batch, binding: Signers) -> list[Slot]:
    """Turn the leaves of a batch into slots."""
    return [_slot(binding.slot(leaf)) for leaf in batch.leaves()]


def direct(round_: Round) -> list[Slot]:
    """Turn direct commits into slots."""
    return [Slot(commit.participant, commit.digest) for commit in round_.commits]


def _slot(found: BatchSlot | None) -> Slot:
    if found is None:
        return Slot.missing()
    if not found.binds:
        return Slot.unsigned(found.participant, found.digest)
    return Slot(found.participant, found.digest)
