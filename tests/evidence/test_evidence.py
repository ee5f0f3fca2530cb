"""Tables are checked at the door; values, intervals and paired differences are calibrated."""

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from saeval.errors import ResultError
from saeval.evidence import (
    Difference,
    Evidence,
    Units,
    bootstrap,
    compare,
    summarise,
    summarise_all,
    units,
)
from saeval.evidence.bootstrap import design, weightings
from saeval.evidence.intervals import Sampling, interval

RNG = np.random.default_rng


def mean_of(values: Any, *, only: str | None = None, **labels: Any) -> Evidence:
    """Evidence of a plain mean over rows."""
    table = units("rows", "row", {"x": values}, **{"data": {"rows": "ab"}, **labels})
    return Evidence("mean", table, {"num": "x"}, unit="nats", better="lower", part=only)


def test_table_has_labels_and_float_statistics() -> None:
    """`units` fills in ids and weights, and stores statistics as float64 and labels as such."""
    table = units("rows", "row", {"x": [1, 2], "on": [True, False]}, part="a").table
    assert list(table.columns) == ["part", "unit_id", "cluster", "weight", "x", "on"]
    assert table["unit_id"].tolist() == [0, 1]
    assert table["weight"].tolist() == [1.0, 1.0]
    assert table["part"].tolist() == ["a", "a"]
    assert table["cluster"].isna().tolist() == [True, True]
    assert table["x"].dtype == table["on"].dtype == np.float64


@pytest.mark.parametrize(
    "statistics, labels, says",
    [
        ({"x": [1.0, np.nan]}, {"unit_id": ["a", "b"]}, r"column 'x' is nan in row 1 \(unit 'b'\)"),
        ({"x": [np.inf, 1.0]}, {}, "column 'x' is inf in row 0"),
        ({"x": [1, 2]}, {"weight": [1, -1]}, "column 'weight' is -1.0 in row 1"),
        ({"x": [1, 2]}, {"unit_id": ["a", "a"]}, "unit 'a' of part .* stands twice"),
        ({"x": [1, 2]}, {"unit_id": ["a", None]}, "a row has no unit_id"),
        ({"x": [1, 2]}, {"part": ["a", None]}, "some rows have a part and others none"),
        ({"x": [1, 2]}, {"cluster": ["a", None]}, "some rows have a cluster and others none"),
        ({"x": [1, 2], "y": [1]}, {}, r"column 'y' has shape \(1,\), but there are 2 rows"),
        ({"x": [[1, 2]]}, {}, r"column 'x' has shape \(1, 2\)"),
        ({"x": []}, {}, "it has no rows"),
        ({}, {}, "it has no rows"),
        ({"X y": [1]}, {}, "'X y' cannot name"),
    ],
)
def test_bad_tables_are_refused(statistics: Any, labels: Any, says: str) -> None:
    """What cannot be evidence is an error that names column, row and unit."""
    with pytest.raises(ResultError, match=says):
        units("rows", "row", statistics, **labels)


def test_same_unit_in_two_parts_is_fine() -> None:
    """A part and a unit_id together name a unit."""
    assert summarise(mean_of([1, 3], unit_id=["a", "a"], part=["p", "q"])).value == 2


def test_hand_made_tables_are_checked_too() -> None:
    """A table made without `units` is held to the same rules."""
    with pytest.raises(ResultError, match="lacks the column 'part'"):
        Units("rows", "row", pd.DataFrame({"x": [1.0]}))
    table = units("rows", "row", {"x": [1]}).table.astype({"x": "int64"})
    with pytest.raises(ResultError, match="column 'x' is int64, not float64"):
        Units("rows", "row", table)


@pytest.mark.parametrize(
    "change, says",
    [
        ({"columns": {"num": "y"}}, "table 'rows' has no statistic 'y'"),
        ({"floor": float("nan")}, "its floor is nan"),
        ({"part": "q"}, "has no part 'q' with weight; it has no parts"),
    ],
)
def test_bad_evidence_is_refused(change: dict[str, Any], says: str) -> None:
    """Evidence that does not fit its table is an error where it is made."""
    table = units("rows", "row", {"x": [1.0]})
    settings = {"columns": {"num": "x"}, "unit": "nats", "better": "lower"} | change
    with pytest.raises(ResultError, match=says):
        Evidence("mean", table, **settings)


