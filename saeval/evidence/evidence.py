"""Evidence: what a task yields, and the value, interval and paired difference that follow."""

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
from saeval.evidence.replicates import Sample, replicated, value
from saeval.evidence.unit_tables import Units, paired_rows, units

__all__ = [
    "AGGREGATORS",
    "Difference",
    "Evidence",
    "Missing",
    "Summary",
    "Units",
    "compare",
    "summarise",
    "summarise_all",
    "units",
]

Better = Literal["higher", "lower", "none"]
REPLICATES = 2000
DETECTABLE = 2.8
"""Standard errors at which a 5 % two-sided test has 80 % power: 1.96 + 0.84."""


@dataclass(frozen=True)
class Evidence:
    """One metric: which units it is about, and how they become a number.

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
    """Which direction is better, `none` where neither is."""
    aggregator: str = "ratio_of_sums/1"
    """Name and version, one of `AGGREGATORS`."""
    part: str | None = None
    """Use only the rows of this part; None uses all."""
    floor: float | None = None
    """Value of knowing nothing, where the metric has one."""
    ceiling: float | None = None
    """Best possible value, where the metric has one."""
    no_interval: str | None = None
    """Why no interval is valid, such as a bit count; None where one is."""
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
            known = ", ".join(AGGREGATORS)
            return f"there is no aggregator '{self.aggregator}'; the registry is closed: {known}"
        for name in ("floor", "ceiling"):
            anchor = getattr(self, name)
            if anchor is not None and not math.isfinite(anchor):
                return f"its {name} is {anchor}; give a finite number, or None"
        return self._misfit(AGGREGATORS[self.aggregator])

    def _misfit(self, how: Aggregator) -> str | None:
        roles = {*how.needs, *how.ones, *how.keys}
        if not set(how.needs) <= set(self.columns) <= roles:
            return (
                f"{self.aggregator} needs columns for {', '.join(how.needs)} and may have "
                f"{', '.join(sorted(roles - set(how.needs))) or 'no others'}; it was given "
                f"{', '.join(self.columns) or 'none'}"
            )
        unknown = set(self.parameters) - set(how.parameters)
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
        """What one of the n is, in words: `row`, or `text x label (152 x 10)`."""
        return unit_of_n(self.units, self.part)

    @property
    def settings(self) -> Mapping[str, Scalar]:
        """Every parameter of the aggregator, defaults included."""
        return {**AGGREGATORS[self.aggregator].parameters, **self.parameters}

    def values(self, rows: Int[np.ndarray, " rows"]) -> Columns:
        """Role -> statistic at some rows, roles without a column filled in."""
        how = AGGREGATORS[self.aggregator]
        found = {role: self.units.column(name, rows) for role, name in self.columns.items()}
        found |= {role: np.ones(len(rows)) for role in how.ones if role not in found}
        if how.by_part and "group" not in found:
            parts = self.units.table["part"].iloc[rows]
            found["group"] = pd.factorize(parts, sort=True)[0].astype(np.float64)
        return found


@dataclass(frozen=True)
class Missing:
    """A metric that says nothing about this SAE here, yielded in place of its evidence."""

    metric: str
    reason: str
    """Why, as a sentence: "The model has no output head."."""
    unit: str = ""
    """Unit of measure."""
    better: Better = "none"
    part: str | None = None


@dataclass(frozen=True)
class Summary:
    """A value and how sure it is."""

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
    """Independent clusters of units, which is what the interval rests on."""


@dataclass(frozen=True)
class Difference:
    """How much two scores over the same units differ, unit by unit."""

    delta: float
    """Value of the first minus value of the second."""
    stderr: float | None
    ci_low: float | None
    """Lower end of the 95 % interval of delta."""
    ci_high: float | None
    n: int
    """Units in common."""
    mde: float | None
    """Minimum detectable difference: the true one that would be found in 80 % of such runs."""
    p: float | None
    """Two-sided p-value of no difference, not corrected for other comparisons."""
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
        seed: Of the replicates. Equal seeds over equal units give equal weights.

    Raises:
        ResultError: if a metric is undefined on its units, as with a denominator of 0.
    """
    designs: dict[tuple[int, str | None], Design] = {}
    samples = []
    for each in evidence:
        rows = each.units.rows(each.part)
        key = (id(each.units), each.part)
        if key not in designs:
            designs[key] = design(each.units.cluster_names(rows))
        samples.append(_sample(each, rows, designs[key]))
    values = [_value(each, sample) for each, sample in zip(evidence, samples, strict=True)]
    reasons = [_no_interval(each, sample) for each, sample in zip(evidence, samples, strict=True)]
    resampled = [sample for sample, reason in zip(samples, reasons, strict=True) if not reason]
    drawn = iter(replicated(resampled, replicates, seed))
    return tuple(
        _summary(sample, value, reason or next(drawn))
        for sample, value, reason in zip(samples, values, reasons, strict=True)
    )


