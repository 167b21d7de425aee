"""What follows from the utilities of a round: values and gain.

Utilities are those of the round's own coalitions; where participants count on their shards, of its
parent's.
"""

from collections.abc import Sequence
from itertools import combinations
from math import comb, lcm

from ledger import merkle
from ledger.headers import Evaluation, PolicyHeader, ResultHeader, Valuation
from ledger.merkle import EMPTY_ROOT
from ledger.payload import LEAF_SIZE
from ledger.proofs.arithmetic import clamped, int64s
from ledger.proofs.periods import begins, trained
from ledger.proofs.reading import Reader
from ledger.proofs.records import Ask, Case, NoProof, Question

MOST_PLAYERS = 12
DENOMINATOR = lcm(*range(1, MOST_PLAYERS + 1))
PER_LEAF = LEAF_SIZE // 8
INT256 = 1 << 255


def value(
    policy: PolicyHeader, case: Case, result: ResultHeader, reader: Reader
) -> Question | None:
    """Compare a participant's value with what it was and what the utilities give it."""
    index = reader.number(4)
    leaf, _ = reader.value(index, case.known, result)
    by_shards = policy.evaluation == Evaluation.SHARDS
    measured = case.height - 1 if by_shards else case.height
    valued = result.utilities != EMPTY_ROOT and valuation_at(policy, measured) != Valuation.NONE
    expected = 0
    question = Question()
    if not begins(policy, case.height):
        parent = reader.result(result.common.parent)
        known, slots = reader.number(4), 0
        if index < known:
            before, _ = reader.value(index, known, parent)
            expected = signed(before[1])
        if by_shards and valued:
            slots = reader.number(4)
            if slots == 0:
                raise NoProof("place", "a round without slots has no players")
            earned = _earned(policy, case.height - 1, result, reader, slots, parent.nodes)
            expected += earned.get(index, 0)
        question = Question(
            Ask.ANCESTOR,
            number=known,
            height=case.height - 1,
            slots=slots,
            digest=result.common.parent,
        )
    if not by_shards and valued:
        earned = _earned(policy, case.height, result, reader, case.slots, result.nodes)
        expected += earned.get(index, 0)
    return None if clamped(expected, 256) == signed(leaf[1]) else question


def gain(policy: PolicyHeader, case: Case, result: ResultHeader, reader: Reader) -> Question | None:
    """Compare the gain with the parent's and the utilities; and whether there have to be any."""
    empty = result.utilities == EMPTY_ROOT
    if empty == measures(policy, case.height) and (
        not empty or policy.evaluation == Evaluation.PUBLIC
    ):
        return Question()
    expected, players = 0, result
    if not begins(policy, case.height):
        parent = reader.result(result.common.parent)
        expected = parent.gain
        if policy.evaluation == Evaluation.SHARDS:
            players = parent
    if not empty:
        count = measured_at(policy, case.height, players)
        size = -(-count // PER_LEAF)
        leaves = [_utilities_leaf(reader, at, size, result) for at in sorted({0, size - 1})]
        expected += leaves[-1][(count - 1) % PER_LEAF] - leaves[0][0]
    return None if clamped(expected, 64) == result.gain else Question()


def valuation_at(policy: PolicyHeader, height: int) -> int:
    """Give the valuation of the round that led to a height; a policy's runs every so many."""
    runs = trained(policy, height) % policy.valuation_every == 0
    return policy.valuation if runs else Valuation.NONE


def coalitions(valuation: int, players: int) -> int:
    """Count the coalitions that are measured of so many players."""
    if players == 0:
        return 1
    if valuation == Valuation.NONE:
        return 2
    if valuation == Valuation.LEAVE_ONE_OUT:
        return players + 2
    if players > MOST_PLAYERS:
        raise NoProof("players", f"{players} are more than {MOST_PLAYERS}")
    return 1 << players


def measured_at(policy: PolicyHeader, height: int, players: ResultHeader) -> int:
    """Count the utilities of a height's result; `players` is the header of the result whose updates
    they measure.
    """
    at = height - 1 if policy.evaluation == Evaluation.SHARDS else height
    return coalitions(valuation_at(policy, at), players.number if players.weight else 0)


def signed(word: int) -> int:
    """Read a word as int256."""
    return (word + INT256) % (2 * INT256) - INT256


def measures(policy: PolicyHeader, height: int) -> bool:
    """Whether a policy measures anything for a height: by shards not for a round before the period,
    or one without training.
    """
    if policy.evaluation == Evaluation.NONE or not trained(policy, height):
        return False
    carried = not begins(policy, height) and trained(policy, height - 1) > 0
    return carried or policy.evaluation != Evaluation.SHARDS


def _utilities_leaf(reader: Reader, index: int, size: int, result: ResultHeader) -> list[int]:
    leaf = reader.take(LEAF_SIZE)
    reader.under(merkle.leaf_hash(leaf), index, size, result.utilities)
    return int64s(leaf)


def _earned(
    policy: PolicyHeader,
    height: int,
    result: ResultHeader,
    reader: Reader,
    slots: int,
    nodes: bytes,
) -> dict[int, int]:
    """Take all lowest nodes and all utilities of a round; give what every player earned."""
    entries = reader.lowest(slots, nodes)
    players = [entry.participant for entry in entries if entry.weight]
    valuation = valuation_at(policy, height)
    count = coalitions(valuation, len(players))
    data = reader.take(-(-count // PER_LEAF) * LEAF_SIZE)
    if merkle.root_of_bytes(data, LEAF_SIZE) != result.utilities:
        raise NoProof("utilities", f"they do not lie under {result.utilities.hex()}")
    utilities = int64s(data)[:count]
    ranks = {player: sum(p < player for p in players) for player in players}
    rule = _leave_one_out if valuation == Valuation.LEAVE_ONE_OUT else _shapley
    return {player: rule(utilities, len(players), rank) for player, rank in ranks.items()}


def _leave_one_out(utilities: Sequence[int], players: int, rank: int) -> int:
    return DENOMINATOR * (utilities[players + 1] - utilities[rank + 1])


def _shapley(utilities: Sequence[int], players: int, rank: int) -> int:
    others = [k for k in range(players) if k != rank]
    total = 0
    for size in range(players):
        weight = DENOMINATOR // (players * comb(players - 1, size))
        for members in combinations(others, size):
            coalition = sum(1 << k for k in members)
            total += weight * (utilities[coalition | 1 << rank] - utilities[coalition])
    return total
