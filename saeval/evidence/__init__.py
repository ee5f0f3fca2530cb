"""From named units to a number with its interval, and from two to a difference."""

from saeval.evidence.evidence import (
    REPLICATES,
    Better,
    Difference,
    Evidence,
    Missing,
    Summary,
    compare,
    point_values,
    summarise,
    summarise_all,
)
from saeval.evidence.metric import Metric
from saeval.evidence.unit_tables import Units, units

__all__ = [
    "REPLICATES",
    "Better",
    "Difference",
    "Evidence",
    "Metric",
    "Missing",
    "Summary",
    "Units",
    "compare",
    "point_values",
    "summarise",
    "summarise_all",
    "units",
]
