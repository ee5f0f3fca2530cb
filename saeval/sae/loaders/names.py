"""Facts that stand only in the names of files, folders and repositories."""

import re
from pathlib import Path

from saeval.registry.entries import Entry

NAMED_PARTS = 8
"""Last parts of a path that are searched: as many as a hub cache has, down to the file."""


def match_name(pattern: re.Pattern[str], path: Path, entry: Entry | None) -> re.Match[str] | None:
    """The first match in a registry entry's source, else in the nearest part of the path."""
    names = [entry.source] if entry else []
    names += reversed(path.absolute().parts[-NAMED_PARTS:])
    return next((match for name in names if (match := pattern.search(name))), None)
