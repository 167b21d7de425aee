"""The contract's verdict is the twin's, on proofs that hold, that do not, and on broken bytes."""

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.headers import PolicyHeader
from ledger.proofs import Case, NoProof, Proof, Question, check, find
from tests.engines import embedded
from tests.ledger.proofs.lies import LIES
from tests.ledger.proofs.onchain import Verifier
from tests.ledger.proofs.samples import every_proof, worlds
from tests.ledger.proofs.world import World


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    return Verifier(embedded())


def verdict(policy: PolicyHeader, case: Case, proof: bytes) -> Question | None:
    """Give the twin's verdict as the contract gives its own."""
    try:
        return check(policy, case, proof)
    except NoProof:
        return None


def broken(data: st.DataObject, proof: bytes) -> bytes:
    """Break a proof somewhere, mostly in the words behind the header."""
    at = data.draw(st.integers(0, len(proof) - 1))
    small = data.draw(st.integers(1, 255))
    kind = data.draw(st.sampled_from(("flip", "cut", "more", "kind", "drop")))
    match kind:
        case "flip":
            return proof[:at] + bytes([proof[at] ^ small]) + proof[at + 1 :]
        case "cut":
            return proof[:at]
        case "more":
            return proof + bytes(small)
        case "kind":
            return bytes([small % 20]) + proof[1:]
        case _:
            return proof[:at] + proof[at + small :]


@given(world=worlds(), name=st.sampled_from(sorted(LIES)), data=st.data())
@settings(max_examples=30)
def test_a_proof_that_holds(
    verifier: Verifier, world: World, name: str, data: st.DataObject
) -> None:
    lies = [made for made in LIES[name](world) if made.header != world.honest.header]
    for made in lies[data.draw(st.integers(0, max(0, len(lies) - 1))) :][:1]:
        disputed = world.dispute(made)
        found = find(disputed)
        assert isinstance(found, Proof)
        expected = check(world.policy, disputed.case, found.data)
        assert verifier.check(world.policy, disputed.case, found.data) == expected
        bad = broken(data, found.data)
        assert verifier.check(world.policy, disputed.case, bad) == verdict(
            world.policy, disputed.case, bad
        )


@given(world=worlds(), data=st.data())
@settings(max_examples=12)
def test_any_proof_against_a_right_result(
    verifier: Verifier, world: World, data: st.DataObject
) -> None:
    case = world.dispute(world.honest).case
    proofs = list(every_proof(world, world.honest))
    start = data.draw(st.integers(0, len(proofs) - 1))
    for proof in islice(proofs, start, None, 1 + len(proofs) // 4):
        expected = verdict(world.policy, case, proof.data)
        assert verifier.check(world.policy, case, proof.data) == expected
