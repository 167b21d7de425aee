"""Sealed rounds: the same numbers as in the clear, readable by members and auditors alone."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ledger import artefacts, cbor, payload
from ledger.artefacts import PAYLOAD, TRAINING
from ledger.cid import CID, Codec
from ledger.errors import MalformedRecord
from ledger.headers import UpdateHeader
from ledger.nodes import Reason
from ledger.payload import Payload, pad
from ledger.replica import Replica
from ledger.round import Published
from ledger.sealing import Content, Envelope, NotForUs, SealBroken, SealedContent, SealingKey
from ledger.sealing.verified import Verified
from ledger.stores import Artefact, MemoryStore
from ledger.types import ZERO_DIGEST, Digest
from tests.ledger.sealing.scene import AUDITOR, KEYS, STRANGER, Scene, same, vault
from tests.tamper.world import NoEvents


def view(scene: Scene, *keys: SealingKey) -> Replica:
    """Follow the federation as somebody who has these keys alone."""
    world = scene.world
    replica = Replica(NoEvents(), world.store, origin=world.origin, vault=vault(*keys))
    for event in world.events:
        replica.take(event)
    return replica


def read(scene: Scene, digest: Digest, *keys: SealingKey) -> Published:
    replica, leaves = view(scene, *keys), scene.world.header.leaves
    return artefacts.read_update(scene.world.store, digest, leaves, replica.access(scene.round))


# -- the same numbers


def test_a_round_comes_to_the_same_in_the_clear_and_sealed() -> None:
    clear, sealed = Scene.form(sealed=False).play(), Scene.form(sealed=True).play()
    assert len(clear.outcomes) == len(sealed.outcomes) == 3
    for height, (ours, theirs) in enumerate(zip(clear.outcomes, sealed.outcomes, strict=True), 1):
        assert same(ours.model, theirs.model)
        assert ours.records.utilities == theirs.records.utilities
        assert ours.records.values == theirs.records.values
        assert ours.records.payouts == theirs.records.payouts
        # The plain digest, the same in every mode, lies inside the seal only.
        assert sealed.reader(height).inner().model == ours.header.model_digest
        assert theirs.header.model_digest != ours.header.model_digest
        assert theirs.header.model_root != ours.header.model_root


def test_what_is_sealed_is_nowhere_in_the_store() -> None:
    scene = Scene.form(sealed=True)
    before = set(scene.world.store.blocks)
    scene.play()
    stored = [data for cid, data in scene.world.store.blocks.items() if cid not in before]
    for outcome in scene.outcomes:
        secrets = [
            outcome.model[:16].tobytes(),
            *(data[:64] for data in outcome.sums),
            *(node.encode()[:96] for node in outcome.levels[0]),
            outcome.content.secret,
            Payload(pad(outcome.model, scene.world.header.leaves)).digest,
        ]
        assert not any(secret in block for block in stored for secret in secrets)


def test_the_same_entropy_gives_the_same_bytes() -> None:
    first, second = Scene.form(sealed=True).play(), Scene.form(sealed=True).play()
    assert first.world.store.blocks == second.world.store.blocks


def test_every_payload_has_a_key_of_its_own() -> None:
    scene = Scene.form(sealed=True).play()
    readers = [scene.reader(height) for height in (1, 2, 3)]
    secrets = {reader.content.secret for reader in readers}
    parts = {outcome.content.part(f"sum {i}").salt for outcome in scene.outcomes for i in (0, 1)}
    assert len(secrets) == 3
    assert len(parts) == 6


# -- who reads


@pytest.mark.parametrize("key", [*KEYS[:3], AUDITOR])
def test_members_and_auditors_read_everything(key: SealingKey) -> None:
    scene = Scene.form(sealed=True)
    digest = scene.commit(0)
    scene.commit(1)
    scene.commit(2)
    found = read(scene, digest, key).payload
    assert found is not None
    assert found.data == pad(scene.values(0), scene.world.header.leaves)
    outcome = scene.compose()
    scene.propose(outcome)
    replica = view(scene, key)
    assert same(replica.standing().model, outcome.model)


@pytest.mark.parametrize("keys", [(), (STRANGER,), (STRANGER, KEYS[5])])
def test_others_read_nothing_and_are_told_what_to_do(keys: tuple[SealingKey, ...]) -> None:
    scene = Scene.form(sealed=True)
    digest = scene.commit(0)
    with pytest.raises(NotForUs, match="give --key with the key of a member or of an auditor"):
        read(scene, digest, *keys)
    scene.commit(1)
    scene.commit(2)
    scene.propose()
    with pytest.raises(NotForUs):
        view(scene, *keys).standing()


def test_who_left_cannot_read_what_comes_after() -> None:
    scene = Scene.form(sealed=True).play(1)
    scene.world.leave(2)
    before = scene.commit(0)
    scene.commit(1)
    assert read(scene, before, KEYS[2]).payload is not None
    scene.commit(2)
    scene.propose()
    after = scene.commit(0)
    with pytest.raises(NotForUs):
        read(scene, after, KEYS[2])
    assert read(scene, after, KEYS[1]).payload is not None


def test_who_joins_later_reads_from_the_first_result_for_it_what_was_before() -> None:
    scene = Scene.form(sealed=True, rounds=4).play(1)
    first = scene.commit(0)
    scene.commit(1)
    scene.commit(2)
    outcome = scene.compose()
    scene.join(3)
    # Composed before it joined: sealed for the others.
    scene.propose(outcome)
    with pytest.raises(NotForUs):
        view(scene, KEYS[3]).standing()
    scene.play(1)
    standing, theirs = view(scene, KEYS[3]).standing(), view(scene, KEYS[0]).standing()
    assert same(standing.model, theirs.model)
    assert replace(standing, model=theirs.model) == theirs
    late = view(scene, KEYS[3])
    assert [late.reader(a).content.secret for a in late.state.lineage] == [
        outcome.content.secret for outcome in scene.outcomes
    ]
    # Results only: the updates of before stay with those who were there.
    access = late.access(late.state.rounds[1])
    with pytest.raises(NotForUs):
        artefacts.read_update(scene.world.store, first, scene.world.header.leaves, access)


def test_another_key_counts_from_the_next_round() -> None:
    scene = Scene.form(sealed=True)
    scene.world.register_key(0, KEYS[6].public)
    digest = scene.commit(1)
    # For whoever has changed its key in the round, both open what is made from then on.
    assert read(scene, digest, KEYS[0]).payload is not None
    assert read(scene, digest, KEYS[6]).payload is not None
    scene.commit(0)
    scene.commit(2)
    scene.propose()
    digest = scene.commit(1)
    assert read(scene, digest, KEYS[6]).payload is not None
    with pytest.raises(NotForUs):
        read(scene, digest, KEYS[0])


def test_a_key_that_is_none_stops_nobody_else() -> None:
    scene = Scene.form(sealed=True)
    scene.world.register_key(0, bytes(32))
    scene.play(1)
    digest = scene.commit(0)
    assert read(scene, digest, KEYS[1]).payload is not None
    with pytest.raises(NotForUs):
        read(scene, digest, KEYS[0])


# -- updates that nobody can read


def envelope_of(change: Callable[[SealedContent], Envelope]) -> Callable[[Scene], Artefact]:
    """Give an update under another envelope."""

    def forge(scene: Scene) -> Artefact:
        content = scene.world.replica.fresh(scene.round)
        assert isinstance(content, SealedContent)
        return scene.update(0, replace(content, envelope=change(content)))[1]

    return forge


def split(content: SealedContent) -> Envelope:
    """Wrap another key for one of the readers."""
    other = Envelope.seal(bytes(32), content.envelope.readers)
    wraps = (other.wraps[0], *content.envelope.wraps[1:])
    return replace(content.envelope, wraps=wraps)


def without(key: SealingKey) -> Callable[[SealedContent], Envelope]:
    def change(content: SealedContent) -> Envelope:
        readers = [reader for reader in content.envelope.readers if reader != key.public]
        return Envelope.seal(content.secret, readers)

    return change


def letting_in(strangers: int) -> Callable[[SealedContent], Envelope]:
    """Seal for all readers, and for keys of nobody here."""

    def change(content: SealedContent) -> Envelope:
        others = (SealingKey.from_seed(number.to_bytes(32, "big")) for number in range(strangers))
        readers = (*content.envelope.readers, *(key.public for key in others))
        # No wrap is looked at, so that any will do.
        return Envelope(tuple(sorted(readers)), (bytes(80),) * len(readers))

    return change


def naming_one(content: SealedContent) -> Envelope:
    """Seal for one stranger beside all readers."""
    return Envelope.seal(content.secret, (*content.envelope.readers, STRANGER.public))


def under(keys: Callable[[Content], tuple[Content, Content]]) -> Callable[[Scene], Artefact]:
    """Give an update whose payload and training record are sealed by other contents."""

    def forge(scene: Scene) -> Artefact:
        content = scene.world.replica.fresh(scene.round)
        of_payload, of_training = keys(content)
        context = scene.context
        data = Payload(
            pad(scene.values(0), context.policy.leaves),
            of_payload.part(PAYLOAD),
            content.envelope,
        )
        training = artefacts.record({}, of_training.part(TRAINING))
        return artefacts.update_artefact(header_of(scene, data, training[0]), data, training)

    return forge


def header_of(scene: Scene, data: Payload, training: CID) -> UpdateHeader:
    return scene.context.update_header(0, data, training=training.digest)


def stored(
    change: Callable[[payload.Index, MemoryStore], dict[str, cbor.Value]],
) -> Callable[[Scene], Artefact]:
    """Give an update whose index lists other blocks."""

    def forge(scene: Scene) -> Artefact:
        digest, good = scene.update(0, scene.world.replica.fresh(scene.round))
        store = MemoryStore()
        store.put(good)
        header = UpdateHeader.decode(store.get(CID(Codec.RAW, digest)))
        index = payload.read_index(store, header.index, enveloped=True)
        entries: dict[str, cbor.Value] = {
            "size": index.size,
            "blocks": list(index.blocks),
            "envelope": index.envelope,
        }
        data = cbor.encode(entries | change(index, store))
        cid = CID.of(Codec.DAG_CBOR, data)
        head = artefacts.raw(replace(header, index=cid.digest).encode())
        return Artefact((head[0],), {**store.blocks, cid: data, head[0]: head[1]})

    return forge


def put(store: MemoryStore, data: bytes, codec: Codec = Codec.RAW) -> CID:
    artefact = Artefact.of(codec, data)
    store.put(artefact)
    return artefact.roots[0]


def flipped(index: payload.Index, store: MemoryStore) -> dict[str, cbor.Value]:
    data = store.get(index.blocks[-1])
    return {"blocks": [*index.blocks[:-1], put(store, data[:-1] + bytes([data[-1] ^ 1]))]}


def shortened(index: payload.Index, store: MemoryStore) -> dict[str, cbor.Value]:
    return {"blocks": [put(store, store.get(index.blocks[0])[:-1])]}


def oversize(index: payload.Index, store: MemoryStore) -> dict[str, cbor.Value]:
    record = cbor.encode({"readers": [bytes(32)] * 6000, "wraps": [bytes(80)] * 6000})
    return {"envelope": put(store, record, Codec.DAG_CBOR)}


def no_envelope(index: payload.Index, store: MemoryStore) -> dict[str, cbor.Value]:
    return {"envelope": put(store, b"\xf6", Codec.DAG_CBOR)}


def raw_envelope(index: payload.Index, store: MemoryStore) -> dict[str, cbor.Value]:
    return {"envelope": put(store, b"x")}


def another(content: Content) -> Content:
    assert content.envelope is not None
    return SealedContent(bytes(32), content.envelope)


UNREADABLE: dict[str, Callable[[Scene], Artefact]] = {
    "wrong tag": stored(flipped),
    "truncated block": stored(shortened),
    "oversize envelope": stored(oversize),
    "an envelope that is no record": stored(no_envelope),
    "an envelope that is no dag-cbor": stored(raw_envelope),
    "blocks under another key": under(lambda c: (another(c), c)),
    "training record under another key": under(lambda c: (c, another(c))),
    "a reader gets another key": envelope_of(split),
    "a member is left out": envelope_of(without(KEYS[1])),
    "the auditor is left out": envelope_of(without(AUDITOR)),
    "a stranger is let in": envelope_of(naming_one),
    "1,019 strangers are let in": envelope_of(letting_in(1019)),
    "an envelope of another content": envelope_of(
        lambda c: Envelope.seal(bytes(32), c.envelope.readers)
    ),
}


BARE: dict[str, tuple[SealingKey, ...]] = {
    "training record under another key": (*KEYS[:3], AUDITOR),
    "a member is left out": (KEYS[0], KEYS[2], AUDITOR),
    "the auditor is left out": KEYS[:3],
    "a stranger is let in": (*KEYS[:3], AUDITOR),
    "a reader gets another key": tuple(sorted((*KEYS[:3], AUDITOR), key=lambda k: k.public)[1:]),
}
"""Who can read the payload of what counts for nothing all the same."""


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_one_reader_cannot_open_is_unavailable_for_all(name: str) -> None:
    scene = Scene.form(sealed=True)
    artefact = UNREADABLE[name](scene)
    digest = artefact.roots[0].digest
    scene.world.store.put(artefact)
    scene.world.commit(0, digest)
    scene.commit(1)
    for key in (*KEYS[:3], AUDITOR):
        found = read(scene, digest, key)
        assert (found.payload, found.hopeless) == (None, True)
        assert (found.bare is not None) == (key in BARE.get(name, ()))
    entries = scene.entries(scene.compose())
    assert [entry.reason for entry in entries] == [Reason.UNAVAILABLE, Reason.COUNTED]
    assert entries[0].root == ZERO_DIGEST


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many readers each envelope has that is verified."""
    noted: list[int] = []
    verify = Envelope.verify

    def noting(envelope: Envelope, secret: bytes) -> None:
        noted.append(len(envelope.readers))
        verify(envelope, secret)

    monkeypatch.setattr(Envelope, "verify", noting)
    monkeypatch.setattr("ledger.sealing.vault.VERIFIED", Verified(most=4))
    return noted


