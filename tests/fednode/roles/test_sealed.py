"""Sealed federations, end to end: the same story, read by key holders alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fednode.auditing import run_audit
from fednode.policy import Policy
from fednode.roles.proposer import Proposer
from fednode.roles.role import Role
from ledger import artefacts
from ledger.audit.sources import evidence_from_chain
from ledger.cid import CID
from ledger.proceedings import Outcome, Round
from ledger.round import Outcome as Result
from ledger.sealing import Envelope, NotForUs, SealedContent, SealingKey, Vault
from ledger.types import Digest
from tests.engines import embedded
from tests.federations import (
    Cast,
    Changes,
    Hospital,
    Peers,
    Stage,
    found,
    peers,
    play,
    policy_of,
    story,
)

# The hospitals of these tests share one key, which the policy names.
KEY = SealingKey.from_seed(b"k" * 32)
OTHER = SealingKey.from_seed(b"o" * 32)


def sealed(policy: Policy, *, also: tuple[SealingKey, ...] = ()) -> Policy:
    auditors = [key.public.hex() for key in (KEY, *also)]
    record = {
        **policy.rest_record(),
        "visibility": "members",
        "privacy": {"auditors": auditors},
        "data": {**policy.data.model_dump(mode="json"), "public": False},
    }
    return Policy.model_validate(record)


def unmeasured(*, rounds: int, **sections: Changes) -> Policy:
    """Give the hospitals' policy without evaluation: their rows are nobody's but their own."""
    policy = policy_of(
        "heart",
        training={"rounds": rounds},
        evaluation={"mode": "none"},
        valuation={"kind": "none"},
        reward={"pool": "0"},
        stop={"patience": 0},
        **sections,
    )
    return policy.model_copy(update={"release": "last"})


def cast_of(
    folder: Path, *, rounds: int = 1, also: tuple[SealingKey, ...] = (), seal: bool = True
) -> Cast:
    """Found a federation of hospitals, whose rows nobody has made public where it is sealed."""
    policy = unmeasured(rounds=rounds)
    stage = Stage(embedded(), peers(4), folder)
    return found(stage, sealed(policy, also=also) if seal else policy, vaults=[Vault((KEY,))])


def steady(cast: Cast) -> Callable[[], list[Role]]:
    roles = cast.roles()
    return lambda: roles


def test_a_sealed_federation_comes_to_the_same_models(tmp_path: Path) -> None:
    clear = cast_of(tmp_path / "clear", seal=False)
    play(clear, steady(clear))
    cast = cast_of(tmp_path / "sealed")
    play(cast, steady(cast))
    view, plain = cast.hospitals[0].view(), clear.hospitals[0].view()
    assert len(view.state.lineage) == 2
    for height, digest in enumerate(story(plain).models):
        reader = view.replica.reader(view.state.lineage[height])
        assert reader.inner().model.hex() == digest
        assert reader.header.model_digest.hex() != digest
    assert np.array_equal(view.version(1), plain.version(1))
    with pytest.raises(NotForUs, match="give --key"):
        replace(cast.hospitals[0], vault=Vault((OTHER,))).view().version(1)


def test_it_is_audited_with_a_key_and_without(tmp_path: Path) -> None:
    cast = cast_of(tmp_path)
    play(cast, steady(cast))
    evidence = evidence_from_chain(
        cast.contract,
        cast.federation,
        cast.hospitals[0].store,
        deployers=[cast.stage.accounts[0].address],
    )
    verdict = run_audit(evidence, vault=Vault((KEY,)))
    assert (verdict.word, verdict.finding) == ("holds", None)
    assert run_audit(evidence).word == "sealed"


def test_every_member_keeps_what_it_voted_for(tmp_path: Path) -> None:
    cast = cast_of(tmp_path)
    play(cast, steady(cast))
    voters = cast.state().round.proposal.votes
    assert len(voters) >= 3
    for index in voters:
        hospital = cast.hospitals[index]
        assert isinstance(hospital.store, Peers)
        assert replace(hospital, store=hospital.store.own).view().version(1).any()


Change = Callable[[SealedContent], SealedContent]


class Unfair(Proposer):
    """Proposes what it computed, sealed for others than all."""

    def __init__(self, hospital: Hospital, change: Change) -> None:
        super().__init__(hospital.view(), hospital.account)
        self._change = change

    def _prepared(self, round_: Round) -> tuple[Result, Digest] | None:
        ready = super()._prepared(round_)
        if ready is None or round_.attempt > 0:
            return ready
        content = ready[0].content
        assert isinstance(content, SealedContent)
        forged = replace(ready[0], content=self._change(content))
        artefact, index = self._federation.bundle(forged)
        self._federation.store.put(artefact)
        return forged, index


def for_fewer(content: SealedContent) -> SealedContent:
    return replace(content, envelope=Envelope.seal(content.secret, [KEY.public]))


def differently(content: SealedContent) -> SealedContent:
    other = Envelope.seal(bytes(32), content.envelope.readers)
    place = content.envelope.readers.index(OTHER.public)
    wraps = list(content.envelope.wraps)
    wraps[place] = other.wraps[place]
    return replace(content, envelope=replace(content.envelope, wraps=tuple(wraps)))


@pytest.mark.parametrize("change", [for_fewer, differently])
def test_a_result_that_an_auditor_cannot_open_is_voted_down(tmp_path: Path, change: Change) -> None:
    """The members themselves could read it, and see that the auditor could not."""
    cast = cast_of(tmp_path, also=(OTHER,))
    liars = [Unfair(hospital, change) for hospital in cast.hospitals]
    roles: list[Role] = [*cast.roles(propose=False), *liars]
    state = play(cast, lambda: roles, until=lambda state: len(state.lineage) == 1)
    first, second = state.rounds[0].proposals
    assert (first.count(True), second.count(True)) == (0, 3)
    assert state.rounds[0].outcome is Outcome.ACCEPTED


def test_a_node_without_the_key_stops_nobody(tmp_path: Path) -> None:
    cast = cast_of(tmp_path)
    lost = replace(cast.hospitals[3], vault=Vault((OTHER,)))
    keyless = lost.participant()
    others = [h for h in cast.hospitals if h.account is not lost.account]
    roles: list[Role] = [keyless, lost.proposer()]
    roles += [h.participant() for h in others] + [h.proposer() for h in others]
    state = play(cast, lambda: roles)
    assert [round_.outcome for round_ in state.rounds] == [Outcome.ACCEPTED] * 2
    assert "give --key" in keyless.failures[1]


def test_nothing_of_an_update_is_in_a_store_before_or_after_the_reveal(tmp_path: Path) -> None:
    cast = cast_of(tmp_path)
    play(cast, steady(cast))
    view = cast.hospitals[0].view()
    access = view.replica.access(view.state.rounds[1])
    commit = view.state.rounds[1].commits[0]
    leaves = view.replica.policy.leaves
    data = artefacts.read_update(view.store, commit.digest, leaves, access).payload
    assert data is not None
    blocks: dict[CID, bytes] = {}
    for hospital in cast.hospitals:
        assert isinstance(hospital.store, Peers)
        blocks |= hospital.store.own.blocks
    start = next(place for place, byte in enumerate(data.data) if byte)
    part = data.data[start : start + 16]
    assert not any(part in block for block in blocks.values())