def test_part_selects_rows_and_weight_zero_drops_them() -> None:
    """A part's score is that of its rows alone; rows without weight are not counted in n."""
    labels = {"part": ["a", "a", "b", "b"], "weight": [1, 3, 1, 0]}
    found = summarise(mean_of([0, 4, 7, 99], only="a", **labels))
    assert (found.value, found.n) == (3, 2)
    assert summarise(mean_of([0, 4, 7, 99], only="b", **labels)).n == 1
    assert summarise(mean_of([0, 4, 7, 99], **labels)).n == 3


def test_denominator_of_zero_is_an_error_with_its_name() -> None:
    """An undefined metric is refused with metric and part, never NaN."""
    table = units("rows", "row", {"x": [1, 1], "zero": [0, 0]}, part="a")
    bad = Evidence("f1", table, {"num": "x", "den": "zero"}, "fraction", "higher", part="a")
    with pytest.raises(ResultError, match=r"'f1' \(part 'a'\) is undefined over its 2 rows"):
        summarise(bad)


def test_denominator_near_zero_has_a_value_without_interval() -> None:
    """Where resampling turns the denominator's sign, no interval is claimed."""
    table = units("rows", "row", {"x": [1, 1, 1], "d": [1.0, -1.0, 0.1]})
    found = summarise(Evidence("score", table, {"num": "x", "den": "d"}, "fraction", "higher"))
    assert found.value == pytest.approx(30)
    assert (found.stderr, found.ci_low, found.ci_high) == (None, None, None)
    assert "denominator cannot be told from zero" in str(found.reason)


def test_one_unit_or_a_stated_reason_gives_no_interval() -> None:
    """A single unit, a single cluster and a declared reason each give a value with a reason."""
    single = summarise(mean_of([2.0]))
    assert (single.value, single.stderr, single.n) == (2.0, None, 1)
    assert single.reason == "all units are one independent cluster"
    assert summarise(mean_of([2.0, 3.0], cluster=["c", "c"])).reason == single.reason
    table = units("weights", "matrix", {"bits": [8.0, 8.0]})
    bits = Evidence("bits", table, {"num": "bits"}, "bits", "lower", no_interval="It is exact.")
    found = summarise(bits)
    assert (found.value, found.stderr, found.ci_low, found.reason) == (
        8,
        None,
        None,
        "It is exact.",
    )


def test_standard_error_of_a_mean() -> None:
    """The bootstrap's standard error of a mean is s / sqrt(n), small n included."""
    for n in (3, 8, 40, 400):
        x = RNG(n).normal(size=n)
        expected = x.std(ddof=1) / np.sqrt(n)
        assert summarise(mean_of(x), replicates=20_000).stderr == pytest.approx(expected, rel=0.03)


def test_few_clusters_get_student_t() -> None:
    """Below ten clusters the interval is value +- t times the standard error."""
    found = summarise(mean_of([1.0, 2.0, 4.0]))
    assert found.stderr is not None
    assert found.ci_high == pytest.approx(found.value + 4.302653 * found.stderr)
    assert found.ci_low == pytest.approx(found.value - 4.302653 * found.stderr)


def test_intervals_stay_within_the_range_of_the_statistic() -> None:
    """A rate of 19 in 20 has an interval that reaches towards 1 but not beyond."""
    found = summarise(mean_of([1.0] * 19 + [0.0]))
    assert found.ci_high is not None
    assert found.ci_low is not None
    assert found.ci_low < 0.9
    assert 0.95 < found.ci_high <= 1


def test_constant_statistics_without_bounds_have_no_interval() -> None:
    """Units that agree say nothing of others, rounding included, unless bounds do."""
    found = summarise(mean_of([0.1] * 17))
    assert (found.stderr, found.ci_low, found.ci_high) == (None, None, None)
    assert found.reason == "all 17 clusters agree, so nothing tells how others would differ"


