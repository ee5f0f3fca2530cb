"""Locks on files, by which other processes see whether the one that writes a folder is alive.

The system releases a lock when its process ends in any way, so that neither clocks nor process ids,
which may be reused, are needed.
"""

import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = ".lock-"
"""Begins the name of a lock; its token follows."""


def lock_path(root: Path, token: str) -> Path:
    """The lock of a token, which lies in the folder of what is written."""
    return root / f"{LOCK}{token}"


@contextmanager
def working_folder(root: Path) -> Iterator[Path]:
    """A new folder below an existing one, that no sweep removes while this process lives.

    It is removed when the block ends, unless it was renamed.

    Raises:
        OSError: if the folder cannot be made.
    """
    token, lock = make_lock(root, "")
    folder = root / token
    try:
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        with suppress(OSError):
            lock_path(root, token).unlink()


def sweep(root: Path) -> None:
    """Remove all that dead processes left below a folder in which nothing else is written.

    On a file system without locks nothing is removed.
    """
    for token in {entry.name.removeprefix(LOCK) for entry in os.scandir(root)}:
        with text_of_dead_lock(lock_path(root, token)) as text:
            if text is not None:
                shutil.rmtree(root / token, ignore_errors=True)
                with suppress(OSError):
                    lock_path(root, token).unlink()


def make_lock(root: Path, text: str) -> tuple[str, int]:
    """A new token and the handle of its lock, which lasts until the handle is closed."""
    while True:
        token = uuid.uuid4().hex
        handle = os.open(lock_path(root, token), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        os.write(handle, text.encode())
        with suppress(OSError):  # on a file system without locks, sweeps remove nothing
            _lock(handle, wait=True)
        if lock_path(root, token).exists():  # no sweep came between the two steps
            return token, handle
        os.close(handle)


@contextmanager
def text_of_dead_lock(lock: Path) -> Iterator[str | None]:
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
