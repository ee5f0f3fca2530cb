"""Intervals: how far a value, or a difference of two, may lie from what other units would give."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri, stdtrit

Bounds = tuple[float | None, float | None]
"""Smallest and largest value that a metric can have; None where there is none."""
FEW_CLUSTERS = 10
"""Below this many clusters percentiles are too coarse, and Student's t takes their place."""
LEAST_EFFECTIVE = 5.0
"""Clusters that must make up a variance, effectively, for it to be trusted.

With five clusters that differ by equal amounts, all in one direction, t is sqrt(5) = 2.24, just
what Student's t with 10 degrees asks for: with fewer no difference can be told from chance.
"""
MOST_CONCENTRATED = 6.0
"""Up to this kurtosis few clusters are merely few: normal influences have 3, and of twelve hardly
ever 6."""
RARE = 0.05
"""Effective share of deviating clusters below which a sample may well lack the gravest of them."""
LEVEL = 0.975
"""Upper quantile of a two-sided 95 % interval."""
AGREEING = 1e-7
"""Standard error, as a share of the distance between bounds, up to which clusters agree: so much
comes of rounding in float32 alone, as between cosines of an SAE that has the true directions."""
_ROUNDING = 1e-12
"""Relative spread of replicates up to which they differ only by rounding."""


@dataclass(frozen=True)
class Sampling:
    """A value and how it varies with the clusters of units behind it."""

    value: float
    replicates: Float[np.ndarray, " replicates"]
    """Values under random weights of the clusters."""
    influences: Float[np.ndarray, " blocks"]
    """Derivative of the value by the weight of each cluster (or block of clusters)."""
    clusters: int
    """Independent clusters, at least 2."""
    informative: int
    """Clusters that bear on the value: those with a denominator, or with the rarer label."""

    @property
    def spread(self) -> float:
        """Standard error of the value; exactly 0 where replicates differ only by rounding.

        Exponential weights give a mean the variance s^2 (C - 1) / (C (C + 1)) over C clusters where
        s^2 / C is unbiased; the standard error is widened by the ratio. Source: Rubin, "The
        Bayesian bootstrap" (1981).
        """
        if np.ptp(self.replicates) <= _ROUNDING * max(1.0, abs(self.value)):
            return 0.0
        return float(self.replicates.std()) * self.widening

    @property
    def widening(self) -> float:
        """Ratio of the unbiased standard error to the replicates' standard deviation."""
        return float(np.sqrt((self.clusters + 1) / (self.clusters - 1)))

    @property
    def effective(self) -> float:
        """Number of equal influences of as large a kurtosis: m if m of many clusters deviate."""
        return effective_number(self.influences)

    @property
    def is_concentrated(self) -> bool:
        """Whether so few clusters make up the variance that it says little."""
        return self.effective < min(LEAST_EFFECTIVE, len(self.influences) / MOST_CONCENTRATED)

    @property
    def lacks_deviants(self) -> bool:
        """Whether so few clusters deviate that another sample may well hold graver ones."""
        return self.is_concentrated or self.effective < RARE * len(self.influences)


def effective_number(influences: Float[np.ndarray, " blocks"]) -> float:
    """(sum u^2)^2 / sum u^4 of influences u: m where m of many are equal and the rest are 0.

    0 where all are 0.
    """
    largest = float(np.abs(influences).max(initial=0.0))
    if largest == 0:
        return 0.0
    squares = (influences / largest) ** 2
    return float(squares.sum() ** 2 / (squares**2).sum())


def degrees_of_freedom(influences: Float[np.ndarray, " blocks"]) -> float:
    """Degrees of freedom of a variance estimated from influences of this kurtosis.

    A variance s^2 of C values with kurtosis k has a variance of s^4 (k - 1) / C, that of s^2 with
    f degrees of freedom is 2 s^4 / f; so f = 2 C / (k - 1), but no more than C - 1. Normal values
    have C, and where m of C clusters differ by equal amounts f is about 2 m.

    Source: Satterthwaite, "An approximate distribution of estimates of variance components"
    (1946), with the variance of s^2 from the kurtosis.
    """
    count = len(influences)
    kurtosis = count / max(effective_number(influences), 1.0)
    return max(1.0, min(count - 1.0, 2 * count / max(kurtosis - 1, 1e-9)))


def interval(sampling: Sampling, bounds: Bounds) -> tuple[float, float, float] | str:
    """Standard error and 95 % interval of a value, within its bounds and never empty.

    Values bounded on both sides get a score interval, `_score_interval`. Others get the
    bias-corrected percentile one, `_percentiles`, or with fewer than ten clusters value +- t times
    the standard error, cut at a bound.

    Returns:
        Standard error, lower and upper end; or, as a sentence, why there are none: where all
        clusters agree and nothing bounds what others would give.
    """
    low, high = bounds
    if low is not None and high is not None:
        return _score_interval(sampling, low, high)
    if sampling.spread == 0:
        return f"all {sampling.clusters} clusters agree, so nothing tells how others would differ"
    if sampling.clusters < FEW_CLUSTERS:
        t = float(stdtrit(sampling.clusters - 1, LEVEL))
        ends = sampling.value - t * sampling.spread, sampling.value + t * sampling.spread
    else:
        ends = _percentiles(sampling)
    return (sampling.spread, *within(ends, sampling.value, bounds))


