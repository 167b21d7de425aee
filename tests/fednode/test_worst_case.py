"""The windows of a policy hold its worst case, in which every byte is withheld."""

from dataclasses import replace

import pytest

from fednode.policy import Policy, PolicyError, built_in, predict
from fednode.policy.worst import QUARTERS, WorstCase, require_worst_case, worst_case
from fednode.roles.turns import Turn
from ledger.disputes import MOST_STEPS
from tests.federations import policy_of


def worst(policy: Policy, *, seconds: float = 0.0) -> WorstCase:
    cost = predict(policy, seconds_per_evaluation=0)
    return worst_case(policy, replace(cost, seconds_per_voter=seconds))


@pytest.mark.parametrize("name", ["heart", "digits"])
def test_the_shipped_policies_hold_theirs(name: str) -> None:
    policy = built_in(name)
    found = worst_case(policy, predict(policy, seconds_per_evaluation=0.05))
    require_worst_case(policy, found)
    windows = policy.windows
    assert found.vote <= windows.attest
    assert found.challenge <= windows.challenge
    assert found.answer <= windows.answer


@pytest.mark.parametrize(
    ("window", "seconds", "least"),
    [("propose", 500, 1080), ("attest", 200, 960), ("challenge", 210, 1000), ("answer", 200, 960)],
)
def test_a_window_that_is_too_short_is_named_with_the_least(
    window: str, seconds: int, least: int
) -> None:
    """One step is a fetch of 20 s, so many seconds of computing, and a transaction of 20 s."""
    others = {"propose": 2000, "attest": 2500, "challenge": 2999, "answer": 2500}
    if window == "challenge":
        others["attest"] = 998

    def require(length: int) -> None:
        policy = policy_of("heart", windows={"reveal": 10, "fetch": 20, **others, window: length})
        found = worst(policy, seconds=seconds)
        if window == "challenge":  # attest must be shorter, and is too short before it is
            found = replace(found, least={window: found.least[window]})
        require_worst_case(policy, found)

    require(least)
    with pytest.raises(PolicyError, match=rf"windows\.{window}: {least - 1} s .* least {least}"):
        require(least - 1)


def test_all_short_windows_are_named_with_their_causes() -> None:
    """One step is 4 s, and the turns of four participants take 7 s."""
    windows = {"reveal": 5, "fetch": 1, "propose": 7, "attest": 15, "challenge": 27}
    policy = policy_of("heart", windows=windows)
    found = replace(worst(policy), step=4, least={"propose": 8, "attest": 16, "challenge": 28})
    with pytest.raises(PolicyError) as refused:
        require_worst_case(policy, found)
    text = str(refused.value)
    assert "windows.propose: 7 s" in text
    assert "windows.attest: 15 s, and one step of a node takes 4 s: it needs at least 16" in text
    assert "windows.challenge: 27 s, and all turns take 7 s: it needs at least 28" in text
    assert "windows.fetch" in text
    assert "federation.max_participants" in text


def test_turns_are_not_blamed_on_a_step() -> None:
    policy = policy_of("heart", windows={"reveal": 5, "fetch": 1, "attest": 20, "challenge": 21})
    with pytest.raises(PolicyError, match="all turns take 7 s: it needs at least 28") as refused:
        require_worst_case(policy, worst(policy))
    assert "one step" not in str(refused.value)
    assert "windows.fetch" not in str(refused.value)


def test_without_a_key_the_fetch_follows_the_windows() -> None:
    def fetching(**windows: object) -> int:
        return policy_of("heart", windows={"fetch": 0, **windows}).windows.fetching

    assert fetching(attest=3000, challenge=3600, answer=3600) == 30
    assert fetching(reveal=60, attest=64, challenge=3600) == 4
    assert fetching(reveal=5, attest=8, challenge=3600) == 1
    assert fetching(fetch=17) == 17


def test_a_node_waits_no_longer_than_the_windows_allow() -> None:
    """Not every policy comes from `fednode create`."""
    hostile = policy_of("heart", windows={"attest": 300, "fetch": (1 << 32) - 1}).windows
    assert hostile.patience == 300 // 8
    for name in ("heart", "digits"):
        assert built_in(name).windows.patience == built_in(name).windows.fetching


def test_it_grows_with_all_that_it_depends_on() -> None:
    base = worst(policy_of("heart"))
    slow = worst(policy_of("heart"), seconds=50)
    deep = worst(policy_of("heart", windows={"confirmations": 4}))
    many = worst(policy_of("heart", federation={"max_participants": 12}))
    mlp = {"model": "mlp", "options": {"hidden": [4096]}, "private": []}
    large = worst(policy_of("heart", task=mlp))
    assert slow.step == base.step + 50
    assert deep.step == base.step + 3 * 12
    assert many.turns > base.turns
    assert large.demands > base.demands
    assert base.dispute == 2 * MOST_STEPS * policy_of("heart").windows.answer


@pytest.mark.parametrize("window", [61, 600, 3600])
@pytest.mark.parametrize("last", [2, 6, 22])
def test_every_turn_leaves_a_quarter(window: int, last: int) -> None:
    """Whether others challenge first or not: the formula's quarters are those of the turns."""
    for begin in (0, window // QUARTERS, window // 2):
        due = Turn(last, last).between(begin, window)
        assert due <= window - window // QUARTERS
