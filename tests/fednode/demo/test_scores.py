import numpy as np
import pytest

from fednode.data.table import Table
from fednode.demo.baselines import Version, preprocessing, train_alone
from fednode.demo.options import DemoOptions
from fednode.demo.result import METHODS
from fednode.demo.scores import Versions, read_scores, score
from fednode.demo.stage import demo_policy
from fednode.models.registry import build
from fednode.policy import Policy
from fednode.site import Site, load_site, open_sites

TIMES = 20


@pytest.fixture(scope="module")
def policy() -> Policy:
    return demo_policy(DemoOptions(rounds=1))


@pytest.fixture(scope="module")
def sites(policy: Policy) -> list[Site]:
    source = open_sites(policy, public_rows=True)
    return [load_site(policy, source, name) for name in source.sites]


@pytest.fixture(scope="module")
def alone(policy: Policy, sites: list[Site]) -> list[Version]:
    model = build(policy.model_spec)
    return [train_alone(policy, model, site.train, place=i) for i, site in enumerate(sites)]


def test_training_alone_repeats_and_learns(
    policy: Policy, sites: list[Site], alone: list[Version]
) -> None:
    again = train_alone(policy, build(policy.model_spec), sites[0].train, place=0)
    for name, values in alone[0].tensors.items():
        np.testing.assert_array_equal(values, again.tensors[name])
    rows = sites[0].valuation
    said = alone[0].logits(rows)[:, 0] > 0
    assert (said == rows.labels).mean() > 0.7


def test_training_alone_scales_with_its_own_rows(
    policy: Policy, sites: list[Site], alone: list[Version]
) -> None:
    assert alone[0].preprocessing == preprocessing(policy, sites[0].train)
    assert alone[0].preprocessing != alone[1].preprocessing


def test_each_sites_model_judges_its_own_rows(sites: list[Site], alone: list[Version]) -> None:
    tests = [site.table.take(site.splits.test) for site in sites]
    rows = Table.concatenate(tests)
    stored = score(rows, versions(alone), times=TIMES, seed=0)
    said = np.concatenate([v.logits(t)[:, 0] > 0 for v, t in zip(alone, tests, strict=True)])
    right = int((said == rows.labels).sum())
    assert stored["all/local/accuracy"] == right * 1_000_000 // len(rows)


def test_scores_survive_the_marker_file(sites: list[Site], alone: list[Version]) -> None:
    rows = Table.concatenate([site.table.take(site.splits.test) for site in sites])
    stored = score(rows, versions(alone), times=TIMES, seed=0)
    read = read_scores(stored, sites=len(sites), classes=2)
    assert sum(sum(counts) for counts in read.rows) == len(rows)
    few = [min(counts) < 10 for counts in read.rows]
    assert few == [scores["local"].figures is None for scores in read.sites]
    figures = read.overall["federated"].figures
    assert figures is not None
    assert figures["auc"].value == stored["all/federated/auc"] / 1_000_000
    assert figures["auc"].interval.low <= figures["auc"].value


def test_a_class_that_is_nearly_absent_gets_no_figures(
    sites: list[Site], alone: list[Version]
) -> None:
    table = sites[0].table.take(sites[0].splits.test)
    ill = np.flatnonzero(table.labels == 1)
    rows = table.take(np.concatenate([np.flatnonzero(table.labels == 0), ill[:9]]))
    one = {method: [alone[0]] for method in METHODS}
    read = read_scores(score(rows, one, times=TIMES, seed=0), sites=1, classes=2)
    assert read.sites[0]["pooled"].figures is None
    assert read.rows[0][1] == 9


def versions(alone: list[Version]) -> Versions:
    return dict.fromkeys(METHODS, alone)