def coverage(make: Any, truth: float, runs: int = 200) -> float:
    """Share of simulated data sets whose 95 % interval holds the truth."""
    held = 0
    for run in range(runs):
        found = summarise(make(RNG(run)), replicates=500)
        assert found.ci_low is not None
        assert found.ci_high is not None
        held += found.ci_low <= truth <= found.ci_high
    return held / runs


def clustered(rng: np.random.Generator, *, told: bool = True, clusters: int = 30) -> Evidence:
    """Clusters of ten rows that share half of their variance."""
    of = np.repeat(np.arange(clusters), 10)
    x = rng.normal(size=clusters)[of] + rng.normal(size=len(of))
    return mean_of(x, cluster=of if told else None)


def skewed_ratio(rng: np.random.Generator) -> Evidence:
    """A ratio of sums of skewed columns, whose true value is 1."""
    den = rng.exponential(size=60) + 0.2
    table = units("rows", "row", {"num": den * rng.gamma(4, 1 / 4, 60), "den": den})
    return Evidence("ratio", table, {"num": "num", "den": "den"}, "ratio", "none")


@pytest.mark.parametrize(
    "make, truth",
    [
        (lambda rng: mean_of(rng.normal(1, 1, 25)), 1.0),
        (lambda rng: mean_of(rng.random(60) < 0.8), 0.8),
        (skewed_ratio, 1.0),
        (clustered, 0.0),
        (lambda rng: clustered(rng, clusters=6), 0.0),
    ],
    ids=["mean", "rate", "ratio", "clustered", "few clusters"],
)
def test_95_percent_intervals_hold_the_truth(make: Any, truth: float) -> None:
    """Over simulated data sets, intervals hold the truth in 90 to 98 % of cases."""
    assert 0.90 <= coverage(make, truth) <= 0.98


def test_ignoring_clusters_is_overconfident() -> None:
    """The same rows without their clusters give intervals that hold the truth far too seldom."""
    assert coverage(lambda rng: clustered(rng, told=False), 0.0, runs=100) < 0.75


def test_bias_correction_repairs_a_biased_mean_of_ratios() -> None:
    """A mean of 100 ratios of ten rows each is biased; its intervals still mostly hold 5 / 7.

    Plain percentiles hold it in about two thirds of cases.
    """

    def biased(rng: np.random.Generator) -> Evidence:
        columns = {"num": rng.random(1000), "den": rng.random(1000) + 0.2}
        table = units("rows", "row", columns, part=[f"p{i % 100}" for i in range(1000)])
        return Evidence("m", table, {n: n for n in columns}, "x", "none", "macro_average/1")

    assert coverage(biased, 5 / 7, runs=100) >= 0.82


def test_weights_depend_on_seed_and_unit_names_only() -> None:
    """Replicates are the same in any row order, batch or table, and differ by seed and names."""
    x, names = RNG(0).normal(size=12), [f"u{i:02d}" for i in range(12)]
    first = summarise(mean_of(x, unit_id=names))
    turned = summarise(mean_of(x[::-1], unit_id=names[::-1]))
    assert (turned.value, turned.stderr) == pytest.approx((first.value, first.stderr), abs=1e-12)
    assert summarise_all([mean_of(x + 1, unit_id=names), mean_of(x, unit_id=names)])[1] == first
    assert summarise(mean_of(x, unit_id=names), seed=1).stderr != first.stderr
    assert summarise(mean_of(x, unit_id=[f"v{i}" for i in range(12)])).stderr != first.stderr


def test_weights_come_out_the_same_in_any_portion() -> None:
    """How many replicates are held at a time changes no weight, and row 0 is always the data."""
    of = design(pd.DataFrame({"unit_id": np.arange(50)}))
    whole = list(weightings(of, 100, seed=0, width=1))
    pieces = list(weightings(of, 100, seed=0, width=2**16))
    assert (len(whole), len(pieces)) == (1, 13)
    assert all((piece[0] == 1).all() for piece in pieces)
    np.testing.assert_array_equal(whole[0][1:], np.concatenate([piece[1:] for piece in pieces]))


