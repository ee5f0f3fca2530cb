"""Other names of a result: one small file per name, beside result.json.

Results are found by content, so one result may answer to several names. The first name stands in
result.json. Every other name has a file of its own, so that two processes never rewrite the same
file. A folder without such files, as older versions wrote it, has one name.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from saeval.results.key import checked_json
from saeval.results.portable import working_folder
from saeval.results.score import Result
from saeval.results.unfinished import unfinished

_FILES = "alias-*.json"
_WAIT = 0.01
_TRIES = 200
"""Seconds between tries, and number of tries, while another process replaces the folder."""


@dataclass(frozen=True)
class Alias:
    """A name that a run gave to a result."""

    sae: str | None
    set: str | None
    run: Mapping[str, Any]
    """The configuration of that run."""

    @property
    def name(self) -> tuple[str | None, str | None]:
        """The name itself, by which aliases are compared."""
        return self.sae, self.set

    @property
    def file(self) -> str:
        """Name of its file, a hash of the name."""
        text = json.dumps(self.name, ensure_ascii=False)
        return _FILES.replace("*", hashlib.sha256(text.encode()).hexdigest()[:16])

    def of(self, result: Result) -> Result:
        """The result under this name."""
        return replace(result.renamed(sae=self.sae, set=self.set), run=self.run)


def first_alias(result: Result) -> Alias:
    """The name in result.json."""
    return Alias(result.sae, result.set, result.run)


def aliases_in(folder: Path) -> list[Alias]:
    """Names that a result's folder remembers besides the first, in order."""
    try:
        aliases = list(filter(None, map(_read_alias, folder.glob(_FILES))))
    except FileNotFoundError:  # another process is replacing the result
        return []
    return sorted(aliases, key=lambda alias: [part or "" for part in alias.name])


def damaged_aliases(folder: Path) -> list[str]:
    """Names of files that should hold a name and do not."""
    return sorted(file.name for file in folder.glob(_FILES) if _read_alias(file) is None)


def _read_alias(file: Path) -> Alias | None:
    """The name in a file; None if it was copied in part, or edited to another name."""
    with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        about = json.loads(file.read_text(encoding="utf-8"))
        alias = Alias(about["sae"], about["set"], dict(about["run"]))
        if alias.file == file.name:
            return alias
    return None


def write_aliases(folder: Path, result_id: str, aliases: Iterable[Alias], root: Path) -> None:
    """Write a file per name into a folder that no other process sees yet."""
    for alias in aliases:
        about = {
            "result_id": result_id,
            "sae": alias.sae,
            "set": alias.set,
            "working_folder": working_folder(root),
            "run": alias.run,
        }
        text = json.dumps(
            checked_json(about, "alias"), indent=1, ensure_ascii=False, allow_nan=False
        )
        (folder / alias.file).write_text(text + "\n", encoding="utf-8")


def remember(root: Path, folder: Path, result_id: str, alias: Alias) -> None:
    """Add a name to a result's folder, even while other processes replace the folder.

    A writer moves the old folder aside, puts the new one in its place, and then copies names that
    the old one got meanwhile. So a name that was once seen in its place is never lost.

    Raises:
        OSError: if the name cannot be written, or the result was deleted.
    """
    file = folder / alias.file
    for _ in range(_TRIES):
        if _read_alias(file) is not None:
            return
        with unfinished(root) as paths:
            write_aliases(paths.folder, result_id, [alias], root)
            with suppress(FileNotFoundError):
                (paths.folder / alias.file).replace(file)
                continue
        time.sleep(_WAIT)
    raise FileNotFoundError(f"'{folder}' is gone")
