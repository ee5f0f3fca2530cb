"""What the names of files, folders and repositories tell where files do not."""

import re
from pathlib import Path

from saeval.registry.entries import Entry

NAMED_PARTS = 8
"""Parts of a path that may tell something: those of a hub cache, down to the file."""


def named_by(pattern: re.Pattern[str], path: Path, entry: Entry | None) -> re.Match[str] | None:
    """The first match in a registry entry's source, else in the nearest part of the path."""
    places = [entry.source] if entry else []
    places += reversed(path.absolute().parts[-NAMED_PARTS:])
    return next((found for place in places if (found := pattern.search(place))), None)