@pytest.mark.parametrize(
    ("change", "most"),
    [(lambda c: c.envelope, 1), (split, 1), (naming_one, 0), (letting_in(1019), 0)],
    ids=["in order", "broken", "a stranger", "1,019 strangers"],
)
def test_an_envelope_is_verified_once_at_most(
    change: Callable[[SealedContent], Envelope], most: int, verified: list[int]
) -> None:
    """However often it is read. One that names strangers is not verified at all."""
    scene = Scene.form(sealed=True)
    artefact = envelope_of(change)(scene)
    digest = artefact.roots[0].digest
    scene.world.store.put(artefact)
    scene.world.commit(0, digest)
    last = max((*KEYS[:3], AUDITOR), key=lambda key: key.public)
    for _ in range(5):
        read(scene, digest, last)
    assert verified == [4] * most


def test_no_more_is_remembered_than_there_is_room_for(verified: list[int]) -> None:
    envelopes = Verified(most=2)
    for number in (0, 1, 2, 0, 1, 2, 2, 2):
        secret = bytes([number]) * 32
        envelopes.require(Envelope.seal(secret, [KEYS[0].public]), secret)
    assert len(verified) == 6
    for _ in range(2):
        with pytest.raises(SealBroken, match="not of the same key"):
            envelopes.require(Envelope.seal(secret, [KEYS[0].public]), bytes(32))
    assert len(verified) == 7


