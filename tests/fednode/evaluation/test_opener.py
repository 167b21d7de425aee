"""What is measured in a round by slices: the announced slice, if it is the round's own."""

from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from fednode.data.evaluation_set import EvaluationSet
from fednode.evaluation.evaluator import Evaluator
from fednode.evaluation.opener import Opener
from fednode.evaluation.slices import cut
from ledger.stores import BlockNotFound, MemoryStore
from ledger.types import ZERO_DIGEST, Address
from tests.fednode.evaluation.test_slices import HOLDER, drawn, stored, tree
from tests.ledger.test_round import CONTEXT

SLICES = cut(drawn(), 5)
STORE, DIGEST = stored(SLICES.opened(1))
OPENER = Opener(tree(SLICES), lambda rows: cast(Evaluator, rows))
ANNOUNCED = replace(CONTEXT, slices={HOLDER: DIGEST}, slice_number=1)


def test_the_announced_slice_is_measured_on() -> None:
    assert OPENER.announced(ANNOUNCED) == DIGEST
    found = cast(EvaluationSet, OPENER.open(ANNOUNCED, STORE))
    assert np.array_equal(found.features, SLICES.parts[1].rows.features)


def test_nothing_is_measured_without_the_rounds_own_slice() -> None:
    statistics = replace(CONTEXT.policy, statistics=1)
    for context in (
        replace(ANNOUNCED, slices={}),
        replace(ANNOUNCED, slices={Address("0x" + "cd" * 20): DIGEST}),
        replace(ANNOUNCED, slice_number=2),
        replace(ANNOUNCED, policy=statistics, parent=ZERO_DIGEST),
    ):
        assert OPENER.open(context, STORE) is None


def test_a_slice_that_is_missing_is_no_other_slice() -> None:
    with pytest.raises(BlockNotFound):
        OPENER.open(ANNOUNCED, MemoryStore())
