"""A result's folder: its path, and the constants of its result.json."""

import re
import unicodedata
from pathlib import Path

from saeval.errors import ResultError
from saeval.results.score import Result

SCHEMA = 2
"""Version of result.json; raised when its keys change. 2 added `bounds` of metrics, `data` of
tables and `method` of intervals."""
READABLE = (1, 2)
"""Versions that are read."""
INTERVAL = {
    "level": 0.95,
    "replicates": 2000,
    "seed": 0,
    "method": "score interval within bounds, else bias-corrected percentiles",
}
"""How intervals are computed; recorded with every result."""
HEAD = ("result_id", "sae", "set", "task", "task_version", "seed", "status", "reason")
"""Fields of a result that stand in result.json as they are."""
KEY = re.compile(r"[0-9a-f]{20}")
"""A result id."""
FOLDER = re.compile(rf".+-({KEY.pattern})")
"""Name of a result's folder."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def slug(name: str) -> str:
    """A name as one safe folder name; different names may give the same one."""
    text = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    text = re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:80].strip("-.")
    return f"sae-{text}".rstrip("-") if not text or _RESERVED.fullmatch(text) else text


def result_path(root: str | Path, result: Result) -> Path:
    """Path of a new result: `<root>/<sae>/<task>-<result_id>`.

    A later run may give the result another name; it stays there, and `find_folder` finds it by id.

    Raises:
        ResultError: if the id is not a key. Such a path could lead anywhere.
    """
    path = (
        Path(root)
        / slug(result.sae or result.set or "")
        / f"{slug(result.task)}-{result.result_id}"
    )
    if not FOLDER.fullmatch(path.name):
        raise ResultError(f"'{result.result_id}' is no result id: it needs 20 hex digits.")
    return path
