"""Folders that are being written: each held by a lock, cleared away once its process is dead."""

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
"""What a lock may say of where a result belongs: never a path that leads elsewhere."""


@dataclass(frozen=True)
class Unfinished:
    """What one write holds until it is done."""

    folder: Path
    """New and empty: to be filled, and renamed to its place."""
    aside: Path
    """Not there yet: where what stands in that place is moved meanwhile."""


@contextmanager
def unfinished(root: Path, place: Path | None = None) -> Iterator[Unfinished]:
    """A folder that no sweep takes while this process lives, and that goes when the block ends.

    Args:
        root: Folder of all results.
        place: Where the folder will be renamed to. If the block ends with that place empty and the
            older result still aside, it goes back there; if the process dies, at the next sweep.

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
    """Clear what dead processes left; an older result that one had moved aside goes back.

    A process is alive as long as it holds its lock, which the system drops at its end, however
    that comes. So no clock is asked, and no process id that another process may have by now. Where
    a file system has no locks, everything is left alone.
    """
    leftover = re.compile(rf"({re.escape(_NEW)}|{re.escape(_OLD)}|{re.escape(_LOCK)})(.+)")
    names = [leftover.fullmatch(entry.name) for entry in os.scandir(root)]
    for token in {name[2] for name in names if name}:
        with _text_of_dead_lock(_path(root, token)) as place:
            if place is not None:
                _clear(root, token, place)


def _clear(root: Path, token: str, place: str) -> None:
    """Remove what a write leaves. What it moved aside goes back if nothing took its place."""
    aside = root / f"{_OLD}{token}"
    if _PLACE.fullmatch(place) and aside.is_dir() and not (root / place).exists():
        with suppress(OSError):
            aside.rename(root / place)
    for path in (root / f"{_NEW}{token}", aside):
        shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        _path(root, token).unlink()


def _path(root: Path, token: str) -> Path:
    return root / f"{_LOCK}{token}"


def _make_lock(root: Path, text: str) -> tuple[str, int]:
    """A new token and the handle of its lock, which holds until the handle is closed."""
    while True:
        token = uuid.uuid4().hex
        handle = os.open(_path(root, token), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        os.write(handle, text.encode())
        with suppress(OSError):  # without locks a sweep leaves everything alone
            _lock(handle, wait=True)
        if _path(root, token).exists():  # no sweep came between the two steps
            return token, handle
        os.close(handle)


@contextmanager
def _text_of_dead_lock(lock: Path) -> Iterator[str | None]:
    """What a lock says if nobody holds it, None if somebody does.

    No file means dead: whoever writes makes it first and removes it last.
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
