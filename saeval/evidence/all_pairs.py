"""Every pair of several SAEs compared on one metric, with replicates drawn once and for all."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from jaxtyping import Float

from saeval.errors import ResultError
from saeval.evidence.bootstrap import design
from saeval.evidence.comparison import check_same_question
from saeval.evidence.contrasts import Contrast, contrast, tested
from saeval.evidence.data import check_equal_data
from saeval.evidence.evidence import Evidence
from saeval.evidence.influence import differing, influences
from saeval.evidence.intervals import Bounds, Sampling
from saeval.evidence.pooling import OfSeed, Pooled, cluster_keys
from saeval.evidence.replicates import MetricSample, replicated
from saeval.evidence.summary import (
    REPLICATES,
    defined_value,
    no_interval,
    sample_of,
    undefined_replicates,
)
from saeval.evidence.unit_tables import paired_rows

Pair = tuple[int, int]
"""Places of two SAEs among those compared, the smaller first."""


@dataclass(frozen=True)
class PairDifference:
    """The paired difference of two SAEs, as `compare` and `compare_seeds` give it."""

    delta: float
    """Value of the first minus value of the second, mean over seeds."""
    stderr: float | None
    """Standard error of delta; None where no interval is valid."""
    ci_low: float | None
    """Lower end of the 95 % interval of delta. It excludes 0 exactly if p is below 0.05."""
    ci_high: float | None
    p: float | None
    """Two-sided p-value for no difference, not corrected for multiple comparisons."""
    reason: str | None
    """Why there is no interval; None where there is one."""

    @property
    def reversed(self) -> "PairDifference":
        """Value of the second minus value of the first."""
        low = None if self.ci_high is None else -self.ci_high
        high = None if self.ci_low is None else -self.ci_low
        return replace(self, delta=-self.delta, ci_low=low, ci_high=high)


@dataclass(frozen=True)
class _Drawn:
    """One SAE under one seed: its value, and how that varies with the clusters of units."""

    sample: MetricSample
    value: float
    reason: str | None
    draws: Float[np.ndarray, " replicates"]
    moves: Float[np.ndarray, " blocks"]


@dataclass(frozen=True)
class _Seed:
    """All SAEs under one seed, over the same units."""

    drawn: tuple[_Drawn, ...]
    keys: tuple[Hashable, ...]

    def difference(self, first: int, second: int) -> OfSeed:
        """The paired difference of two of the SAEs."""
        a, b = self.drawn[first], self.drawn[second]
        delta = a.value - b.value
        draws = a.draws - b.draws
        reason = a.reason or b.reason or undefined_replicates(draws)
        if reason:
            return OfSeed(delta, self.keys, None, reason, differing(a.sample, b.sample))
        informative = min(a.sample.informative, b.sample.informative)
        clusters = a.sample.design.clusters
        sampling = Sampling(delta, draws, a.moves - b.moves, clusters, informative)
        return OfSeed(delta, self.keys, sampling, None, differing(a.sample, b.sample))


def compare_all(
    evidence: Sequence[Sequence[Evidence]], *, replicates: int = REPLICATES, seed: int = 0
) -> Mapping[Pair, PairDifference]:
    """The paired difference of every two SAEs in one metric, as `compare` gives it for each pair.

    Replicates and influences of an SAE do not depend on what it is compared with, so 40 SAEs cost
    40 bootstraps, not 780.

    Args:
        evidence: For each SAE its evidence of one metric under each seed, in the same order of
            seeds.
        replicates: Bootstrap replicates.
        seed: Seed of the replicates.

    Raises:
        ResultError: if two have other numbers of seeds, other data, or answer different questions.
    """
    if len({len(own) for own in evidence}) > 1 or not all(evidence):
        raise ResultError("SAEs are compared over equal seeds. Score all under the same seeds.")
    seeds = [_drawn(of_seed, replicates, seed) for of_seed in zip(*evidence, strict=True)]
    bounds = evidence[0][0].bounds if evidence else (None, None)
    return {
        (first, second): _difference([one.difference(first, second) for one in seeds], bounds)
        for first, second in combinations(range(len(evidence)), 2)
    }


def _drawn(evidence: Sequence[Evidence], replicates: int, seed: int) -> _Seed:
    """All SAEs of a seed, their rows in the order of the first one's."""
    first = evidence[0]
    order = [_paired(first, other) for other in evidence]
    names = first.units.cluster_names(order[0])
    shared = design(names)
    samples = [sample_of(one, rows, shared) for one, rows in zip(evidence, order, strict=True)]
    # Where no interval can be valid, replicates may be undefined, and are not asked for.
    reasons = [no_interval(*pair) for pair in zip(evidence, samples, strict=True)]
    asked = [sample for sample, reason in zip(samples, reasons, strict=True) if not reason]
    draws = iter(replicated(asked, replicates, seed))
    drawn = tuple(
        _Drawn(
            sample,
            defined_value(entry, sample),
            reason,
            np.zeros(replicates) if reason else next(draws),
            influences(sample),
        )
        for entry, sample, reason in zip(evidence, samples, reasons, strict=True)
    )
    return _Seed(drawn, cluster_keys(names, first.units, samples[0]))


def _paired(first: Evidence, other: Evidence) -> np.ndarray:
    """Rows of the other SAE in the order of the first one's."""
    check_same_question(first, other)
    check_equal_data(first.units, other.units)
    return paired_rows(first.units, other.units, first.part)[1]


def _difference(seeds: Sequence[OfSeed], bounds: Bounds) -> PairDifference:
    """The mean over seeds of a paired difference, with interval and p from one t."""
    if len(seeds) == 1:
        (only,) = seeds
        if only.sampling is None:
            return PairDifference(only.value, None, None, None, None, only.reason)
        return _shown(only.value, contrast(only.sampling, only.differing, bounds))
    pooled = Pooled(seeds)
    term = pooled.term
    outcome = pooled.reason or contrast(pooled.sampling, pooled.differing, bounds, term)
    if isinstance(outcome, str) and pooled.reason and term and term.tells:
        outcome = tested(pooled.mean, *term.combined(0.0, np.inf), bounds)
    return _shown(pooled.mean, outcome)


def _shown(delta: float, outcome: Contrast | str) -> PairDifference:
    if isinstance(outcome, str):
        return PairDifference(delta, None, None, None, None, outcome)
    ends = outcome.ci_low, outcome.ci_high
    return PairDifference(delta, outcome.stderr, *ends, outcome.p, None)
