"""What a federation can be an ancestor of."""

from types import SimpleNamespace
from typing import Any

import pytest

from fednode.ancestry import NoAncestor, ancestor_of
from ledger.types import FederationId

HEIR, FIRST = (FederationId(bytes([number]) * 32) for number in (2, 1))


@pytest.mark.parametrize(
    ("locked", "advice"),
    [(3, f"give --ancestor {FIRST.hex()}, where it has its own, or leave out"), (0, "leave out")],
)
def test_untrained_needs_a_round_of_statistics(locked: int, advice: str) -> None:
    """An heir names where its statistics are from; one that never had any cannot."""
    layout: Any = object()
    ended: Any = SimpleNamespace(
        id=HEIR,
        state=SimpleNamespace(lineage=[SimpleNamespace(settled=True)]),
        policy=SimpleNamespace(visibility="public"),
        rulebook=SimpleNamespace(layout=layout),
        replica=SimpleNamespace(
            policy=SimpleNamespace(statistics=0, ancestor=FIRST), locked=lambda: locked
        ),
    )
    with pytest.raises(NoAncestor) as caught:
        ancestor_of(ended, ended.policy, layout, untrained=True)
    assert f"no round of statistics: {advice}" in str(caught.value)
