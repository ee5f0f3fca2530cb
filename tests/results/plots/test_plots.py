"""What plots show: points, the Pareto frontier, nulls, checkpoints in order, verdicts."""

from typing import Any

import numpy as np
import pytest
from simulated import World

from saeval.errors import UsageError
from saeval.results.comparison.comparing import Choices, find_differences
from saeval.results.plots.against_l0 import against_l0, frontier
from saeval.results.plots.checkpoints import along_training
from saeval.results.plots.forest import forest
from saeval.results.plots.points import points


def world() -> World:
    """SAEs of random quality at random L0, and a null."""
    rng = np.random.default_rng(0)
    made = World()
    for number in range(12):
        level = {"quality": rng.normal(), "l0": rng.uniform(4, 64)}
        columns = {name: value + rng.normal(size=20) * 0.01 for name, value in level.items()}
        made.add(f"x-{number}", columns, architecture=f"kind {number % 3}")
    return made.add("chance", {"quality": np.zeros(20), "l0": np.full(20, 8.0)}, null="random")


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_frontier_is_what_no_other_beats_in_both(better: str) -> None:
    """Brute force over all pairs gives the same points."""
    found = points(world().kin(), "quality")
    sign = 1 if better == "higher" else -1
    places = {p.label: (p.l0 or 0.0, sign * (p.score.value or 0.0)) for p in found}
    unbeaten = {
        name
        for name, (l0, value) in places.items()
        if not any(a <= l0 and b >= value and (a, b) != (l0, value) for a, b in places.values())
    }
    assert {point.label for point in frontier(found, better)} == unbeaten
    assert frontier(found, "none") == []


def test_every_sae_is_a_point_and_nulls_are_grey() -> None:
    """Twelve SAEs of three architectures, and the null apart in grey."""
    figure: Any = against_l0(world().kin(), "quality")
    drawn = {trace.name: trace for trace in figure.data if trace.mode == "markers"}
    assert sum(len(trace.x) for trace in drawn.values()) == 13
    (null,) = [trace for name, trace in drawn.items() if name.startswith("nulls")]
    assert null.marker.color == "#8A8A8A"
    colours = [trace.marker.color for trace in drawn.values()]
    assert len(set(colours)) == len(colours) == 4


def test_checkpoints_stand_in_the_order_of_their_set() -> None:
    """The last is the end of the training, whatever the order of the results."""
    sets: Any = {"checkpoint_sets": {"s": ("x-0", "x-2", "x-1")}}
    figure: Any = along_training(world().kin(**sets), "quality")
    (trace,) = figure.data
    assert list(trace.x) == ["x-0", "x-2", "end"]
    with pytest.raises(UsageError, match="No set of kind checkpoints"):
        along_training(world().kin(), "quality")


def test_forest_shows_each_difference_with_its_interval() -> None:
    """One point a pair and metric, with the ends of its row."""
    found = find_differences(
        world().kin(), ["x-0", "x-1", "x-2"], Choices(tasks=("t",), columns=("quality",))
    )
    figure: Any = forest(found)
    traces = figure.data
    assert [trace.x[0] for trace in traces] == [row.difference for row in found.rows]
    for trace, row in zip(traces, found.rows, strict=True):
        assert row.ci_high is not None
        assert trace.x[0] + trace.error_x.array[0] == pytest.approx(row.ci_high)


def test_unknown_metrics_are_refused() -> None:
    """With the nearest name."""
    with pytest.raises(UsageError, match="Did you mean 'quality'"):
        against_l0(world().kin(), "qualitty")
