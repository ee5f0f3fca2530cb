"""From named units to a number with its interval, and from two to a difference."""

from saeval.evidence.comparison import Difference, compare
from saeval.evidence.data import content_digest, on_data
from saeval.evidence.evidence import Better, Evidence, Missing
from saeval.evidence.metric import NULL_SAE, Metric
from saeval.evidence.summary import (
    REPLICATES,
    Summary,
    point_values,
    summarise,
    summarise_all,
)
from saeval.evidence.unit_tables import Units, units

__all__ = [
    "NULL_SAE",
    "REPLICATES",
    "Better",
    "Difference",
    "Evidence",
    "Metric",
    "Missing",
    "Summary",
    "Units",
    "compare",
    "content_digest",
    "on_data",
    "point_values",
    "summarise",
    "summarise_all",
    "units",
]
