"""Evidence: what a task yields, and how value, interval and paired difference follow from it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from saeval.errors import ResultError
from saeval.evidence.aggregators import AGGREGATORS, Aggregator, Columns, Scalar
from saeval.evidence.bootstrap import Design, design, interval, p_value
from saeval.evidence.counting import unit_of_n
from saeval.evidence.replicates import MetricSample, replicated, value
from saeval.evidence.unit_tables import Units, paired_rows, units

__all__ = [
    "AGGREGATORS",
    "Difference",
    "Evidence",
    "Missing",
    "Summary",
    "Units",
    "compare",
    "point_values",
    "summarise",
    "summarise_all",
    "units",
]

Better = Literal["higher", "lower", "none"]
REPLICATES = 2000
DETECTABLE = 2.8
"""Number of standard errors at which a 5 % two-sided test has 80 % power: 1.96 + 0.84."""


@dataclass(frozen=True)
class Evidence:
    """One metric: its units, and how they become a number.

    Raises:
        ResultError: if aggregator, columns, parameters or part do not fit the table.
    """

    metric: str
    units: Units
    columns: Mapping[str, str]
    """Role in the aggregator -> statistic column, such as `num` -> `sq_err`."""
    unit: str
    """Unit of measure: `nats`, `fraction`, `latents per token`, `cosine`."""
    better: Better
    """Which direction is better; `none` if neither is."""
    aggregator: str = "ratio_of_sums/1"
    """Name and version, one of `AGGREGATORS`."""
    part: str | None = None
    """Use only the rows of this part; None uses all."""
    floor: float | None = None
    """Value without any information, if the metric has one."""
    ceiling: float | None = None
    """Best possible value, if the metric has one."""
    no_interval: str | None = None
    """Reason why no interval is valid, as for a bit count; None if an interval is valid."""
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    """Parameters of the aggregator that differ from its defaults."""

    def __post_init__(self) -> None:
        complaint = self._complaint()
        if complaint:
            raise ResultError(f"Evidence of {self.label}: {complaint}.")
        rows = self.units.rows(self.part)
        complaint = AGGREGATORS[self.aggregator].refuse(self.values(rows), self.settings)
        if complaint:
            raise ResultError(f"Evidence of {self.label}: {complaint}.")

    def _complaint(self) -> str | None:
        if self.better not in ("higher", "lower", "none"):
            return f"better must be 'higher', 'lower' or 'none', not '{self.better}'"
        if self.aggregator not in AGGREGATORS:
            names = ", ".join(AGGREGATORS)
            return f"there is no aggregator '{self.aggregator}'; the registry is closed: {names}"
        for name in ("floor", "ceiling"):
            anchor = getattr(self, name)
            if anchor is not None and not math.isfinite(anchor):
                return f"its {name} is {anchor}; give a finite number, or None"
        return self._misfit(AGGREGATORS[self.aggregator])

    def _misfit(self, aggregator: Aggregator) -> str | None:
        roles = {*aggregator.needs, *aggregator.ones, *aggregator.keys}
        if not set(aggregator.needs) <= set(self.columns) <= roles:
            return (
                f"{self.aggregator} needs columns for {', '.join(aggregator.needs)} and may have "
                f"{', '.join(sorted(roles - set(aggregator.needs))) or 'no others'}; it was given "
                f"{', '.join(self.columns) or 'none'}"
            )
        unknown = set(self.parameters) - set(aggregator.parameters)
        if unknown:
            return f"{self.aggregator} has no parameter '{min(unknown)}'"
        absent = [name for name in self.columns.values() if name not in self.units.statistics]
        if absent:
            return f"table '{self.units.name}' has no statistic '{absent[0]}'"
        return None

    @property
    def label(self) -> str:
        """Metric and part, for messages."""
        return f"'{self.metric}'" + (f" (part '{self.part}')" if self.part else "")

    @property
    def unit_of_n(self) -> str:
        """The unit of n, in words: `row`, or `text x label (152 x 10)`."""
        return unit_of_n(self.units, self.part)

    @property
    def settings(self) -> Mapping[str, Scalar]:
        """Every parameter of the aggregator, defaults included."""
        return {**AGGREGATORS[self.aggregator].parameters, **self.parameters}

    def values(self, rows: Int[np.ndarray, " rows"]) -> Columns:
        """Role -> statistic at some rows. Roles without a column get their default."""
        aggregator = AGGREGATORS[self.aggregator]
        columns = {role: self.units.column(name, rows) for role, name in self.columns.items()}
        columns |= {role: np.ones(len(rows)) for role in aggregator.ones if role not in columns}
        if aggregator.by_part and "group" not in columns:
            parts = self.units.table["part"].iloc[rows]
            columns["group"] = pd.factorize(parts, sort=True)[0].astype(np.float64)
        return columns


@dataclass(frozen=True)
class Missing:
    """A metric that has no value for this SAE here, yielded in place of its evidence."""

    metric: str
    reason: str
    """The reason, as a sentence: "The model has no output head."."""
    unit: str = ""
    """Unit of measure."""
    better: Better = "none"
    part: str | None = None


@dataclass(frozen=True)
class Summary:
    """A value, its standard error and its interval."""

    value: float
    stderr: float | None
    """Bootstrap standard error, in the unit of the value; None where no interval is valid."""
    ci_low: float | None
    """Lower end of the 95 % interval."""
    ci_high: float | None
    n: int
    """Units behind the value."""
    reason: str | None
    """Why there is no interval; None where there is one."""
    clusters: int
    """Number of independent clusters of units, from which the interval is computed."""


@dataclass(frozen=True)
class Difference:
    """The paired difference of two scores over the same units."""

    delta: float
    """Value of the first minus value of the second."""
    stderr: float | None
    ci_low: float | None
    """Lower end of the 95 % interval of delta."""
    ci_high: float | None
    n: int
    """Units in common."""
    mde: float | None
    """Minimum detectable difference: a true difference of this size is found in 80 % of runs."""
    p: float | None
    """Two-sided p-value for no difference, not corrected for multiple comparisons."""
    reason: str | None
    """Why there is no interval; None where there is one."""


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
    samples = _samples(evidence)
    values = [_value(entry, sample) for entry, sample in zip(evidence, samples, strict=True)]
    reasons = [_no_interval(entry, sample) for entry, sample in zip(evidence, samples, strict=True)]
    resampled = [sample for sample, reason in zip(samples, reasons, strict=True) if not reason]
    draws = iter(replicated(resampled, replicates, seed))
    return tuple(
        _summary(sample, value, reason or next(draws))
        for sample, value, reason in zip(samples, values, reasons, strict=True)
    )


def point_values(evidence: Sequence[Evidence]) -> tuple[tuple[float, int], ...]:
    """Value and n of metrics, as `summarise_all` gives them, without the cost of intervals.

    Raises:
        ResultError: if a metric is undefined on its units.
    """
    return tuple(
        (_value(entry, sample), sample.aggregator.counts(sample.columns))
        for entry, sample in zip(evidence, _samples(evidence), strict=True)
    )


def _samples(evidence: Sequence[Evidence]) -> list[MetricSample]:
    """A sample per metric; metrics of equal units share one design."""
    designs: dict[tuple[int, str | None], Design] = {}
    samples = []
    for entry in evidence:
        rows = entry.units.rows(entry.part)
        key = (id(entry.units), entry.part)
        if key not in designs:
            designs[key] = design(entry.units.cluster_names(rows))
        samples.append(_sample(entry, rows, designs[key]))
    return samples


def compare(a: Evidence, b: Evidence, *, replicates: int = REPLICATES, seed: int = 0) -> Difference:
    """The paired difference a - b of one metric between two SAEs, over the same units.

    Both get the same weights in every replicate, so what the units contribute to both cancels. An
    SAE compared with itself differs by exactly 0.

    Raises:
        ResultError: if metric, aggregator, units, clusters or weights are not the same.
    """
    for name in ("metric", "unit", "aggregator", "settings", "part"):
        value_a, value_b = getattr(a, name), getattr(b, name)
        if value_a != value_b:
            raise ResultError(
                f"{a.label} and {b.label} answer different questions: {name} is {value_a!r} and "
                f"{value_b!r}. Compare the same metric, computed by the same task version."
            )
    rows_a, rows_b = paired_rows(a.units, b.units, a.part)
    common = design(a.units.cluster_names(rows_a))
    samples = [_sample(a, rows_a, common), _sample(b, rows_b, common)]
    delta = _value(a, samples[0]) - _value(b, samples[1])
    reason = _no_interval(a, samples[0]) or _no_interval(b, samples[1])
    summary = _summary(
        samples[0], delta, reason or np.subtract(*replicated(samples, replicates, seed))
    )
    bounds = (summary.ci_low, summary.ci_high)
    if summary.stderr is None:
        return Difference(delta, None, *bounds, summary.n, None, None, summary.reason)
    p = p_value(delta, summary.stderr, common.clusters)
    return Difference(
        delta, summary.stderr, *bounds, summary.n, DETECTABLE * summary.stderr, p, None
    )


def _sample(
    evidence: Evidence, rows: Int[np.ndarray, " rows"], shared_design: Design
) -> MetricSample:
    return MetricSample(
        AGGREGATORS[evidence.aggregator],
        evidence.settings,
        evidence.values(rows),
        evidence.units.column("weight", rows),
        shared_design,
    )


def _value(evidence: Evidence, sample: MetricSample) -> float:
    number = value(sample)
    if not math.isfinite(number):
        raise ResultError(
            f"{evidence.label} is undefined over its {len(sample.weight)} rows: "
            f"{evidence.aggregator} divides by a sum that is 0 (columns "
            f"{dict(evidence.columns)}). Yield Missing, with the reason, where a metric has "
            "nothing to say."
        )
    return number


def _no_interval(evidence: Evidence, sample: MetricSample) -> str | None:
    if evidence.no_interval:
        return evidence.no_interval
    if sample.design.clusters < 2:
        return "all units are one independent cluster"
    return None


def _summary(
    sample: MetricSample, value: float, outcome: str | Float[np.ndarray, " replicates"]
) -> Summary:
    """A summary from replicates, or from the reason why there are none (`outcome`)."""
    n, clusters = sample.aggregator.counts(sample.columns), sample.design.clusters
    if not isinstance(outcome, str):
        undefined = int((~np.isfinite(outcome)).sum())
        if not undefined:
            return Summary(value, *interval(value, outcome, clusters), n, None, clusters)
        outcome = (
            "the denominator cannot be told from zero "
            f"({undefined} of {len(outcome)} replicates undefined)"
        )
    return Summary(value, None, None, None, n, outcome, clusters)
