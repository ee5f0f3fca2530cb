"""A comparison in files: text, Markdown, CSV, LaTeX, parquet and JSON."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from saeval.errors import UsageError
from saeval.results.comparison.findings import Findings
from saeval.results.comparison.row import COLUMNS
from saeval.results.comparison.shown import comparison_text, grids, notes
from saeval.results.tables.formats import grid_latex, grid_markdown, latex

if TYPE_CHECKING:
    import pandas as pd

FORMATS = {
    "text": ".txt",
    "markdown": ".md",
    "csv": ".csv",
    "latex": ".tex",
    "parquet": ".parquet",
    "json": ".json",
}
"""Format -> the ending of its files."""
_NAME = "comparison"
_WIDE = 160
"""Columns of a text file."""
_NUMBERS = {
    **dict.fromkeys(
        (
            *("value_first", "value_second", "difference", "stderr", "ci_low", "ci_high"),
            *("p", "p_holm", "mde", "at_l0", "l0_first", "l0_second"),
        ),
        "float64",
    ),
    **dict.fromkeys(
        ("task_version", "n", "clusters", "differing", "trainings_first", "trainings_second"),
        "Int64",
    ),
    "l0_differs": "bool",
}


def frame(found: Findings) -> "pd.DataFrame":
    """One row per pair and metric, with all columns."""
    import pandas as pd

    records = [row.record() for row in found.rows]
    return pd.DataFrame(
        {
            name: pd.Series(
                [record[name] for record in records], dtype=_NUMBERS.get(name, "object")
            )
            for name in (*COLUMNS, "l0_differs")
        }
    )


def rendered(found: Findings, kind: str, width: int = _WIDE) -> str:
    """The comparison in a format that is text.

    Args:
        found: The comparison.
        kind: One of `FORMATS` but parquet.
        width: Columns of plain text.
    """
    if kind == "text":
        return comparison_text(found, width)
    if kind == "markdown":
        return "\n\n".join([*map(grid_markdown, grids(found)), *notes(found)])
    if kind == "latex":
        remarks = "\n".join(f"% {note}" for note in map(latex, notes(found)))
        return "\n\n".join([*map(grid_latex, grids(found)), remarks])
    if kind == "csv":
        return frame(found).to_csv(index=False).rstrip("\n")
    return "\n".join(
        json.dumps(row.record(), ensure_ascii=False, allow_nan=False) for row in found.rows
    )


def format_of(path: Path, kind: str | None) -> str | None:
    """The format of a file by its ending, unless one is given; None for a folder.

    Raises:
        UsageError: if the ending says no format, or the format is unknown.
    """
    if kind is not None:
        if kind not in FORMATS:
            raise UsageError(f"There is no format '{kind}'. Known: {', '.join(FORMATS)}.")
        return kind
    if path.is_dir() or not path.suffix:
        return None
    for name, ending in FORMATS.items():
        if path.suffix == ending:
            return name
    raise UsageError(
        f"'{path}' does not say its format: end it with one of {', '.join(FORMATS.values())}, or "
        "give --format."
    )


def write(found: Findings, path: Path, kind: str | None = None) -> list[Path]:
    """Write the comparison to a file, or in every format into a folder.

    Args:
        found: The comparison.
        path: A file, or a folder (a name without an ending is one), which is made.
        kind: The format; None: that of the ending, all for a folder.

    Returns:
        The files written.

    Raises:
        UsageError: if the format is unknown, or the place cannot be written to.
    """
    own = format_of(path, kind)
    is_folder = path.is_dir() or not path.suffix
    kinds = [own] if own else list(FORMATS)
    files = {k: path / f"{_NAME}{FORMATS[k]}" if is_folder else path for k in kinds}
    try:
        for name, file in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            if name == "parquet":
                frame(found).to_parquet(file, index=False)
            else:
                file.write_text(rendered(found, name) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"Cannot write to '{path}' ({error.strerror or error}); name another place with --out."
        ) from error
    return list(files.values())
