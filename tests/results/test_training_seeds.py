"""Training seeds: mean and standard deviation over the members of a set, and nothing else."""

from dataclasses import replace
from statistics import fmean, stdev

import numpy as np
import pytest

from saeval.results.score import Labels, Score
from saeval.results.training_seeds import over_training_seeds


def score(sae: str, value: float | None, *, group: str | None = "s", seed: int = 0) -> Score:
    """A score of one metric, or its absence."""
    labels = Labels(sae, "t", 1, seed, set=group)
    if value is None:
        return labels.score(metric="m", status="not_applicable", reason="no")
    return labels.score(metric="m", value=value, status="scored", unit="nats", better="lower")


def test_mean_and_sd_are_over_members() -> None:
    """Oracle: numpy's mean and its standard deviation with divisor n - 1, each member once."""
    values = np.random.default_rng(0).normal(size=5)
    (spread,) = over_training_seeds(
        [score(f"a{i}", float(value)) for i, value in enumerate(values)], {"s"}
    )
    assert spread.mean == pytest.approx(values.mean())
    assert spread.sd == pytest.approx(values.std(ddof=1))
    assert (spread.n, spread.lacking, spread.unit, spread.set) == (5, 0, "nats", "s")


def test_only_members_of_sets_of_seeds_count() -> None:
    """Other sets, SAEs of no set and scores of a set as a whole give no spread."""
    others = [score("x", 9.0, group="layers"), score("y", 9.0, group=None)]
    whole = replace(score("z", 9.0), sae=None)
    (spread,) = over_training_seeds([score("a", 1.0), score("b", 3.0), *others, whole], {"s"})
    assert (spread.mean, spread.sd) == (2.0, stdev([1.0, 3.0]))
    assert over_training_seeds(others, {"s"}) == ()


def test_a_member_without_a_value_is_told() -> None:
    """N counts members that have a value, lacking the others; one alone has a mean and no SD."""
    (spread,) = over_training_seeds([score("a", 1.0), score("b", 2.0), score("c", None)], {"s"})
    assert (spread.n, spread.lacking, spread.mean) == (2, 1, fmean([1.0, 2.0]))
    (alone,) = over_training_seeds([score("a", 1.0)], {"s"})
    assert (alone.n, alone.sd) == (1, None)


def test_seeds_of_the_task_and_parts_stay_apart() -> None:
    """A task's own seeds, parts and metrics each have a mean of their own."""
    values = {"a": 1, "b": 3}
    scores = [score(sae, v + seed, seed=seed) for seed in (0, 1) for sae, v in values.items()]
    scores += [replace(one, part="p", value=7.0) for one in scores]
    spreads = over_training_seeds(scores, {"s"})
    assert {(s.seed, s.part): s.mean for s in spreads} == {
        (0, None): 2.0, (1, None): 3.0, (0, "p"): 7.0, (1, "p"): 7.0,
    }  # fmt: skip
    assert all(s.n == 2 for s in spreads)
