"""The other names under which a result was asked for: a small file each, beside result.json.

Results are found by content, so one result may answer to several names. The first stands in
result.json. Every further one has a file of its own, so that two processes never rewrite the same
file; a folder without such files, as older versions wrote it, has one name.
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


@dataclass(frozen=True)
class Alias:
    """A name under which a result was asked for."""

    sae: str | None
    set: str | None
    run: Mapping[str, Any]
    """The configuration that asked."""

    @property
    def name(self) -> tuple[str | None, str | None]:
        """What tells it from others."""
        return self.sae, self.set

    @property
    def file(self) -> str:
        """Name of its file, which the name decides."""
        text = json.dumps(self.name, ensure_ascii=False)
        return _FILES.replace("*", hashlib.sha256(text.encode()).hexdigest()[:16])

    def of(self, result: Result) -> Result:
        """The result under this name."""
        return replace(result.renamed(sae=self.sae, set=self.set), run=self.run)


def first_alias(result: Result) -> Alias:
    """The name in result.json."""
    return Alias(result.sae, result.set, result.run)


def aliases_in(folder: Path) -> list[Alias]:
    """Names that a result's folder remembers beside the first, in order of name."""
    aliases = []
    for file in folder.glob(_FILES):
        with suppress(OSError, ValueError, KeyError, TypeError):  # half a copy is no name
            about = json.loads(file.read_text(encoding="utf-8"))
            aliases.append(Alias(about["sae"], about["set"], dict(about["run"])))
    return sorted(aliases, key=lambda alias: [part or "" for part in alias.name])


def write_aliases(folder: Path, result_id: str, aliases: Iterable[Alias], root: Path) -> None:
    """Write a file for each name into a folder that nobody else sees yet."""
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
    """Have a result's folder remember one more name, even while others replace the folder.

    A writer moves the old folder aside, puts the new one in its place, and then takes over the
    names that came into the old one meanwhile. So a name that is seen in its place stays.

    Raises:
        OSError: if it cannot be written, or the result is gone.
    """
    file = folder / alias.file
    for _ in range(_TRIES):
        if file.exists():
            return
        with unfinished(root) as paths:
            write_aliases(paths.folder, result_id, [alias], root)
            with suppress(FileNotFoundError):
                (paths.folder / alias.file).replace(file)
                continue
        time.sleep(_WAIT)
    raise FileNotFoundError(f"'{folder}' is gone")
