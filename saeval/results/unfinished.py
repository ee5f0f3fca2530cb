"""Folders that are being written: each has a lock, and is removed once its process is dead."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from saeval.config.locks import LOCK, lock_path, make_lock, text_of_dead_lock
from saeval.results.folder import KEY

_NEW, _OLD = ".tmp-", ".old-"
_PLACE = re.compile(rf"[^/\\.][^/\\]*/[^/\\.][^/\\]*-{KEY.pattern}")
"""Paths that a lock may name as a result's place: never one that leads out of the root."""


@dataclass(frozen=True)
class Unfinished:
    """The two folders of one write in progress."""

    folder: Path
    """New and empty: to be filled, then renamed to the result's place."""
    aside: Path
    """Does not exist yet: the older result is moved here while the new one takes its place."""


@contextmanager
def unfinished(root: Path, place: Path | None = None) -> Iterator[Unfinished]:
    """A folder that no sweep removes while this process lives. It is removed when the block ends.

    Args:
        root: Folder of all results.
        place: The path to which the folder will be renamed. If the block ends with that place empty
            and the older result still aside, the older one goes back; if the process dies, the next
            sweep puts it back.

    Raises:
        OSError: if the root cannot be written to.
    """
    root.mkdir(parents=True, exist_ok=True)
    text = place.relative_to(root).as_posix() if place else ""
    token, lock = make_lock(root, text)
    paths = Unfinished(root / f"{_NEW}{token}", root / f"{_OLD}{token}")
    try:
        paths.folder.mkdir()
        yield paths
    finally:
        os.close(lock)
        _clear(root, token, text)


def sweep(root: Path) -> None:
    """Remove what dead processes left. An older result that one had moved aside goes back.

    A process is alive as long as it holds its lock, which the system releases when the process
    ends in any way. So neither clocks nor process ids, which may be reused, are needed. On a file
    system without locks nothing is removed.
    """
    leftover = re.compile(rf"({re.escape(_NEW)}|{re.escape(_OLD)}|{re.escape(LOCK)})(.+)")
    names = [leftover.fullmatch(entry.name) for entry in os.scandir(root)]
    for token in {name[2] for name in names if name}:
        with text_of_dead_lock(lock_path(root, token)) as place:
            if place is not None:
                _clear(root, token, place)


def _clear(root: Path, token: str, place: str) -> None:
    """Remove the files of a write. The older result goes back if its place is empty."""
    aside = root / f"{_OLD}{token}"
    if _PLACE.fullmatch(place) and aside.is_dir() and not (root / place).exists():
        with suppress(OSError):
            aside.rename(root / place)
    for path in (root / f"{_NEW}{token}", aside):
        shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        lock_path(root, token).unlink()
