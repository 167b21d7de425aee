"""What a policy reveals, in words: for the creator before it pays, for a site before it joins."""

from fednode.policy.document import Policy


def shards_warning(policy: Policy) -> str:
    """Say what members who collude read of the rows that are held out as shards."""
    return (
        "warning: evaluation.mode is 'shards': members who collude can read rows that a site holds "
        "out. Counts are exact, so two crafted updates that differ on one row show its label. Each "
        f"row answers at most {policy.shard_models} models (training.rounds x "
        "(federation.max_participants + 2), all federations together), and each of these can show "
        f"the label of a row; a shard has at most {policy.evaluation.rows} rows"
    )
