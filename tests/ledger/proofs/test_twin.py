"""The contract's verdict is the twin's, on proofs that hold, that do not, and on broken bytes."""

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.headers import PolicyHeader, Rule
from ledger.proofs import Case, NoProof, Proof, Question, check, find
from tests.engines import embedded
from tests.ledger.proofs.lies import LIES
from tests.ledger.proofs.onchain import Verifier
from tests.ledger.proofs.samples import every_proof, worlds
from tests.ledger.proofs.world import Choices, World


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


@pytest.mark.parametrize("visibility", [0, 1], ids=["clear", "sealed"])
@pytest.mark.parametrize("rule", [Rule.WEIGHTED_MEAN, Rule.MEDIAN])
def test_inputs_are_opened_whole_once_and_in_order(
    verifier: Verifier, rule: Rule, visibility: int
) -> None:
    """Else what shows a fraud would show one of a right result, too."""
    world = World(
        Choices(slots=12, leaves=4, rule=rule, height=2, visibility=visibility, trouble=False)
    )
    summed = rule is Rule.WEIGHTED_MEAN
    made = next(LIES["sums" if summed else "model"](world))
    disputed = world.dispute(made)
    found = find(disputed)
    assert isinstance(found, Proof)
    count, behind = sum(e.weight > 0 for e in world.entries), 0 if summed else 2
    assert count > 2
    size = 16 * visibility + 1024 + 2 * 32
    start = len(found.data) - (count + behind) * size
    opened = [found.data[start + k * size :][:size] for k in range(count)]
    rest = found.data[start + count * size :]
    first, second, *others = opened

    def says(*inputs: bytes) -> Question | None:
        proof = found.data[:start] + b"".join(inputs) + rest
        answer = verdict(world.policy, disputed.case, proof)
        assert verifier.check(world.policy, disputed.case, proof) == answer
        return answer

    assert says(first, second, *others) is not None
    assert says(second, first, *others) is None
    assert says(first, first, *others) is None
    assert says(second, *others) is None
    assert says(first, first, second, *others) is None
    assert says(first[1:], second, *others) is None
    assert says(b"\0" + first, second, *others) is None
    assert says(first[:1024] + first[1040:], second, *others) is None
