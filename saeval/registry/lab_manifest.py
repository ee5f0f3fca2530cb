"""The lab's manifest: what each trained thing is, how it was made, and how good it was found."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from saeval.errors import DataError
from saeval.registry.hashes import content_sha256

ROOT = Path(__file__).parents[1] / "lab"
MANIFEST = ROOT / "manifest.json"
WEIGHTS = ROOT / "weights"


@dataclass(frozen=True)
class Row:
    """One folder of weights."""

    name: str
    """Its folder below `weights/`, which is also its name after `lab://`."""
    about: str
    """One sentence saying what it is."""
    sha256: str
    """Of the folder's content."""
    size: int
    """Bytes of all its files."""
    recipe: Mapping[str, Any]
    """All that it takes to make it again, seeds included. JSON values."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """What was measured on the files as they are, rounded weights and all. JSON values."""


def make_row(
    name: str, about: str, recipe: Mapping[str, Any], figures: Mapping[str, Any],
    *, weights: Path = WEIGHTS,
) -> Row:  # fmt: skip
    """Describe the folder that was just written."""
    folder = weights / name
    size = sum(f.stat().st_size for f in folder.iterdir() if f.is_file())
    return Row(name, about, content_sha256(folder), size, recipe, figures)


def read_rows(path: Path = MANIFEST) -> dict[str, Row]:
    """All rows by name; none if nothing was built yet.

    Raises:
        DataError: if the file is no manifest.
    """
    if not path.exists():
        return {}
    try:
        rows = [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise DataError(
            f"'{path}' is no manifest of the lab ({error}); build the lab again or restore the file"
        ) from error
    return {row.name: row for row in rows}


def write_rows(new: Iterable[Row], path: Path = MANIFEST) -> None:
    """Add rows, or replace those of the same names; the file is written whole or not at all.

    Builders at work side by side wait for each other.
    """
    from filelock import FileLock

    made = {row.name: row for row in new}
    with FileLock(path.with_suffix(".lock")):
        rows = read_rows(path) | made
        text = json.dumps([asdict(rows[name]) for name in sorted(rows)], indent=1)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(path)


def is_whole(row: Row, weights: Path = WEIGHTS) -> bool:
    """Whether the row's folder is there and holds what was measured."""
    folder = weights / row.name
    return folder.is_dir() and content_sha256(folder) == row.sha256
