"""Federations on an embedded chain that cost a fraction of a second."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines import embedded
from tests.federations import Cast, Changes, Stage, found, peers, policy_of

Found = Callable[..., Cast]


@pytest.fixture
def start(tmp_path: Path) -> Found:
    """Found a federation of hospitals that train by table, each with a store of its own."""

    def start(*, rounds: int = 2, **sections: Changes) -> Cast:
        policy = policy_of("heart", training={"rounds": rounds}, **sections)
        stores = peers(len(policy.data.sites or ()))
        return found(Stage(embedded(), stores, tmp_path), policy)

    return start
