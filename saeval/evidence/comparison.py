"""From two pieces of evidence to the paired difference of their values."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from saeval.errors import ResultError
from saeval.evidence.bootstrap import design
from saeval.evidence.contrasts import contrast
from saeval.evidence.data import check_equal_data
from saeval.evidence.evidence import Evidence
from saeval.evidence.influence import differing, influences
from saeval.evidence.intervals import Sampling
from saeval.evidence.replicates import MetricSample, replicated
from saeval.evidence.summary import (
    REPLICATES,
    defined_value,
    no_interval,
    sample_of,
    undefined_replicates,
)
from saeval.evidence.unit_tables import paired_rows


@dataclass(frozen=True)
class Difference:
    """The paired difference of two scores over the same units."""

    delta: float
    """Value of the first minus value of the second."""
    stderr: float | None
    """Standard error, in the unit of the value; None where no interval is valid."""
    ci_low: float | None
    """Lower end of the 95 % interval of delta. It excludes 0 exactly if p is below 0.05."""
    ci_high: float | None
    n: int
    """Units in common."""
    mde: float | None
    """Minimum detectable difference: a true difference of this size is found in 80 % of runs."""
    p: float | None
    """Two-sided p-value for no difference, not corrected for multiple comparisons."""
    reason: str | None
    """Why there is no interval; None where there is one."""
    clusters: int = 0
    """Independent clusters of the units, or blocks of them where there are very many."""
    differing: int = 0
    """How many of these differ between the two: their swap moves the value by at least a twentieth
    of what the largest does."""

    def __str__(self) -> str:
        """The difference in one line, with how many clusters differ."""
        differ = f"{self.differing} of {self.clusters} clusters differ"
        if self.stderr is None:
            return f"{self.delta:+.4g} (no interval: {self.reason}; {differ})"
        return (
            f"{self.delta:+.4g}, 95 % interval {self.ci_low:+.4g} to {self.ci_high:+.4g}, "
            f"p {self.p:.2g}, found from {self.mde:.4g} ({differ})"
        )


def compare(a: Evidence, b: Evidence, *, replicates: int = REPLICATES, seed: int = 0) -> Difference:
    """The paired difference a - b of one metric between two SAEs, over the same units.

    Both get the same weights in every replicate, so what the units contribute to both cancels. An
    SAE compared with itself differs by exactly 0, without an interval: no cluster differs.

    Raises:
        ResultError: if metric, aggregator, data, units, clusters or weights are not the same.
    """
    check_same_question(a, b)
    check_equal_data(a.units, b.units)
    rows_a, rows_b = paired_rows(a.units, b.units, a.part)
    common = design(a.units.cluster_names(rows_a))
    samples = (sample_of(a, rows_a, common), sample_of(b, rows_b, common))
    delta = defined_value(a, samples[0]) - defined_value(b, samples[1])
    reason = no_interval(a, samples[0]) or no_interval(b, samples[1])
    n = samples[0].aggregator.counts(samples[0].columns)
    count = differing(*samples)
    draws = np.zeros(0) if reason else np.subtract(*replicated(samples, replicates, seed))
    reason = reason or undefined_replicates(draws)
    outcome = reason or contrast(_sampling(samples, delta, draws), count, a.bounds)
    if isinstance(outcome, str):
        return Difference(delta, None, None, None, n, None, None, outcome, common.blocks, count)
    ends, test = (outcome.ci_low, outcome.ci_high), (outcome.mde, outcome.p)
    return Difference(delta, outcome.stderr, *ends, n, *test, None, common.blocks, count)


def _sampling(
    samples: tuple[MetricSample, MetricSample],
    delta: float,
    draws: Float[np.ndarray, " replicates"],
) -> Sampling:
    """How the difference of two samples varies with the clusters behind it."""
    moves = influences(samples[0]) - influences(samples[1])
    informative = min(sample.informative for sample in samples)
    return Sampling(delta, draws, moves, samples[0].design.clusters, informative)


def check_same_question(a: Evidence, b: Evidence) -> None:
    """Check that two pieces of evidence are of one metric, computed alike, of one part.

    Raises:
        ResultError: naming what differs.
    """
    for name in ("metric", "unit", "aggregator", "settings", "part"):
        value_a, value_b = getattr(a, name), getattr(b, name)
        if value_a != value_b:
            raise ResultError(
                f"{a.label} and {b.label} answer different questions: {name} is {value_a!r} and "
                f"{value_b!r}. Compare the same metric, computed by the same task version."
            )
