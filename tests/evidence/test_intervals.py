"""Intervals stay within bounds, are never narrower than n allows, and hold the truth."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import beta, binomtest, norm, t
from simulations import Maker, auc, coverage, f1, ranked_auc, rate

from saeval.errors import ResultError
from saeval.evidence import Evidence, Summary, summarise, units
from saeval.evidence.intervals import degrees_of_freedom, effective_number


def share_of(values: Any, bounds: Any = (0, 1), **labels: Any) -> Evidence:
    """Evidence of a mean with bounds."""
    table = units("rows", "row", {"x": values}, **labels)
    return Evidence("m", table, {"num": "x"}, "fraction", "higher", bounds=bounds)


def ends(found: Summary) -> tuple[float, float]:
    """Both ends of an interval that there must be."""
    assert found.ci_low is not None
    assert found.ci_high is not None
    return found.ci_low, found.ci_high


@pytest.mark.parametrize("n", [40, 200])
@pytest.mark.parametrize("share", [0.0, 0.025, 0.1, 0.5, 0.9, 1.0])
def test_a_rate_has_the_interval_of_wilson(n: int, share: float) -> None:
    """Of yes-or-no units the interval is scipy's Wilson interval at the level of t."""
    yes = round(share * n)
    low, high = ends(summarise(share_of(np.arange(n) < yes)))
    level = float(2 * norm.cdf(t.ppf(0.975, n - 1)) - 1)
    expected = binomtest(yes, n).proportion_ci(confidence_level=level, method="wilson")
    assert low == pytest.approx(expected.low, abs=0.008)
    assert high == pytest.approx(expected.high, abs=0.008)


def test_no_event_among_forty_is_no_certainty() -> None:
    """0 of 40 reaches up to about 3.7 / 40, as Clopper and Pearson's exact interval does."""
    found = summarise(share_of(np.zeros(40)))
    low, high = ends(found)
    assert low == found.value == 0
    assert high == pytest.approx(beta.ppf(0.975, 1, 40), abs=0.008)
    assert found.stderr is not None
    assert found.stderr > 0


def test_a_perfect_auc_is_as_sure_as_its_rarer_label_allows() -> None:
    """AUC 1 of 30 positive and 270 negative rows reaches down to 30 / (30 + t^2), not 300 / ..."""
    label = np.arange(300) < 30
    table = units("rows", "row", {"x": np.ones(300), "label": label})
    roles = {"num": "x", "label": "label"}
    found = summarise(Evidence("auc", table, roles, "fraction", "higher", bounds=(0, 1)))
    assert ends(found) == pytest.approx((30 / (30 + t.ppf(0.975, 29) ** 2), 1))


def test_clusters_are_what_counts() -> None:
    """A hundred rows of ten documents, all right, are as sure as ten documents."""
    found = ends(summarise(share_of(np.ones(100), cluster=np.repeat(np.arange(10), 10))))
    assert found == pytest.approx((10 / (10 + t.ppf(0.975, 9) ** 2), 1))


def test_rows_without_a_denominator_say_nothing() -> None:
    """An F1 of 1 over 300 documents of which 12 hold the label is as sure as twelve."""
    den = np.where(np.arange(300) < 12, 2.0, 0.0)
    table = units("rows", "row", {"num": den, "den": den})
    f1_of = Evidence("f1", table, {"num": "num", "den": "den"}, "F1", "higher", bounds=(0, 1))
    assert ends(summarise(f1_of)) == pytest.approx((12 / (12 + t.ppf(0.975, 11) ** 2), 1))


@pytest.mark.parametrize("clusters", [2, 3, 9, 10, 25])
@pytest.mark.parametrize("bounds", [(0, 1), (0, None), (None, 1)])
def test_intervals_keep_to_bounds_and_hold_the_value(clusters: int, bounds: Any) -> None:
    """However few clusters and however near the bound, an interval is within and not empty."""
    for run in range(20):
        rng = np.random.default_rng(run)
        x = rng.random(clusters) ** 8
        found = summarise(share_of(1 - x if bounds[0] is None else x, bounds), replicates=200)
        low, high = ends(found)
        assert low <= found.value <= high
        assert low < high
        assert bounds[0] is None or low >= bounds[0]
        assert bounds[1] is None or high <= bounds[1]


