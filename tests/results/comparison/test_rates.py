"""How often comparisons err: through the very code that `saeval compare` runs, over made worlds."""

import numpy as np
import pytest
from scipy.stats import binom
from simulated import World

from saeval.results.comparison.comparing import Choices, find_differences
from saeval.results.comparison.row import Row

CLUSTERS, EACH = 40, 3
SHORT, LONG = 100, 1000


def one_row(world: World, *names: str, **choices: object) -> Row:
    """The only row of a comparison."""
    given: dict[str, object] = {"columns": ("quality",), "tasks": ("t",), **choices}
    (row,) = find_differences(world.kin(), names, Choices(**given)).rows  # type: ignore[arg-type]
    return row


def clustered(rng: np.random.Generator) -> np.ndarray:
    """Rows that differ from cluster to cluster, and within them."""
    return np.repeat(rng.normal(size=CLUSTERS), EACH) + 0.5 * rng.normal(size=CLUSTERS * EACH)


def rejections(runs: int) -> int:
    """How often two SAEs of equal quality are told apart; their clusters differ by chance."""
    told = 0
    for run in range(runs):
        rng = np.random.default_rng(run)
        cluster = np.repeat(np.arange(CLUSTERS), EACH)
        common = clustered(rng)
        world = World()
        for name in "ab":
            world.add(name, {"quality": common + clustered(rng)}, cluster=cluster)
        told += one_row(world, "a", "b").verdict in ("better", "worse")
    return told


def test_equals_are_rarely_told_apart() -> None:
    """In as many of 100 runs as a rate of 3 to 7 % allows; rows, taken as units, would be 30 %."""
    told = rejections(SHORT)
    assert binom.ppf(0.001, SHORT, 0.03) <= told <= binom.ppf(0.999, SHORT, 0.07)


@pytest.mark.soak
def test_equals_are_told_apart_in_3_to_7_percent() -> None:
    """Of 1,000 runs, with one pair and one metric shown."""
    assert 0.03 * LONG <= rejections(LONG) <= 0.07 * LONG


L0 = {"a": (8.0, 32.0), "b": (10.0, 40.0)}
QUALITY = {"a": (0.3, 0.6), "b": (0.35, 0.62)}


def held_at_l0(runs: int, n: int = 80) -> int:
    """How often the interval at L0 16 holds the difference of the true curves.

    Rows that are hard are hard for all; a row's L0 and its quality move together.
    """
    truth = np.subtract(
        *(np.interp(np.log(16), np.log(L0[name]), QUALITY[name]) for name in ("a", "b"))
    )
    held = 0
    for run in range(runs):
        rng = np.random.default_rng(run)
        hard = rng.normal(size=n)
        world = World()
        for name in "ab":
            for l0, quality in zip(L0[name], QUALITY[name], strict=True):
                active = l0 * (1 + 0.1 * rng.normal(size=n) + 0.05 * hard)
                noise = 0.2 * hard + 0.1 * rng.normal(size=n) - 0.1 * (active / l0 - 1)
                columns = {"l0": active, "quality": quality + noise}
                world.add(f"{name}-{l0:g}", columns, architecture=name)
        row = one_row(world, "a-8", "b-10", at_l0=16.0)
        assert row.ci_low is not None
        assert row.ci_high is not None
        held += row.ci_low <= truth <= row.ci_high
    return held


def test_intervals_at_matched_l0_hold_the_truth() -> None:
    """In as many of 40 runs as a coverage of 93 to 97 % allows."""
    assert binom.ppf(0.001, 40, 0.93) <= held_at_l0(40)


@pytest.mark.soak
def test_intervals_at_matched_l0_hold_the_truth_in_93_to_97_percent() -> None:
    """Of 1,000 runs."""
    assert 0.93 * LONG <= held_at_l0(LONG) <= 0.97 * LONG
