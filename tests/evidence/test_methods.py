"""The interval of a difference of methods holds the truth, whatever seeds and units explain."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, ttest_ind

from saeval.evidence import Evidence, units
from saeval.evidence.contrasts import Contrast
from saeval.evidence.joint import varying
from saeval.evidence.methods import SideDifference, compare_sides

N = 30


def entries(rows: Sequence[np.ndarray], **about: object) -> list[Evidence]:
    """Means of rows, all over the same units."""
    tables = [units("rows", "row", {"x": row}, data={"rows": "r"}) for row in rows]
    return [
        Evidence("m", table, {"num": "x"}, "nats", "higher", **about)  # type: ignore[arg-type]
        for table in tables
    ]


def simulated(rng: np.random.Generator, sigmas: tuple[float, float], k: int = 3) -> SideDifference:
    """Two methods of equal quality. Rows are hard for all, for a method, and for a training.

    Args:
        rng: Source of all that is drawn.
        sigmas: What the training seed moves, in standard errors of rows of deviation 1.
        k: Trainings of each.
    """
    common = rng.normal(size=N)
    rows = []
    for sigma in sigmas:
        own = common + 0.5 * rng.normal(size=N)
        rows += [
            own + sigma / np.sqrt(N) * rng.normal() + 0.5 * rng.normal(size=N) for _ in range(k)
        ]
    numbers = varying(entries(rows), replicates=100)
    return compare_sides(numbers[:k], numbers[k:], (None, None))


def coverage(sigmas: tuple[float, float], runs: int) -> int:
    """In how many runs the interval holds the true difference, 0; it never contradicts p."""
    held = 0
    for run in range(runs):
        found = simulated(np.random.default_rng(run), sigmas)
        assert isinstance(found.outcome, Contrast)
        assert found.is_of_methods
        holds = found.outcome.ci_low <= 0 <= found.outcome.ci_high
        assert holds == (found.outcome.p >= 0.05)
        held += holds
    return held


@pytest.mark.parametrize("sigmas", [(0.0, 0.0), (1.0, 1.0), (0.0, 3.0)])
def test_three_seeds_hold_the_truth(sigmas: tuple[float, float]) -> None:
    """Of 60 runs, as many as a coverage of 93 to 97 % allows."""
    assert binom.ppf(0.001, 60, 0.93) <= coverage(sigmas, 60) <= binom.ppf(0.999, 60, 0.97)


@pytest.mark.soak
@pytest.mark.parametrize("sigmas", [(0.0, 0.0), (1.0, 1.0), (0.0, 3.0), (1.0, 4.0), (0.0, 1.5)])
def test_three_seeds_hold_the_truth_in_93_to_97_percent(sigmas: tuple[float, float]) -> None:
    """Over 1,000 runs, but for chance."""
    held = coverage(sigmas, 1000)
    assert binom.ppf(0.01, 1000, 0.93) <= held <= binom.ppf(0.99, 1000, 0.97)


def test_without_sampled_units_it_is_welchs_test() -> None:
    """Constants of the weights vary with the training alone."""
    values = [1.0, 1.3, 1.1], [2.0, 1.9, 2.6]
    rows = [np.full(N, value) for side in values for value in side]
    numbers = varying(entries(rows, no_interval="a constant of the weights"))
    found = compare_sides(numbers[:3], numbers[3:], (None, None)).outcome
    assert isinstance(found, Contrast)
    known: Any = ttest_ind(*values, equal_var=False)
    assert found.p == pytest.approx(known.pvalue, rel=1e-6)
    assert found.ci_low == pytest.approx(known.confidence_interval().low, rel=1e-6)


def test_fewer_than_three_trainings_are_these_checkpoints() -> None:
    """Two and three: the units alone vary, and the claim is none about methods."""
    rng = np.random.default_rng(0)
    numbers = varying(entries([rng.normal(size=N) + 9 * place for place in range(5)]))
    found = compare_sides(numbers[:2], numbers[2:], (None, None))
    assert not found.is_of_methods
    assert isinstance(found.outcome, Contrast)
    assert found.outcome.stderr < 1  # not of the spread of 9 between trainings
    assert found.delta == pytest.approx(-22.5, abs=1)
