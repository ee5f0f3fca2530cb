"""Differences: interval and test agree, few differing clusters are told, equals rarely differ."""

from typing import Any

import numpy as np
import pytest

from saeval.evidence import Difference, Evidence, compare, units

DATA = {"rows": "ab"}


def share_of(values: Any, aggregator: str = "ratio_of_sums/1", **labels: Any) -> Evidence:
    """Evidence of a share."""
    table = units("rows", "row", {"x": values}, data=DATA, **labels)
    return Evidence("m", table, {"num": "x"}, "fraction", "higher", aggregator, bounds=(0, 1))


def assert_consistent(found: Difference) -> None:
    """An interval without 0 and a p-value below 0.05 come together, or neither is there."""
    if found.p is None or found.ci_low is None or found.ci_high is None:
        assert found.stderr is found.ci_low is found.ci_high is found.mde is found.p is None
        assert found.reason
        return
    assert found.ci_low <= found.delta <= found.ci_high
    assert (found.p < 0.05) == (not found.ci_low <= 0 <= found.ci_high)
    assert found.ci_low >= -1
    assert found.ci_high <= 1


@pytest.mark.parametrize("differing", [0, 1, 3, 4])
def test_few_differing_clusters_give_no_interval(differing: int) -> None:
    """Fewer than five rows that differ say nothing, and their number is told."""
    found = compare(share_of(np.ones(200)), share_of(np.arange(200) >= differing))
    assert found.delta == pytest.approx(differing / 200)
    assert found.reason == f"only {differing} of 200 clusters differ"
    assert (found.differing, found.clusters) == (differing, 200)
    assert_consistent(found)
    assert f"{differing} of 200 clusters differ" in str(found)


def test_many_differing_clusters_are_counted() -> None:
    """Thirty rows of 200 that differ all in one direction make a clear difference."""
    found = compare(share_of(np.ones(200)), share_of(np.arange(200) >= 30))
    assert found.differing == 30
    assert found.p is not None
    assert found.p < 1e-4
    assert_consistent(found)
    assert "p " in str(found)
    assert "30 of 200 clusters differ" in str(found)


def test_rows_that_move_with_another_do_not_count_as_differing() -> None:
    """Where a single text changes its rank, the AUC's terms of all rows change, but one differs."""
    from saeval_tasks.probing.scoring import auc_components

    label = np.arange(300) < 100
    score = np.where(label, 5.0, 0.0) + np.arange(300) / 1000
    worse = score.copy()
    worse[-1] = 10.0
    found = compare(share_of(auc_components(score, label)), share_of(auc_components(worse, label)))
    assert found.differing == 1
    assert found.reason == "only 1 of 300 clusters differ"


def test_all_clusters_that_differ_alike_are_significant_but_not_certain() -> None:
    """Where all of 30 rows differ by 0.5, p is small and the interval has a width."""
    found = compare(share_of(np.full(30, 0.75)), share_of(np.full(30, 0.25)))
    assert found.stderr == pytest.approx(0.5 / 30)
    assert found.p is not None
    assert 0 < found.p < 0.01
    assert_consistent(found)


def test_interval_of_a_difference_stays_within_what_the_bounds_allow() -> None:
    """A difference of two shares lies from -1 to 1, and so does its interval."""
    rng = np.random.default_rng(0)
    found = compare(share_of(rng.random(6) > 0.05), share_of(rng.random(6) > 0.95))
    assert_consistent(found)


@pytest.mark.parametrize("aggregator", ["ratio_of_sums/1", "macro_average/1", "auc/1"])
def test_moves_are_those_of_leaving_units_out(aggregator: str) -> None:
    """Influences are close to what leaving a unit out does to the value, for each aggregator."""
    from saeval.evidence.bootstrap import design
    from saeval.evidence.influence import influences
    from saeval.evidence.summary import sample_of, summarise

    rng = np.random.default_rng(0)
    columns = {"x": rng.random(60), "label": rng.random(60) < 0.5}
    roles = {"score": "x", "label": "label"} if aggregator == "auc/1" else {"num": "x"}
    parts = [f"p{i % 3}" for i in range(60)]

    def evidence(left_out: int | None) -> Evidence:
        rows = [i for i in range(60) if i != left_out]
        table = units(
            "rows",
            "row",
            {name: column[rows] for name, column in columns.items()},
            unit_id=np.arange(60)[rows],
            part=[parts[i] for i in rows],
            cluster=np.arange(60)[rows],
        )
        return Evidence("m", table, roles, "fraction", "higher", aggregator)

    whole = evidence(None)
    rows = whole.units.rows(None)
    moves = influences(sample_of(whole, rows, design(whole.units.cluster_names(rows))))
    value = summarise(whole, replicates=2).value
    left_out = [value - summarise(evidence(i), replicates=2).value for i in range(60)]
    np.testing.assert_allclose(moves, left_out, rtol=0.15, atol=1e-4)


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("clusters", [40, 300])
def test_equals_rarely_differ_however_saturated(rate: float, clusters: int) -> None:
    """Between two columns of equal rates, p < 0.05 comes in 7 % at most, refusals included."""
    rejected = 0
    for run in range(150):
        values = np.random.default_rng(run).random((2, clusters)) < rate
        found = compare(*map(share_of, values), replicates=150)
        assert_consistent(found)
        rejected += found.p is not None and found.p < 0.05
    assert rejected / 150 <= 0.09
    assert rate < 0.3 or rejected / 150 >= 0.01