def test_few_clusters_hold_the_interval_of_t() -> None:
    """Below ten clusters the interval holds value +- t times the standard error, cut at 0."""
    x = np.array([0.0, 0.1, 0.5])
    found = summarise(share_of(x), replicates=20_000)
    low, high = ends(found)
    half = t.ppf(0.975, 2) * x.std(ddof=1) / np.sqrt(3)
    assert low == 0
    assert high >= min(1, 0.99 * (x.mean() + half))


def test_one_slight_deviation_makes_no_interval_narrower() -> None:
    """A row at 0.999 among forty at 1 leaves the interval about what it is without it."""
    exact = ends(summarise(share_of(np.ones(40))))
    slight = ends(summarise(share_of(np.where(np.arange(40) == 0, 0.999, 1.0))))
    assert slight[0] == pytest.approx(exact[0], abs=1e-3)


def test_rounding_is_no_deviation() -> None:
    """Cosines that differ by rounding in float32 are as sure as cosines that are equal."""
    exact = ends(summarise(share_of(np.ones(40))))
    rounded = ends(summarise(share_of(1 - 1e-8 * np.arange(40))))
    assert rounded == pytest.approx(exact, abs=1e-6)


def test_equal_values_between_the_bounds_leave_room_on_both_sides() -> None:
    """Rows that all have 0.3 leave t^2 more to be at either bound."""
    share = 50 / (50 + t.ppf(0.975, 49) ** 2)
    found = ends(summarise(share_of(np.full(50, 0.3))))
    assert found == pytest.approx((0.3 * share, 1 - 0.7 * share))


def test_exact_figures_still_have_no_interval() -> None:
    """A number that no sampling could change has none, with its reason, whatever its bounds."""
    table = units("latents", "latent", {"x": np.ones(50)})
    alive = Evidence(
        "alive", table, {"num": "x"}, "fraction", "higher", no_interval="all counted", bounds=(0, 1)
    )
    assert summarise(alive) == Summary(1.0, None, None, None, 50, "all counted", 50)


def test_bounds_in_the_wrong_order_are_refused() -> None:
    """Bounds that exclude every value are an error."""
    with pytest.raises(ResultError, match="its bounds are 1 and 0"):
        share_of(np.ones(3), (1, 0))


@pytest.mark.parametrize("differing", [5, 10, 40])
def test_degrees_of_freedom_are_twice_the_clusters_that_differ(differing: int) -> None:
    """Where m of 2,000 clusters differ by equal amounts, the t has about 2 m degrees."""
    moves = np.zeros(2000)
    moves[:differing] = np.where(np.arange(differing) % 2, 1, -1)
    assert effective_number(moves) == pytest.approx(differing)
    assert degrees_of_freedom(moves) == pytest.approx(2 * differing, rel=0.03)


def test_degrees_of_freedom_of_normal_influences_are_those_of_student() -> None:
    """Normal influences have nearly C - 1."""
    assert degrees_of_freedom(np.random.default_rng(0).normal(size=500)) > 380


@pytest.mark.parametrize("make", [rate, auc, ranked_auc, f1])
@pytest.mark.parametrize("truth", [0.9, 1.0])
def test_intervals_hold_the_truth(make: Maker, truth: float) -> None:
    """Over 80 simulated data sets of 40 rows, intervals hold the truth about 19 times in 20."""
    assert coverage(make, 40, truth, runs=80, replicates=150) >= 0.88


@pytest.mark.soak
@pytest.mark.parametrize("make", [rate, auc, ranked_auc, f1])
@pytest.mark.parametrize("n", [20, 40, 200])
@pytest.mark.parametrize("truth", [0.5, 0.9, 0.99, 1.0])
def test_intervals_hold_the_truth_in_the_long_run(make: Maker, n: int, truth: float) -> None:
    """Over 1,000 simulated data sets in 93 % or more; statistics of few values may be above 97."""
    assert coverage(make, n, truth, runs=1000) >= 0.925
