"""Evidence: what a task yields, from which value, interval and paired difference follow."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Int

from saeval.errors import ResultError
from saeval.evidence.aggregators import AGGREGATORS, Aggregator, Columns, Scalar
from saeval.evidence.counting import unit_of_n
from saeval.evidence.intervals import Bounds
from saeval.evidence.unit_tables import Units

Better = Literal["higher", "lower", "none"]


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
    bounds: Bounds = (None, None)
    """Smallest and largest possible value; None where there is none."""
    null_floor: bool = False
    """Whether the floor is what a null SAE scores. A run measures it, and puts it in the place of
    what the task gave; None where it cannot be measured."""

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
        low, high = self.bounds
        if low is not None and high is not None and not low < high:
            return f"its bounds are {low} and {high}; the smaller comes first"
        return self._misfit(AGGREGATORS[self.aggregator])

    def _misfit(self, aggregator: Aggregator) -> str | None:
        roles = {*aggregator.needs, *aggregator.ones, *aggregator.keys, *aggregator.labels}
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
