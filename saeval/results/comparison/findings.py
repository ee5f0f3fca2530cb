"""What a comparison found: rows, and what else a reader must know of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from saeval.results.comparison.missing import Missing
from saeval.results.comparison.row import Row
from saeval.results.comparison.sides import Side


@dataclass(frozen=True)
class Findings:
    """Differences between sides, corrected together."""

    rows: tuple[Row, ...]
    sides: tuple[Side, ...]
    spans: Mapping[tuple[str, str], tuple[float, float] | None] = field(default_factory=dict)
    """Pair whose L0 differs -> the L0 that both families span; None if there is none."""
    enough_trainings: bool = False
    """Whether methods could be compared: all sides have three training seeds in the results."""
    missing: tuple[Missing, ...] = ()

    @property
    def compared(self) -> tuple[Row, ...]:
        """Rows that have a difference."""
        return tuple(row for row in self.rows if row.is_compared)

    @property
    def nulls(self) -> frozenset[str]:
        """Sides that are nulls."""
        return frozenset(side.name for side in self.sides if side.is_null)
