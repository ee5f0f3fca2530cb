"""The lab's manifest: what each folder of weights is, how it was made, and its measured quality."""

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
class ManifestRow:
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
    """All that is needed to make it again, seeds included. JSON values."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Measurements on the files as stored, with rounded weights. JSON values."""


def make_row(
    name: str, about: str, recipe: Mapping[str, Any], figures: Mapping[str, Any],
    *, weights: Path = WEIGHTS,
) -> ManifestRow:  # fmt: skip
    """Describe the folder that was just written."""
    folder = weights / name
    size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    return ManifestRow(name, about, content_sha256(folder), size, recipe, figures)


def read_rows(path: Path = MANIFEST) -> dict[str, ManifestRow]:
    """All rows by name; none if nothing was built yet.

    Raises:
        DataError: if the file is no manifest.
    """
    if not path.exists():
        return {}
    try:
        rows = [ManifestRow(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise DataError(
            f"'{path}' is no manifest of the lab ({error}); build the lab again or restore the file"
        ) from error
    return {row.name: row for row in rows}


def write_rows(new: Iterable[ManifestRow], path: Path = MANIFEST) -> None:
    """Add rows, or replace those of the same names; the file is written whole or not at all.

    Builders that run at the same time wait for each other.
    """
    from filelock import FileLock

    new_rows = {row.name: row for row in new}
    with FileLock(path.with_suffix(".lock")):
        rows = read_rows(path) | new_rows
        text = json.dumps([asdict(rows[name]) for name in sorted(rows)], indent=1)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(path)


def is_whole(row: ManifestRow, weights: Path = WEIGHTS) -> bool:
    """Whether the row's folder exists and its content has the row's hash."""
    folder = weights / row.name
    return folder.is_dir() and content_sha256(folder) == row.sha256