def _percentiles(sampling: Sampling) -> tuple[float, float]:
    """Bias-corrected percentiles of the replicates.

    They follow the statistic's skew. Plain ones double the bias of a statistic such as a mean of
    many small ratios (they covered the truth in 67 % of simulations, the corrected ones in 89 %),
    so their levels move by how far the value lies from the replicates' median, by one standard
    error at most; the acceleration of BCa is left out, since its jackknife breaks down for maxima.
    Levels also move outwards by `widening` and by Student's t with C - 1 degrees of freedom.

    Source: Efron and Tibshirani, "An introduction to the bootstrap" (1993), section 14.3 (bias
    correction); Hesterberg, "What teachers should know about the bootstrap" (2014), section 4
    (levels moved outwards).
    """
    replicates, value = sampling.replicates, sampling.value
    outwards = float(stdtrit(sampling.clusters - 1, LEVEL)) * sampling.widening
    below = ((replicates < value).mean() + (replicates <= value).mean()) / 2
    bias = np.clip(ndtri(below), -1, 1)
    low, high = np.quantile(replicates, ndtr([2 * bias - outwards, 2 * bias + outwards]))
    return float(low), float(high)


def _score_interval(sampling: Sampling, low: float, high: float) -> tuple[float, float, float]:
    """Wilson's interval, with as many independent yes-or-no units as give the standard error.

    On the scale where the bounds are 0 and 1, a value p with the standard error s is as sure as a
    rate of n = p (1 - p) / s^2 units. Where no cluster deviates from the rest, or so few that
    another sample may well hold graver ones, the interval is at least as wide as one that lets t^2
    more clusters be at either bound: [p n / (n + t^2), ...] with n informative clusters, which for
    p = 0 or 1 is Wilson's, near 3 / n (the rule of three). So it is never narrower than n allows.

    The value is first moved by the bias that its replicates show, by one standard error at most.
    With fewer than ten clusters, the interval also holds value +- t times the standard error, cut
    at the bounds.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference" (1927);
    Korn and Graubard, "Confidence intervals for proportions with small expected number of
    positive counts estimated from survey data" (1998), for the number of effective units.
    """
    width, spread = high - low, sampling.spread / (high - low)
    spread = spread if spread > AGREEING else 0.0
    p = min(max((sampling.value - low) / width, 0.0), 1.0)
    few = min(sampling.clusters, max(2, sampling.informative))
    t = float(stdtrit(few - 1, LEVEL))
    ends = [p]
    if spread > 0:
        bias = float(np.mean(sampling.replicates)) / width - sampling.value / width
        moved = min(max(p - min(max(bias, -spread), spread), 0.0), 1.0)
        unbiased = sampling.clusters / (sampling.clusters - 1)
        ends += _wilson(moved, unbiased * p * (1 - p) / spread**2, t)
        if sampling.clusters < FEW_CLUSTERS:
            ends += [max(0.0, p - t * spread), min(1.0, p + t * spread)]
    if spread == 0 or sampling.lacks_deviants:
        kept = sampling.informative / (sampling.informative + t**2)
        ends += [p * kept, 1 - (1 - p) * kept]
    lowest, highest = min(ends), max(ends)
    if spread == 0:
        spread = (highest - lowest) / (2 * t)
    return spread * width, low + width * lowest, low + width * highest


def _wilson(p: float, n: float, t: float) -> tuple[float, float]:
    """Rates whose distance from p is t of their own standard errors over n units."""
    if n <= 0:
        return p, p
    centre = (p + t**2 / (2 * n)) / (1 + t**2 / n)
    half = t * np.sqrt(p * (1 - p) / n + t**2 / (4 * n**2)) / (1 + t**2 / n)
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def ends_of(
    value: float, stderr: float, degrees: float, bounds: Bounds, held: tuple[float, float]
) -> tuple[float, float]:
    """The interval of Student's t within bounds: Wilson's where there are two, else cut at one.

    Args:
        value: Within the bounds.
        stderr: Its standard error, above 0.
        degrees: Degrees of freedom of the standard error.
        bounds: Smallest and largest value.
        held: An interval that it holds in any case.
    """
    t = float(stdtrit(degrees, LEVEL))
    low, high = bounds
    ends = value - t * stderr, value + t * stderr
    if low is not None and high is not None:
        p = min(max((value - low) / (high - low), 0.0), 1.0)
        share = _wilson(p, p * (1 - p) * ((high - low) / stderr) ** 2, t)
        ends = low + (high - low) * share[0], low + (high - low) * share[1]
    return within((min(ends[0], held[0]), max(ends[1], held[1])), value, bounds)


def within(ends: tuple[float, float], value: float, bounds: Bounds) -> tuple[float, float]:
    """An interval cut at the bounds, which always holds the value."""
    low, high = ends
    low = low if bounds[0] is None else max(low, bounds[0])
    high = high if bounds[1] is None else min(high, bounds[1])
    return min(low, value), max(high, value)