def compare(a: Evidence, b: Evidence, *, replicates: int = REPLICATES, seed: int = 0) -> Difference:
    """The paired difference a - b of one metric between two SAEs, over the same units.

    Both are reweighted alike in every replicate, so what units have in common cancels; an SAE
    compared with itself differs by exactly 0.

    Raises:
        ResultError: if metric, aggregator, units, clusters or weights are not the same.
    """
    for name in ("metric", "unit", "aggregator", "settings", "part"):
        ours, theirs = getattr(a, name), getattr(b, name)
        if ours != theirs:
            raise ResultError(
                f"{a.label} and {b.label} answer different questions: {name} is {ours!r} and "
                f"{theirs!r}. Compare the same metric, computed by the same task version."
            )
    rows_a, rows_b = paired_rows(a.units, b.units, a.part)
    common = design(a.units.cluster_names(rows_a))
    samples = [_sample(a, rows_a, common), _sample(b, rows_b, common)]
    delta = _value(a, samples[0]) - _value(b, samples[1])
    reason = _no_interval(a, samples[0]) or _no_interval(b, samples[1])
    found = _summary(
        samples[0], delta, reason or np.subtract(*replicated(samples, replicates, seed))
    )
    ends = (found.ci_low, found.ci_high)
    if found.stderr is None:
        return Difference(delta, None, *ends, found.n, None, None, found.reason)
    p = p_value(delta, found.stderr, common.clusters)
    return Difference(delta, found.stderr, *ends, found.n, DETECTABLE * found.stderr, p, None)


def _sample(evidence: Evidence, rows: Int[np.ndarray, " rows"], drawn: Design) -> Sample:
    return Sample(
        AGGREGATORS[evidence.aggregator],
        evidence.settings,
        evidence.values(rows),
        evidence.units.column("weight", rows),
        drawn,
    )


def _value(evidence: Evidence, sample: Sample) -> float:
    found = value(sample)
    if not math.isfinite(found):
        raise ResultError(
            f"{evidence.label} is undefined over its {len(sample.weight)} rows: "
            f"{evidence.aggregator} divides by a sum that is 0 (columns "
            f"{dict(evidence.columns)}). Yield Missing, with the reason, where a metric has "
            "nothing to say."
        )
    return found


def _no_interval(evidence: Evidence, sample: Sample) -> str | None:
    if evidence.no_interval:
        return evidence.no_interval
    if sample.design.clusters < 2:
        return "all units are one independent cluster"
    return None


def _summary(
    sample: Sample, value: float, found: str | Float[np.ndarray, " replicates"]
) -> Summary:
    """A summary from replicates, or from the reason why there are none."""
    n, clusters = sample.how.counts(sample.columns), sample.design.clusters
    if not isinstance(found, str):
        undefined = int((~np.isfinite(found)).sum())
        if not undefined:
            return Summary(value, *interval(value, found, clusters), n, None, clusters)
        found = (
            "the denominator cannot be told from zero "
            f"({undefined} of {len(found)} replicates undefined)"
        )
    return Summary(value, None, None, None, n, found, clusters)
