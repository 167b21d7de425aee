"""Which results train, and where reward periods end, by height on the lineage."""

from ledger.headers import Evaluation, PolicyHeader


def trained(policy: PolicyHeader, height: int) -> int:
    """Count the training results up to a height; the statistics result is not one."""
    return height - (1 if policy.statistics and height else 0)


def end_before(policy: PolicyHeader, height: int) -> int:
    """Give the height of the result that ended the reward period before this height's; 0 = none."""
    ends = (
        h
        for h in range(height - 1, 0, -1)
        if policy.reward_period
        and trained(policy, h)
        and trained(policy, h) % policy.reward_period == 0
    )
    return next(ends, 0)


def begins(policy: PolicyHeader, height: int) -> bool:
    """Whether a reward period begins at a height."""
    return height == 1 or end_before(policy, height) == height - 1


def is_idle(policy: PolicyHeader, height: int, *, stop: bool) -> bool:
    """Whether a round only carries counts of shards: the last of a period."""
    results = trained(policy, height)
    if policy.evaluation != Evaluation.SHARDS or not results:
        return False
    ends = policy.reward_period > 0 and results % policy.reward_period == 0
    return stop or ends or results == policy.rounds
