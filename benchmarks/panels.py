"""What the scores of a panel of SAEs say of a metric: noise, separation, truth, oracle, nulls."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median, stdev
from typing import Literal

import numpy as np
from scipy.stats import spearmanr

from saeval.results.score import Score

Better = Literal["higher", "lower", "none"]


@dataclass(frozen=True)
class Seeds:
    """One metric of one SAE under several seeds of the task."""

    scores: tuple[Score, ...]

    @cached_property
    def values(self) -> list[float]:
        """Scores, seed by seed."""
        return [score.value for score in self.scores if score.value is not None]

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return fmean(self.values)

    @property
    def deviation(self) -> float:
        """Standard deviation over seeds; NaN of a single one."""
        return stdev(self.values) if len(self.values) > 1 else float("nan")


def by_metric(scores: Iterable[Score]) -> dict[str, dict[str, Seeds]]:
    """Metric -> SAE -> its scores, without those of parts and those without a value."""
    lists: dict[str, dict[str, list[Score]]] = {}
    for score in scores:
        if score.metric and score.sae and score.part is None and score.value is not None:
            lists.setdefault(score.metric, {}).setdefault(score.sae, []).append(score)
    return {
        metric: {sae: Seeds(tuple(found)) for sae, found in of_metric.items()}
        for metric, of_metric in lists.items()
    }


def reseed_cv(panel: Sequence[Seeds], floor: float = 0.0) -> float:
    """Standard deviation over seeds by the distance of the mean from `floor`, median over SAEs.

    With the score of a null as floor the figure does not flatter a metric on which nulls score far
    from 0. SAEs exactly at the floor are left out.
    """
    ratios = [variation(seeds.values, floor) for seeds in panel if seeds.mean != floor]
    return median(ratios) if ratios else float("nan")


def variation(values: Sequence[float], floor: float = 0.0) -> float:
    """Standard deviation of values by the distance of their mean from `floor`; NaN without any."""
    distance = abs(fmean(values) - floor)
    return stdev(values) / distance if distance and len(values) > 1 else float("nan")


def signal_to_noise(panel: Sequence[Seeds]) -> float:
    """Standard deviation of the SAEs' means, divided by the pooled one over seeds within an SAE."""
    noise = fmean(s.deviation**2 for s in panel) ** 0.5
    spread = stdev(s.mean for s in panel)
    return float(np.divide(spread, noise)) if noise else float("nan")


def ordered(means: Mapping[str, float], better: Better) -> list[str]:
    """Names of SAEs, the best first."""
    return sorted(means, key=lambda name: means[name], reverse=better == "higher")


def share_above(trained: Collection[float], nulls: Collection[float], better: Better) -> float:
    """Share of trained SAEs that are better than every null, which a tie is not.

    1 where the nulls are last; NaN where there are none, or no direction is better.
    """
    sign = {"higher": 1, "lower": -1}.get(better)
    if sign is None or not nulls or not trained:
        return float("nan")
    best = max(sign * null for null in nulls)
    return fmean(sign * value > best for value in trained)


def rank_correlation(means: Mapping[str, float], truth: Mapping[str, float]) -> float:
    """Spearman's rho of a score with the truth over the SAEs that have both."""
    names = [name for name in means if name in truth]
    table = np.array([[values[name] for name in names] for values in (means, truth)])
    return float(np.asarray(spearmanr(table, axis=1))[0])
