"""A comparison of SAEs or methods, as users hold it: tables, plots and files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from saeval.results.comparison.comparing import Choices, find_differences
from saeval.results.comparison.files import frame, write
from saeval.results.comparison.findings import Findings
from saeval.results.comparison.kin import Kin
from saeval.results.comparison.row import Row
from saeval.results.comparison.shown import comparison_html, comparison_text
from saeval.results.text import terminal_width

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Comparison:
    """Differences between SAEs or methods, each paired over the same units."""

    findings: Findings

    @property
    def rows(self) -> tuple[Row, ...]:
        """One for each pair and metric; what could not be compared says why."""
        return self.findings.rows

    def to_pandas(self) -> "pd.DataFrame":
        """One row per pair and metric, with all columns of `Row`."""
        return frame(self.findings)

    def table(self, *, width: int = 80) -> str:
        """The comparison as text, no line wider than `width` (at least 40)."""
        return comparison_text(self.findings, width)

    def plot(self) -> "go.Figure":
        """Forest plot: each difference and its interval."""
        from saeval.results.plots.forest import forest

        return forest(self.findings)

    def save(self, path: str | Path, kind: str | None = None) -> list[Path]:
        """Write the comparison into a file, or into a folder in every format.

        Args:
            path: A file, whose ending says the format; or a folder.
            kind: Format, one of `saeval.results.comparison.files.FORMATS`; None: by the ending.

        Returns:
            The files written.
        """
        return write(self.findings, Path(path), kind)

    def __str__(self) -> str:
        """The tables, as wide as the terminal."""
        return self.table(width=terminal_width())

    def __repr__(self) -> str:
        """How many sides and differences."""
        found = self.findings
        return f"<Comparison: {len(found.sides)} sides, {len(found.compared)} differences>"

    def _repr_html_(self) -> str:
        """The tables for a notebook."""
        return comparison_html(self.findings)


def compare_sides_of(
    kin: Kin,
    names: Sequence[str] = (),
    choices: Choices | None = None,
    known: Mapping[str, Sequence[str]] | None = None,
) -> Comparison:
    """Compare what names mean, pair by pair; see `find_differences`."""
    return Comparison(find_differences(kin, names, choices, known))
