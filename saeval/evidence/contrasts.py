"""Interval and p-value of a difference, both from one Student's t, and what seeds add to them."""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from saeval.evidence.intervals import (
    LEAST_EFFECTIVE,
    LEVEL,
    Bounds,
    Sampling,
    degrees_of_freedom,
    within,
)

POWER = 0.8
TELLING = 0.9
"""Share of what units explain from which on the variance of seeds counts. At 1, intervals of three
seeds that move a value by 1 to 2 standard errors would hold the truth in 92.7 %: s^2 of so few is
often small."""


@dataclass(frozen=True)
class SeedTerm:
    """What several seeds add to the variance of the mean of their values."""

    seeds: int
    """At least 2."""
    between: float
    """Sample variance s^2 of the seeds' values, in the squared unit of the value, at least 0."""
    shared: float
    """Variance that all seeds have in common, since they share units; at least 0."""
    own: float
    """Variance that the units alone give each seed besides, at least 0; s^2 is expected to be this
    where the seed does not matter."""

    @property
    def variance(self) -> float:
        """Variance by which the seed moves a value beyond its units: max(0, s^2 - own)."""
        return max(0.0, self.between - self.own)

    @property
    def tells(self) -> bool:
        """Whether the values of the seeds vary enough for their own t: s^2 > 0.9 `own`."""
        return self.between > TELLING * self.own

    def combined(self, stderr: float, degrees: float) -> tuple[float, float]:
        """Standard error and degrees of freedom of the mean over seeds.

        Where the seeds tell, s^2 with its k - 1 degrees of freedom takes the place of `own`, and
        what they share is added; the units' figures stand where they give the wider interval.
        Where the seeds do not tell, the units' figures stand in any case.

        Args:
            stderr: Standard error of the mean that the units give.
            degrees: Its degrees of freedom.

        Source: Satterthwaite, "An approximate distribution of estimates of variance components"
        (1946).
        """
        if not self.tells:
            return stderr, degrees
        drawn = self.between / self.seeds
        total = drawn + self.shared
        spread = drawn**2 / (self.seeds - 1) + self.shared**2 / degrees
        of_seeds = float(np.sqrt(total)), max(1.0, total**2 / spread)
        return max(of_seeds, (stderr, degrees), key=lambda pair: half_width(*pair))


def half_width(stderr: float, degrees: float) -> float:
    """Half the 95 % interval of a Student's t."""
    return float(stdtrit(degrees, LEVEL)) * stderr


@dataclass(frozen=True)
class Contrast:
    """Interval and test of a difference, both from one Student's t."""

    stderr: float
    ci_low: float
    ci_high: float
    mde: float
    """True difference that is found in 80 % of runs."""
    p: float
    degrees: float
    """Degrees of freedom of the t."""


def contrast(
    sampling: Sampling, differing: int, bounds: Bounds, term: SeedTerm | None = None
) -> Contrast | str:
    """Interval and p-value of a difference, by Student's t; they never contradict each other.

    Degrees of freedom follow from the kurtosis of the clusters' influences, `degrees_of_freedom`:
    where few clusters differ, the standard error is itself uncertain. Where all clusters differ
    by the same amount, one more that does not differ is imagined.

    Args:
        sampling: Of the difference.
        differing: Clusters that differ.
        bounds: Of each of the two values.
        term: What seeds add, where the value is a mean over several.

    Returns:
        The contrast; or, as a sentence, why there is none: too few clusters differ.
    """
    size = len(sampling.influences)
    if differing == 0:
        return f"only 0 of {sampling.clusters} clusters differ"
    stderr, degrees = sampling.spread, degrees_of_freedom(sampling.influences)
    if stderr < abs(sampling.value) / size:
        stderr, degrees = abs(sampling.value) / size, 2.0
    elif sampling.is_concentrated:
        return _too_few(sampling, differing)
    if term:
        stderr, degrees = term.combined(stderr, degrees)
    return tested(sampling.value, stderr, degrees, bounds)


def tested(value: float, stderr: float, degrees: float, bounds: Bounds) -> Contrast:
    """Interval and p-value of a difference from its standard error and degrees of freedom."""
    half = half_width(stderr, degrees)
    low, high = bounds
    span = None if low is None or high is None else high - low
    ends = value - half, value + half
    limits = (None, None) if span is None else (-span, span)
    p = float(2 * stdtr(degrees, -abs(value) / stderr))
    return Contrast(stderr, *within(ends, value, limits), detectable(stderr, degrees), p, degrees)


def detectable(stderr: float, degrees: float) -> float:
    """Size of a true difference that is found in 80 % of runs: 2.8 standard errors, or more.

    t(0.975) + t(0.8) standard errors, which is 2.80 of them for many degrees of freedom.
    """
    return float(stdtrit(degrees, LEVEL) + stdtrit(degrees, POWER)) * stderr


def _too_few(sampling: Sampling, differing: int) -> str:
    if differing <= 2 * LEAST_EFFECTIVE:
        return f"only {differing} of {sampling.clusters} clusters differ"
    few = max(1, round(sampling.effective))
    return f"{few} of {sampling.clusters} clusters make up nearly all of the difference"
