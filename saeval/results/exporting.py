"""Tables and plots of stored results in a folder, for documents and other programs."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pandas as pd

from saeval.errors import UsageError
from saeval.results.comparison.kin import Kin
from saeval.results.comparison.measured import L0
from saeval.results.results import Results
from saeval.results.tables.formats import grid_latex, grid_markdown, latex
from saeval.results.tables.page import score_grids, score_tables
from saeval.results.tables.view import View, check_columns, tasks_of

KINDS = ("csv", "parquet", "json", "markdown", "latex", "text")
"""Formats of tables. csv, parquet and json hold every score; the others what a run shows."""
_ENDINGS = {"markdown": "tables.md", "latex": "tables.tex", "text": "tables.txt"}
_WIDE = 160
"""Columns of a table of text."""


def export_tables(
    results: Results,
    folder: Path,
    *,
    kinds: Collection[str] = KINDS,
    columns: Sequence[str] = (),
    parts: bool = False,
) -> list[Path]:
    """Write the scores of results as tables.

    Args:
        results: Of a run, or of a folder.
        folder: Made if it does not exist.
        kinds: Some of `KINDS`.
        columns: Metrics of the tables for people, by name or glob, `all` for every one; empty: each
            task's headline.
        parts: Whether tables for people show figures of parts too.

    Returns:
        The files written.

    Raises:
        UsageError: if a format or metric is unknown, or the folder cannot be written to.
    """
    if unknown := sorted(set(kinds) - set(KINDS)):
        raise UsageError(f"There is no format '{unknown[0]}'. Known: {', '.join(KINDS)}.")
    check_columns(columns, results.scores)
    view = results.view(columns, parts=parts)
    texts = {kind: _rendered(results, kind, view) for kind in KINDS if kind in kinds}
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind, content in texts.items():
            path = folder / _ENDINGS.get(kind, f"scores.{kind}")
            if isinstance(content, pd.DataFrame):
                content.to_parquet(path, index=False)
            else:
                path.write_text(content, encoding="utf-8")
            written.append(path)
    except OSError as error:
        raise UsageError(
            f"Tables cannot be written to '{folder}' ({error.strerror or error}); name another "
            "folder with --out."
        ) from error
    return written


def _rendered(results: Results, kind: str, view: View) -> str | pd.DataFrame:
    if kind == "parquet":
        return results.to_pandas()
    if kind == "csv":
        return results.to_pandas().to_csv(index=False)
    if kind == "json":
        rows = (json.dumps(score.shown_row(), ensure_ascii=False) for score in results.scores)
        return "".join(f"{row}\n" for row in rows)
    if kind == "text":
        return score_tables(results.scores, view, width=_WIDE) + "\n"
    grids, notes = score_grids(results.scores, view, _WIDE)
    if kind == "markdown":
        return "\n\n".join([*map(grid_markdown, grids), *notes]) + "\n"
    return "\n\n".join([*map(grid_latex, grids), *(f"% {latex(note)}" for note in notes)]) + "\n"


def export_plots(
    kin: Kin, folder: Path, *, headlines: Mapping[str, Sequence[str]], png: bool = True
) -> list[Path]:
    """Draw each headline metric against L0, and along trainings of which checkpoints are there.

    Args:
        kin: The results.
        folder: Made if it does not exist.
        headlines: Task -> metrics that it names as the first to look at; empty: those with a
            better direction.
        png: Whether PNG is written beside HTML.

    Returns:
        The files written; none where no SAE has an L0.
    """
    from saeval.results.plots.against_l0 import against_l0
    from saeval.results.plots.checkpoints import along_training
    from saeval.results.plots.files import write_figures

    scores = [score for item in kin.pool.items for score in item.result.scores]
    figures = {}
    for task in tasks_of(scores, View(headlines=headlines)):
        for metric in dict.fromkeys(name for name, part in task.figures if part is None):
            for kind, draw in (("against-l0", against_l0), ("training", along_training)):
                if metric == L0 and kind == "against-l0":
                    continue
                try:
                    figures[_name(f"{task.name}-{metric}-{kind}")] = draw(kin, metric, task.name)
                except UsageError:  # nothing of this kind among these results
                    continue
    return write_figures(figures, folder, png=png) if figures else []


def _name(text: str) -> str:
    """A safe file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)