def test_a_member_lets_in_no_more_keys_of_its_own_than_it_may_take_in_a_round() -> None:
    scene = Scene.form(sealed=True)
    content = scene.world.replica.fresh(scene.round)
    own = [SealingKey.from_seed(bytes([number]) * 32).public for number in range(200, 206)]
    for key in own:
        scene.world.register_key(0, key)
    named = content.envelope.readers if content.envelope else ()
    for keys, allowed in ((own[:3], True), (own[:4], False)):
        envelope = Envelope.seal(content.secret, (*named, *keys))
        digest, artefact = scene.update(0, SealedContent(content.secret, envelope))
        scene.world.store.put(artefact)
        found = read(scene, digest, KEYS[1])
        assert (found.payload is not None) is allowed
        assert ("7 readers take" in found.fault) is not allowed


def test_a_clear_update_in_a_sealed_federation_is_unavailable() -> None:
    scene, clear = Scene.form(sealed=True), Scene.form(sealed=False)
    _, artefact = scene.update(0, clear.world.replica.fresh(clear.round))
    scene.world.store.put(artefact)
    scene.world.commit(0, artefact.roots[0].digest)
    assert read(scene, artefact.roots[0].digest, KEYS[1]).hopeless


def test_a_missing_envelope_may_still_come() -> None:
    scene = Scene.form(sealed=True)
    digest = scene.commit(0)
    header = UpdateHeader.decode(scene.world.store.get(CID(Codec.RAW, digest)))
    index = payload.read_index(scene.world.store, header.index, enveloped=True)
    assert index.envelope is not None
    data = scene.world.store.blocks.pop(index.envelope)
    found = read(scene, digest, KEYS[1])
    assert (found.payload, found.hopeless) == (None, False)
    scene.world.store.blocks[index.envelope] = data
    assert read(scene, digest, KEYS[1]).payload is not None


