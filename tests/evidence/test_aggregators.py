"""Every aggregator against hand-computed cases, and against slower references."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from saeval.errors import ResultError
from saeval.evidence import Evidence, summarise, units
from saeval.evidence.aggregators import AGGREGATORS, auc


def evidence(
    aggregator: str, statistics: Mapping[str, Any], *, parameters: Any = None, **labels: Any
) -> Evidence:
    """Evidence whose columns are named as their roles."""
    return Evidence(
        "metric",
        units("table", "row", statistics, **labels),
        {name: name for name in statistics},
        unit="fraction",
        better="higher",
        aggregator=aggregator,
        parameters=parameters or {},
    )


def value(aggregator: str, statistics: Mapping[str, Any], **others: Any) -> float:
    """The number that comes out."""
    return summarise(evidence(aggregator, statistics, **others), replicates=10).value


def test_registry_is_closed_and_versioned() -> None:
    """Seven aggregators, each with a version, in a mapping that cannot be changed."""
    assert sorted(AGGREGATORS) == [
        "auc/1",
        "best_setting/1",
        "difference_of_ratios/1",
        "frontier_area/1",
        "macro_average/1",
        "matched_mean/1",
        "ratio_of_sums/1",
    ]
    assert not isinstance(AGGREGATORS, dict)
    with pytest.raises(TypeError):
        AGGREGATORS["mine/1"] = AGGREGATORS["auc/1"]  # pyright: ignore[reportIndexIssue]


def test_ratio_of_sums_is_not_a_mean_of_ratios() -> None:
    """Sums are taken before the division: (1 + 9) / (1 + 99), not the mean of 1 and 1 / 11."""
    assert value("ratio_of_sums/1", {"num": [1, 9], "den": [1, 99]}) == 0.1


def test_ratio_without_a_denominator_is_the_mean() -> None:
    """A column alone is averaged over rows, weighted by `weight`."""
    assert value("ratio_of_sums/1", {"num": [1, 2, 6]}) == 3
    assert value("ratio_of_sums/1", {"num": [1, 2, 6]}, weight=[1, 1, 2]) == 15 / 4


def test_fvu_oracle() -> None:
    """As an FVU: exact reconstruction gives 0, predicting the mean gives exactly 1."""
    x = np.random.default_rng(0).normal(3, 2, (50, 4))
    deviation = ((x - x.mean(0)) ** 2).sum(1)
    for x_hat, expected in ((x, 0.0), (np.tile(x.mean(0), (50, 1)), 1.0)):
        error = ((x - x_hat) ** 2).sum(1)
        found = value("ratio_of_sums/1", {"num": error, "den": deviation})
        assert found == pytest.approx(expected, abs=1e-12)


def test_f1_is_a_ratio_of_sums() -> None:
    """2TP over 2TP + FP + FN, by hand: 2 true positives, 1 false, 1 missed."""
    truth, fires = np.array([1, 1, 1, 0, 0]), np.array([1, 1, 0, 1, 0])
    statistics = {"num": 2 * truth * fires, "den": truth + fires}
    assert value("ratio_of_sums/1", statistics) == 4 / 6


def test_difference_of_ratios_by_hand() -> None:
    """(1 + 3) / (2 + 2) - (1 + 0) / (4 + 4)."""
    statistics = {"num_a": [1, 3], "den_a": [2, 2], "num_b": [1, 0], "den_b": [4, 4]}
    assert value("difference_of_ratios/1", statistics) == 1 - 1 / 8


def test_auc_oracles() -> None:
    """Perfect order gives 1, reversed 0, all tied one half, one tie of four pairs 7 / 8."""
    label = [0, 0, 1, 1]
    for score, expected in (
        ([1, 2, 3, 4], 1.0),
        ([4, 3, 2, 1], 0.0),
        ([5, 5, 5, 5], 0.5),
        ([1, 2, 2, 3], 7 / 8),
    ):
        assert value("auc/1", {"score": score, "label": label}) == expected


def test_auc_equals_sklearn_for_every_weighting() -> None:
    """Many weightings at once give what scikit-learn gives for each, ties included."""
    rng = np.random.default_rng(0)
    score = rng.integers(0, 8, 60).astype(float)
    label = (rng.random(60) < 0.3).astype(float)
    weights = rng.exponential(size=(20, 60))
    found = auc({"score": score, "label": label}, weights, {})
    expected = [roc_auc_score(label, score, sample_weight=row) for row in weights]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_macro_average_counts_parts_alike() -> None:
    """A part of one row weighs as much as a part of three: mean of 1 and 1 / 3."""
    statistics = {"num": [1, 1, 0, 0]}
    assert value("macro_average/1", statistics, part=["b", "a", "a", "a"]) == pytest.approx(2 / 3)
    assert value("ratio_of_sums/1", statistics, part=["b", "a", "a", "a"]) == 0.5


def test_macro_average_over_a_column() -> None:
    """A `group` column takes the place of parts, and each group is a ratio of sums."""
    statistics = {"num": [1, 3, 5], "den": [2, 2, 10], "group": [7, 7, 9]}
    assert value("macro_average/1", statistics) == (1 + 0.5) / 2


def test_macro_average_resamples_parts_where_parts_are_the_sample() -> None:
    """One row a part is a mean over parts; many rows a part are a mean over fixed parts.

    The spread between parts enters the standard error only in the first case.
    """
    rng = np.random.default_rng(0)
    level = rng.normal(0, 1, 40)
    drawn = evidence("macro_average/1", {"num": level}, part=[f"p{i}" for i in range(40)])
    assert summarise(drawn).stderr == pytest.approx(level.std(ddof=1) / np.sqrt(40), rel=0.1)

    part = np.repeat(np.arange(40), 25)
    noisy = level[part] + rng.normal(0, 1, 1000)
    fixed = evidence("macro_average/1", {"num": noisy}, part=[f"p{i}" for i in part])
    assert summarise(fixed).stderr == pytest.approx(1 / np.sqrt(1000), rel=0.1)

    clustered = evidence(
        "macro_average/1", {"num": noisy}, part=[f"p{i}" for i in part], cluster=part
    )
    means = noisy.reshape(40, 25).mean(1)
    assert summarise(clustered).stderr == pytest.approx(means.std(ddof=1) / np.sqrt(40), rel=0.1)


def frontier(points: Any, **parameters: float) -> float:
    """Frontier area of settings at given points, two rows each that average to the point."""
    rows = np.repeat(np.array(points, float), 2, axis=0) + np.tile(
        [[0.05], [-0.05]], (len(points), 2)
    )
    setting = np.repeat(np.arange(len(points)), 2)
    statistics = {"setting": setting, "x_num": rows[:, 0], "y_num": rows[:, 1]}
    return value("frontier_area/1", statistics, parameters=parameters)


def test_frontier_area_by_hand() -> None:
    """Two settings make a staircase; a dominated one and one that gives up all of x add nothing."""
    stairs = [(0.8, 0.5), (0.4, 0.9)]
    expected = 0.4 * 0.9 + 0.4 * 0.5
    assert frontier(stairs) == pytest.approx(expected)
    assert frontier([*stairs, (0.3, 0.4), (0.0, 1.0)]) == pytest.approx(expected)
    assert frontier([(1.0, 1.0)]) == pytest.approx(1)


def test_frontier_area_within_a_box() -> None:
    """The box rescales each axis: (0.75, 0.75) lies halfway between 0.5 and 1 on both."""
    assert frontier([(0.75, 0.75)], x_low=0.5, y_low=0.5) == pytest.approx(0.25)


def test_frontier_area_equals_brute_force() -> None:
    """The staircase equals the share of a fine grid that some setting reaches on both axes."""
    points = np.random.default_rng(1).random((6, 2)) * 0.9
    grid = (np.arange(400) + 0.5) / 400
    x, y = np.meshgrid(grid, grid)
    reached = np.any([(x <= px) & (y <= py) for px, py in points], axis=0)
    assert frontier(points) == pytest.approx(reached.mean(), abs=0.005)


BEST = {
    "setting": [1, 1, 2, 2, 1, 1, 2, 2],
    "role": [0, 0, 0, 0, 1, 1, 1, 1],
    "num": [1, 1, 1, 0, 0, 1, 1, 1],
}
"""Setting 1 is the better one on the rows that choose, setting 2 on the rows that score."""


def test_best_setting_is_chosen_on_other_rows() -> None:
    """The score is that of the setting chosen, not the largest score."""
    assert value("best_setting/1", BEST) == 0.5
    assert value("best_setting/1", BEST, parameters={"maximise": False}) == 1


def test_best_setting_shows_no_gain_from_trying_noise() -> None:
    """Among 30 settings of pure coin flips the winner scores one half, not its lucky maximum."""
    rng = np.random.default_rng(0)
    setting, role = np.repeat(np.arange(30), 40), np.tile([0, 1], 600)
    found = []
    for _ in range(20):
        num = rng.integers(0, 2, 1200)
        found.append(value("best_setting/1", {"setting": setting, "role": role, "num": num}))
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


def test_best_setting_counts_units_once() -> None:
    """The n of such a score is the units that score, however many settings were tried on them."""
    assert summarise(evidence("best_setting/1", BEST)).n == 2


def test_matched_mean_by_hand() -> None:
    """Pairs weigh by their match; an unmatched pair (0) does not count."""
    statistics = {"value": [0.9, 0.5, 0.1], "match": [1, 1, 0]}
    assert value("matched_mean/1", statistics) == pytest.approx(0.7)
    assert value("matched_mean/1", {"value": [0.9, 0.5, 0.1]}) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "aggregator, statistics, says",
    [
        ("auc/1", {"score": [1, 2], "label": [1, 1]}, r"labels must be 0 and 1.*\[1.0\]"),
        ("auc/1", {"score": [1, 2], "label": [0, 2]}, r"labels must be 0 and 1"),
        ("best_setting/1", {**BEST, "role": [2] * 8}, "role must be 0 .* not 2"),
        (
            "best_setting/1",
            {"setting": [1, 1, 2], "role": [0, 1, 0], "num": [1, 1, 1]},
            "setting 2 has rows to select on",
        ),
        ("auc/1", {"score": [1, 2]}, "auc/1 needs columns for score, label"),
        ("ratio_of_sums/1", {"num": [1], "dne": [1]}, "may have den"),
        ("median/1", {"num": [1]}, "the registry is closed: ratio_of_sums/1"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    aggregator: str, statistics: Mapping[str, list[float]], says: str
) -> None:
    """What an aggregator cannot use is an error that names it, before anything is computed."""
    with pytest.raises(ResultError, match=says):
        evidence(aggregator, statistics)


@pytest.mark.parametrize(
    "parameters, says",
    [({"x_low": 1.0}, "x_low 1.0 must be below"), ({"floor": 0}, "no parameter 'floor'")],
)
def test_parameters_that_do_not_fit_are_refused(parameters: Mapping[str, float], says: str) -> None:
    """A box without width and a parameter that does not exist are errors."""
    with pytest.raises(ResultError, match=says):
        frontier([(0.5, 0.5)], **parameters)
