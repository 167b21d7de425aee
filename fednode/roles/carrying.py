"""An update that missed its round is carried over into the current one, where the policy still
lets count what it was trained from: a slow site's work is not lost.
"""

import logging
from dataclasses import replace

from fednode.federation import Federation
from fednode.roles.journal import Journal, PreparedUpdate
from fednode.roles.trainer import Trainer
from ledger.artefacts import raw
from ledger.cid import CID, Codec
from ledger.errors import MalformedRecord
from ledger.headers import UpdateHeader
from ledger.members import Participant as Member
from ledger.payload import read_index
from ledger.proceedings import Round
from ledger.round import RoundContext
from ledger.sealing import CLEAR, Content, NotForUs
from ledger.stores import Artefact, MemoryStore
from ledger.types import ZERO_DIGEST, Digest

log = logging.getLogger("fednode")


def carried_over(
    federation: Federation, member: Member, round_: Round, journal: Journal, trainer: Trainer
) -> PreparedUpdate | None:
    """Put the newest update in the journal under a header of this round, if it can count here. What
    its owner counted on its shard for another round is replaced by its counts for this one.

    One that was ever committed to is not used again: its bytes may be public, so that others may
    have copied them.
    """
    for earlier in reversed(federation.state.rounds[: round_.index]):
        update = journal.usable(earlier.index)
        if update is None and federation.replica.committed(earlier, member.index):
            return None  # it may have carried the bytes of an older one
        if update is None:
            continue
        context = federation.replica.context(round_)
        statistics = federation.state.statistics_round(earlier.parent)
        same_kind = statistics == context.statistics
        content = _content(federation, round_, update)
        allowed = same_kind and _allows(context, update, member)
        if content is None or federation.replica.committed(earlier, member.index) or not allowed:
            return None
        log.info("round %d: the update that missed round %d", round_.index, earlier.index)
        return _under(update, context, trainer.counts(federation, member, content, journal))
    return None


def stands(federation: Federation, member: Member, round_: Round, update: PreparedUpdate) -> bool:
    """Whether an update is one that its owner can commit to in a round, as the chain has it now:
    its whole header, and who can read it.
    """
    context = federation.replica.context(round_)
    allowed = context.allows(update.header, member.index)
    return allowed and _content(federation, round_, update) is not None


def _content(federation: Federation, round_: Round, update: PreparedUpdate) -> Content | None:
    """Give what an update is sealed with; None if not all can read it whom this round is for."""
    access = federation.replica.access(round_)
    if access is None:
        return CLEAR
    blocks = MemoryStore()
    blocks.put(update.artefact)
    try:
        envelope = read_index(blocks, Digest(update.header.index), enveloped=True).envelope
        return None if envelope is None else access.open(blocks, envelope)
    except (MalformedRecord, NotForUs):
        return None


def _allows(context: RoundContext, update: PreparedUpdate, member: Member) -> bool:
    """Whether an update of an earlier round is its owner's, and what it was trained on is what a
    round allows.
    """
    common = context.common(UpdateHeader.TAG)
    header = replace(update.header, common=common)
    return context.allows(header, member.index)


def _under(
    update: PreparedUpdate, context: RoundContext, counts: tuple[CID, bytes] | None
) -> PreparedUpdate:
    """Replace an update's header and evaluation record, and nothing else."""
    before = update.header
    header = replace(
        before,
        common=context.common(UpdateHeader.TAG),
        evaluation=counts[0].digest if counts else ZERO_DIGEST,
    )
    evaluation = (CID(codec, Digest(before.evaluation)) for codec in Codec)
    gone = {CID(Codec.RAW, update.digest), *evaluation}
    head, records = raw(header.encode()), [counts] if counts else []
    kept = {cid: block for cid, block in update.artefact.blocks.items() if cid not in gone}
    roots = (root for root in update.artefact.roots if root not in gone)
    artefact = Artefact(
        (head[0], *roots, *(cid for cid, _ in records)), {**kept, **dict([head, *records])}
    )
    return PreparedUpdate(header.digest(), artefact, update.private)