def test_metrics_summarised_together_equal_metrics_alone() -> None:
    """Sharing weights and matrix products changes no number, whatever the aggregators."""
    rng = RNG(0)
    columns = {"a": rng.random(90), "b": rng.random(90) + 1, "label": np.arange(90) % 3 == 0}
    table = units("rows", "row", columns, part=[f"p{i % 5}" for i in range(90)])
    evidence = [
        Evidence("ratio", table, {"num": "a", "den": "b"}, "x", "none"),
        Evidence("mean", table, {"num": "a"}, "x", "none", part="p1"),
        Evidence("auc", table, {"score": "a", "label": "label"}, "x", "none", "auc/1"),
        Evidence("macro", table, {"num": "a", "den": "b"}, "x", "none", "macro_average/1"),
        Evidence("bits", table, {"num": "b"}, "x", "none", no_interval="It is exact."),
    ]
    for together, each in zip(summarise_all(evidence), evidence, strict=True):
        alone = summarise(each)
        assert (together.n, together.reason) == (alone.n, alone.reason)
        for name in ("value", "stderr", "ci_low", "ci_high"):
            assert getattr(together, name) == pytest.approx(getattr(alone, name), abs=1e-12)


def test_very_many_units_are_resampled_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of units give the standard error that units themselves give, and the same value."""
    x = RNG(0).exponential(size=6000)
    monkeypatch.setattr(bootstrap, "MOST_BLOCKS", 6000)
    exact = summarise(mean_of(x))
    monkeypatch.setattr(bootstrap, "MOST_BLOCKS", 500)
    blocked = summarise(mean_of(x))
    assert design(pd.DataFrame({"unit_id": np.arange(6000)})).blocks == 500
    assert blocked.value == pytest.approx(exact.value, abs=1e-12)
    assert blocked.stderr == pytest.approx(exact.stderr, rel=0.08)
    assert blocked.clusters == exact.clusters == 6000


def test_interval_holds_the_value_even_of_a_maximum() -> None:
    """Replicates that all exceed the value still give an interval that contains it."""
    sampling = Sampling(1.0, np.linspace(1.1, 2, 100), np.ones(50), 50, 50)
    found = interval(sampling, (None, None))
    assert isinstance(found, tuple)
    assert found[1] == 1.0 < found[2]


def test_thirty_metrics_over_1440_units_cost_under_half_a_second() -> None:
    """2,000 replicates of 30 metrics over 1,440 units take under 0.5 CPU seconds."""
    columns = {f"s{i}": RNG(i).normal(5, 1, 1440) for i in range(31)}
    table = units("rows", "row", columns)
    evidence = [
        Evidence(f"m{i}", table, {"num": f"s{i}", "den": f"s{i + 1}"}, "x", "none")
        for i in range(30)
    ]
    start = time.process_time()
    summarise_all(evidence)
    assert time.process_time() - start < 0.5


def test_an_sae_compared_with_itself_differs_by_exactly_zero() -> None:
    """A / A: the difference is 0, and no interval is valid, since no cluster differs."""
    a = mean_of(RNG(0).normal(size=30))
    b = mean_of(RNG(0).normal(size=30)[::-1], unit_id=np.arange(30)[::-1])
    reason = "only 0 of 30 clusters differ"
    for other in (a, b):
        found = compare(a, other)
        assert found == Difference(0.0, None, None, None, 30, None, None, reason, 30, 0)


def test_difference_is_paired() -> None:
    """What units have in common cancels: the error is that of the unit-by-unit differences."""
    common, gain = RNG(0).normal(0, 10, 50), RNG(1).normal(0.5, 0.1, 50)
    found = compare(mean_of(common + gain), mean_of(common))
    expected = gain.std(ddof=1) / np.sqrt(50)
    assert found.delta == pytest.approx(gain.mean())
    assert found.stderr is not None
    assert found.stderr == pytest.approx(expected, rel=0.1)
    assert found.mde == pytest.approx((2.01 + 0.85) * found.stderr, rel=0.02)
    assert found.differing == found.clusters == 50
    assert found.n == 50
    assert found.ci_low is not None
    assert found.ci_low > 0
    assert found.p is not None
    assert found.p < 1e-6


def test_difference_over_shuffled_rows_is_the_same() -> None:
    """Rows are paired by name, not by place."""
    rng = RNG(0)
    x, y, order = rng.normal(size=20), rng.normal(size=20), rng.permutation(20)
    names = np.array([f"u{i}" for i in range(20)])
    straight = compare(mean_of(x, unit_id=names), mean_of(y, unit_id=names))
    mixed = compare(mean_of(x, unit_id=names), mean_of(y[order], unit_id=names[order]))
    assert mixed == straight


@pytest.mark.parametrize("clusters", [None, 12], ids=["units", "clusters"])
def test_null_differences_are_rejected_at_the_stated_rate(clusters: int | None) -> None:
    """Between SAEs that do not differ, p < 0.05 and intervals without 0 come in about 5 %."""
    rejected, outside, without = 0, 0, 0
    for run in range(250):
        rng = RNG(run)
        if clusters is None:
            of, noise = None, rng.normal(size=(2, 30))
        else:
            of = np.repeat(np.arange(clusters), 4)
            noise = rng.normal(size=(2, clusters))[:, of] + rng.normal(size=(2, 4 * clusters))
        found = compare(*(mean_of(x, cluster=of) for x in noise), replicates=400)
        if found.p is None or found.ci_low is None or found.ci_high is None:
            without += 1  # one cluster of twelve made up the difference
            continue
        rejected += found.p < 0.05
        outside += not found.ci_low <= 0 <= found.ci_high
    assert 0.02 <= rejected / 250 <= 0.08
    assert without <= 3
    assert outside == rejected


def test_minimum_detectable_difference_is_found_four_times_in_five() -> None:
    """A true difference of the size that is called detectable is found in about 80 % of runs."""
    true = 2.8 * np.sqrt(2 / 40)
    powers = []
    for run in range(150):
        a, b = RNG(run).normal(size=(2, 40))
        found = compare(mean_of(a + true), mean_of(b), replicates=200)
        powers.append(found.p is not None and found.p < 0.05)
    assert 0.70 <= np.mean(powers) <= 0.90


@pytest.mark.parametrize(
    "change, says",
    [
        ({"unit_id": [0, 1, 3]}, "unit_id differs in 1 units, first 2 on one side and 3"),
        ({"cluster": [0, 0, 1]}, "cluster differs in 3 units"),
        ({"weight": [1, 1, 2]}, "weight differs in 1 units, first 1.0 on one side and 2.0"),
        ({"weight": [1, 1, 0]}, "3 units with weight on one side and 2 on the other"),
    ],
)
def test_other_units_cannot_be_paired(change: dict[str, Any], says: str) -> None:
    """Scores over other units, clusters or weights are no pair, and the error says what differs."""
    with pytest.raises(ResultError, match=says):
        compare(mean_of([1.0, 2, 3]), mean_of([1.0, 2, 3], **change))


def test_other_questions_cannot_be_compared() -> None:
    """Two metrics, or one metric under two aggregators, are not compared."""
    table = units("rows", "row", {"x": [1.0, 2.0]})
    a = Evidence("fvu", table, {"num": "x"}, "fraction", "lower")
    b = Evidence("mse", table, {"num": "x"}, "fraction", "lower")
    c = Evidence("fvu", table, {"value": "x"}, "fraction", "lower", "matched_mean/1")
    with pytest.raises(ResultError, match="metric is 'fvu' and 'mse'"):
        compare(a, b)
    with pytest.raises(ResultError, match="aggregator is 'ratio_of_sums/1' and 'matched_mean/1'"):
        compare(a, c)


def test_difference_without_interval_says_why() -> None:
    """A difference of exact figures has no error and carries their reason."""
    table = units("weights", "matrix", {"bits": [8.0]}, data={"weights": "ab"})
    bits = Evidence("bits", table, {"num": "bits"}, "bits", "lower", no_interval="It is exact.")
    found = compare(bits, bits)
    assert found == Difference(0.0, None, None, None, 1, None, None, "It is exact.", 1, 0)
