"""A round's slots, from what the chain holds of its batch and its direct commits."""

from dataclasses import replace

from ledger import history as ev
from ledger import slots
from ledger.batch import Batch, Leaf, Posted, Signers
from ledger.chain.accounts import Account, from_key
from ledger.proceedings import Round
from ledger.round import Slot
from ledger.signatures import Commit, Domain
from ledger.stores import MemoryStore
from ledger.types import ParticipantId
from tests.ledger.chain.samples import digest
from tests.ledger.script import FEDERATION, LEDGER, RELAY, STRANGER, Script, created, left, running

ACCOUNTS = [from_key(bytes([7 + number]) * 32) for number in range(4)]
DOMAIN = Domain(31337, LEDGER)


def leaf(participant: int, by: Account, *, round_index: int = 0) -> Leaf:
    update = digest(50 + participant)
    message = Commit(FEDERATION, round_index, participant, update)
    return Leaf(participant, update, DOMAIN.sign(by, message))


def signing() -> Script:
    """Give a round of three participants, whose signers have keys, that a fourth joined later."""
    script = created(relay=RELAY, batch_window=10)
    for account in ACCOUNTS[:3]:
        script.do(ev.ParticipantJoined, signer=account.address)
    return script.do(ev.RoundOpened).do(ev.ParticipantJoined, signer=ACCOUNTS[3].address)


def batched(batch: Batch) -> Round:
    posted = batch.posted
    fields = {"root": posted.root, "leaves": posted.leaves, "index": posted.index}
    return signing().do(ev.BatchPosted, **fields).state.round


def signers(script: Script) -> Signers:
    return slots.signers(script.state, script.state.round, DOMAIN)


def test_a_round_without_a_batch_has_none() -> None:
    round_ = running().state.round
    assert slots.posted(round_) is None
    assert slots.batch_of(MemoryStore(), round_) is None


def test_a_batch_is_read_by_what_the_chain_holds_of_it() -> None:
    batch = Batch.of([leaf(0, ACCOUNTS[0]), leaf(1, ACCOUNTS[1])])
    round_ = batched(batch)
    assert slots.posted(round_) == batch.posted
    store = MemoryStore()
    unread = slots.batch_of(store, round_)
    assert unread is not None
    assert (list(unread.leaves()), unread.final) == ([None, None], False)
    store.put(batch.artefact())
    assert slots.batch_of(store, round_) == replace(batch, blocks=list(batch.blocks))


def test_those_known_when_the_round_opened_bind_by_their_signers() -> None:
    script = signing()
    known = [account.address for account in ACCOUNTS[:3]]
    assert signers(script) == Signers(DOMAIN, FEDERATION, script.state.round.index, known)


def test_a_signer_binds_from_the_round_after_it_was_named() -> None:
    script = signing()
    script.do(ev.SignerRotated, signer=STRANGER, participant=ParticipantId(1))
    assert signers(script).known[1] == ACCOUNTS[1].address


def test_a_participant_without_a_seat_binds_by_nothing() -> None:
    script = left()
    before, now = script.state.rounds
    assert slots.signers(script.state, now, DOMAIN).known[2] is None
    assert slots.signers(script.state, before, DOMAIN).known[2] is not None
    assert (signers(script).round, now.index) == (1, 1)


def test_leaves_are_slots_of_those_they_bind() -> None:
    good, forged, late = leaf(2, ACCOUNTS[2]), leaf(1, ACCOUNTS[0]), leaf(3, ACCOUNTS[3])
    batch = Batch.of([good, forged, late])
    binding = signers(signing())
    assert slots.leaves(batch, binding) == [
        Slot(ParticipantId(2), good.digest),
        Slot.unsigned(ParticipantId(1), forged.digest),
        Slot.unsigned(ParticipantId(3), late.digest),
    ]
    unread = Batch(Posted(digest(1), 2, digest(2)), (), ())
    assert slots.leaves(unread, binding) == [Slot.missing()] * 2


def test_direct_commits_are_slots_in_their_order() -> None:
    script = running()
    for participant in (2, 0):
        script.do(
            ev.UpdateCommitted,
            participant=ParticipantId(participant),
            digest=digest(60 + participant),
        )
    assert slots.direct(script.state.round) == [
        Slot(ParticipantId(2), digest(62)),
        Slot(ParticipantId(0), digest(60)),
    ]
