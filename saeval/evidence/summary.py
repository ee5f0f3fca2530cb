"""From evidence to a value with its standard error and interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from saeval.errors import ResultError
from saeval.evidence.aggregators import AGGREGATORS
from saeval.evidence.bootstrap import Design, design
from saeval.evidence.evidence import Evidence
from saeval.evidence.influence import influences
from saeval.evidence.intervals import Sampling, interval
from saeval.evidence.replicates import MetricSample, replicated, value

REPLICATES = 2000


@dataclass(frozen=True)
class Summary:
    """A value, its standard error and its interval."""

    value: float
    stderr: float | None
    """Standard error, in the unit of the value; None where no interval is valid."""
    ci_low: float | None
    """Lower end of the 95 % interval, which lies within the metric's bounds."""
    ci_high: float | None
    n: int
    """Units behind the value."""
    reason: str | None
    """Why there is no interval; None where there is one."""
    clusters: int
    """Number of independent clusters of units, from which the interval is computed."""


def summarise(evidence: Evidence, *, replicates: int = REPLICATES, seed: int = 0) -> Summary:
    """Value, standard error and 95 % interval of one metric; see `summarise_all`."""
    return summarise_all([evidence], replicates=replicates, seed=seed)[0]


def summarise_all(
    evidence: Sequence[Evidence], *, replicates: int = REPLICATES, seed: int = 0
) -> tuple[Summary, ...]:
    """Value, standard error and 95 % interval of metrics, sharing the replicate weights.

    Args:
        evidence: Metrics, over one table or several.
        replicates: Bootstrap replicates.
        seed: Seed of the replicates. Equal seeds over equal units give equal weights.

    Raises:
        ResultError: if a metric is undefined on its units, as with a denominator of 0.
    """
    samples = _samples_of(evidence)
    values = [defined_value(*pair) for pair in zip(evidence, samples, strict=True)]
    reasons = [no_interval(*pair) for pair in zip(evidence, samples, strict=True)]
    resampled = [sample for sample, reason in zip(samples, reasons, strict=True) if not reason]
    draws = iter(replicated(resampled, replicates, seed))
    return tuple(
        _without_interval(sample, number, reason)
        if reason
        else _summary(entry, sample, number, next(draws))
        for entry, sample, number, reason in zip(evidence, samples, values, reasons, strict=True)
    )


def point_values(evidence: Sequence[Evidence]) -> tuple[tuple[float, int], ...]:
    """Value and n of metrics, as `summarise_all` gives them, without the cost of intervals.

    Raises:
        ResultError: if a metric is undefined on its units.
    """
    return tuple(
        (defined_value(entry, sample), sample.aggregator.counts(sample.columns))
        for entry, sample in zip(evidence, _samples_of(evidence), strict=True)
    )


def _samples_of(evidence: Sequence[Evidence]) -> list[MetricSample]:
    """A sample per metric; metrics of equal units share one design."""
    designs: dict[tuple[int, str | None], Design] = {}
    samples = []
    for entry in evidence:
        rows = entry.units.rows(entry.part)
        key = (id(entry.units), entry.part)
        if key not in designs:
            designs[key] = design(entry.units.cluster_names(rows))
        samples.append(sample_of(entry, rows, designs[key]))
    return samples


def sample_of(
    evidence: Evidence, rows: Int[np.ndarray, " rows"], shared_design: Design
) -> MetricSample:
    """The rows of a metric, and which of them are drawn together."""
    return MetricSample(
        AGGREGATORS[evidence.aggregator],
        evidence.settings,
        evidence.values(rows),
        evidence.units.column("weight", rows),
        shared_design,
    )


def defined_value(evidence: Evidence, sample: MetricSample) -> float:
    """The value of a metric.

    Raises:
        ResultError: if it is undefined.
    """
    number = value(sample)
    if not math.isfinite(number):
        raise ResultError(
            f"{evidence.label} is undefined over its {len(sample.weight)} rows: "
            f"{evidence.aggregator} divides by a sum that is 0 (columns "
            f"{dict(evidence.columns)}). Yield Missing, with the reason, where a metric has "
            "nothing to say."
        )
    return number


def no_interval(evidence: Evidence, sample: MetricSample) -> str | None:
    """Why no interval can be valid, whatever the replicates; None if one can."""
    if evidence.no_interval:
        return evidence.no_interval
    if sample.design.clusters < 2:
        return "all units are one independent cluster"
    return None


def undefined_replicates(replicates: Float[np.ndarray, " replicates"]) -> str | None:
    """Why replicates give no interval: some are undefined. None if all are numbers."""
    undefined = int((~np.isfinite(replicates)).sum())
    if not undefined:
        return None
    return (
        "the denominator cannot be told from zero "
        f"({undefined} of {len(replicates)} replicates undefined)"
    )


def _summary(
    evidence: Evidence,
    sample: MetricSample,
    number: float,
    replicates: Float[np.ndarray, " replicates"],
) -> Summary:
    if reason := undefined_replicates(replicates):
        return _without_interval(sample, number, reason)
    clusters = sample.design.clusters
    sampling = Sampling(number, replicates, influences(sample), clusters, sample.informative)
    outcome = interval(sampling, evidence.bounds)
    if isinstance(outcome, str):
        return _without_interval(sample, number, outcome)
    n = sample.aggregator.counts(sample.columns)
    return Summary(number, *outcome, n, None, clusters)


def _without_interval(sample: MetricSample, number: float, reason: str) -> Summary:
    n = sample.aggregator.counts(sample.columns)
    return Summary(number, None, None, None, n, reason, sample.design.clusters)