def test_what_is_kept_of_an_update_is_all_of_it() -> None:
    scene = Scene.form(sealed=True)
    digest = scene.commit(0)
    access = view(scene, KEYS[1]).access(scene.round)
    leaves = scene.world.header.leaves
    _, kept = artefacts.gather_update(scene.world.store, digest, leaves, access)
    own = MemoryStore()
    own.put(kept)
    assert artefacts.read_update(own, digest, leaves, access).payload is not None
    assert set(kept.blocks) == set(scene.updates[0, 0].blocks)
    header = UpdateHeader.decode(kept.blocks[CID(Codec.RAW, digest)])
    assert CID(Codec.RAW, header.training) in kept.roots


# -- results


def broken_result(scene: Scene, content: Content) -> Replica:
    for index in range(3):
        scene.commit(index)
    scene.propose(scene.compose(content))
    return view(scene, KEYS[2])


def test_a_result_that_leaves_somebody_out_opens_for_nobody() -> None:
    scene = Scene.form(sealed=True)
    content = scene.world.replica.fresh(scene.round)
    assert isinstance(content, SealedContent)
    replica = broken_result(scene, replace(content, envelope=without(KEYS[0])(content)))
    with pytest.raises(MalformedRecord, match="not sealed for 1 of its readers"):
        replica.standing()


