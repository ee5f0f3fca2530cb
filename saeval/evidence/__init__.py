"""From named units to a number with its interval, and from two to a difference."""

from saeval.evidence.comparison import Difference, compare
from saeval.evidence.data import DIGEST_LENGTH, content_digest, on_data
from saeval.evidence.evidence import Better, Evidence, Missing
from saeval.evidence.metric import NULL_SAE, Metric
from saeval.evidence.seeds import SeedDifference, SeedSummary, compare_seeds, over_seeds
from saeval.evidence.summary import (
    REPLICATES,
    Summary,
    point_values,
    summarise,
    summarise_all,
)
from saeval.evidence.unit_tables import Units, units

__all__ = [
    "DIGEST_LENGTH",
    "NULL_SAE",
    "REPLICATES",
    "Better",
    "Difference",
    "Evidence",
    "Metric",
    "Missing",
    "SeedDifference",
    "SeedSummary",
    "Summary",
    "Units",
    "compare",
    "compare_seeds",
    "content_digest",
    "on_data",
    "over_seeds",
    "point_values",
    "summarise",
    "summarise_all",
    "units",
]
