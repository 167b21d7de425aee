import numpy as np
import pytest

from fednode.demo.bootstrap import Measured, figures, in_units
from incentives.intervals import Interval


def measured(rows: int = 120) -> Measured:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, rows)
    groups = np.sort(generator.integers(0, 3, rows))
    good = labels * 40_000 + generator.integers(-40_000, 40_000, rows)
    noise = generator.integers(-40_000, 40_000, rows)
    return Measured(np.stack([good, noise])[:, :, None], labels, groups)


def test_draws_keep_the_size_of_every_class_of_every_site() -> None:
    rows = measured()
    sizes = np.unique(np.stack([rows.groups, rows.labels]), axis=1, return_counts=True)
    for draw in rows.draws(5, seed=3):
        drawn = np.unique(np.stack([draw.groups, draw.labels]), axis=1, return_counts=True)
        np.testing.assert_array_equal(drawn[0], sizes[0])
        np.testing.assert_array_equal(drawn[1], sizes[1])


@pytest.mark.parametrize("metric", ["auc", "auc_within", "accuracy"])
def test_figures_follow_a_slow_reference(metric: str) -> None:
    rows = measured()
    good, noise = figures(rows, metric, times=60, seed=7)
    samples = np.array([draw.utilities(metric) for draw in rows.draws(60, seed=7)]) / 1_000_000
    expected = np.quantile(samples, [0.025, 0.975], axis=0)
    for figure, bounds in zip((good, noise), expected.T, strict=True):
        assert (figure.interval.low, figure.interval.high) == pytest.approx(tuple(bounds))
        assert figure.interval.low <= figure.value <= figure.interval.high
    assert good.interval.low > noise.interval.high


def test_figures_depend_on_the_seed_alone() -> None:
    rows = measured()
    assert figures(rows, "auc", times=30, seed=1) == figures(rows, "auc", times=30, seed=1)
    assert figures(rows, "auc", times=30, seed=1) != figures(rows, "auc", times=30, seed=2)


def test_of_group_picks_one_sites_rows() -> None:
    rows = measured()
    own = rows.of_group(1)
    assert set(own.groups.tolist()) == {1}
    assert own.logits.shape[1] == int((rows.groups == 1).sum())


def test_in_units_scales_both_bounds() -> None:
    assert in_units(Interval(100_000.0, 900_000.0)) == Interval(0.1, 0.9)
