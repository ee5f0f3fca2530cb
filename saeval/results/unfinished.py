"""Folders that are being written: each has a lock, and is removed once its process is dead."""

import os
import re
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from saeval.results.folder import KEY

_NEW, _OLD, _LOCK = ".tmp-", ".old-", ".lock-"
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
    token, lock = _make_lock(root, text)
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
    leftover = re.compile(rf"({re.escape(_NEW)}|{re.escape(_OLD)}|{re.escape(_LOCK)})(.+)")
    names = [leftover.fullmatch(entry.name) for entry in os.scandir(root)]
    for token in {name[2] for name in names if name}:
        with _text_of_dead_lock(_lock_path(root, token)) as place:
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
        _lock_path(root, token).unlink()


def _lock_path(root: Path, token: str) -> Path:
    return root / f"{_LOCK}{token}"


def _make_lock(root: Path, text: str) -> tuple[str, int]:
    """A new token and the handle of its lock, which lasts until the handle is closed."""
    while True:
        token = uuid.uuid4().hex
        handle = os.open(_lock_path(root, token), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        os.write(handle, text.encode())
        with suppress(OSError):  # on a file system without locks, sweeps remove nothing
            _lock(handle, wait=True)
        if _lock_path(root, token).exists():  # no sweep came between the two steps
            return token, handle
        os.close(handle)


@contextmanager
def _text_of_dead_lock(lock: Path) -> Iterator[str | None]:
    """The text of a lock that no process holds; None if one holds it.

    No lock file means that the writer is dead: a writer creates it first and removes it last.
    """
    try:
        handle = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        yield ""
        return
    except OSError:
        yield None
        return
    try:
        _lock(handle, wait=False)
        text = os.read(handle, 4096).decode(errors="replace")
    except OSError:
        text = None
    try:
        yield text
    finally:
        os.close(handle)


if sys.platform == "win32":
    import msvcrt

    _BEYOND = 1 << 30  # locked bytes cannot be read there, so one after the text is taken

    def _lock(handle: int, *, wait: bool) -> None:
        """Lock a file until its handle is closed."""
        os.lseek(handle, _BEYOND, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(handle: int, *, wait: bool) -> None:
        """Lock a file until its handle is closed."""
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