def test_a_result_that_gives_somebody_another_key_opens_for_nobody() -> None:
    scene = Scene.form(sealed=True)
    content = scene.world.replica.fresh(scene.round)
    assert isinstance(content, SealedContent)
    with pytest.raises(MalformedRecord, match=r"is not of the same key|does not open"):
        broken_result(scene, replace(content, envelope=split(content))).standing()


def test_stored_bytes_are_checked_without_a_key() -> None:
    """Whoever has no key can still fetch every stored block under its CID."""
    scene = Scene.form(sealed=True).play(1)
    reader = view(scene).proposed(
        scene.world.replica.state.rounds[0], scene.world.replica.state.rounds[0].proposal
    )
    reader.check_stored(scene.world.header.leaves, 3, summed=scene.world.rules.summed is not None)
    digest = scene.world.replica.state.rounds[0].commits[0].digest
    access = view(scene).access(scene.world.replica.state.rounds[0])
    assert access is not None
    leaves = scene.world.header.leaves
    assert artefacts.update_is_stored(scene.world.store, digest, leaves, access)
    header = UpdateHeader.decode(scene.world.store.get(CID(Codec.RAW, digest)))
    index = payload.read_index(scene.world.store, header.index, enveloped=True)
    del scene.world.store.blocks[index.blocks[0]]
    assert not artefacts.update_is_stored(scene.world.store, digest, leaves, access)
