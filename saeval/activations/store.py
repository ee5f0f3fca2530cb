"""A cache on disk: keyed by all inputs, written completely or not at all, checked on read."""

import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from saeval.config.folders import cache_folder
from saeval.config.locks import sweep, working_folder
from saeval.errors import UsageError
from saeval.registry.hashes import file_sha256

logger = logging.getLogger(__name__)

T = TypeVar("T")

FORMAT = 1
"""Part of every key: raised when the meaning of stored content changes."""
DEFAULT_GB = 10.0
_MANIFEST = "manifest.json"
_OUT_OF_SPACE = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)
_SPARE_BYTES = 64 << 20
"""Disk space that is left free."""
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
"""Errors that a damaged entry may lead to, whatever lies in its place."""


class CacheWriteError(Exception):
    """The cache cannot be written, which costs the cache and never a score."""


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Mark a block in which only the cache is written: its OSErrors cost the cache alone.

    What computes content stands outside of such blocks, since its errors are not the cache's.

    Raises:
        CacheWriteError: in the place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise CacheWriteError(error.strerror or str(error)) from error


class Store:
    """A folder of entries. The least recently used make room for new ones.

    Several processes may use one folder: entries appear by renaming a finished folder, and
    disappear by renaming it away, so nobody ever reads half an entry.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        quota_bytes: int | None = None,
        *,
        writable: bool = True,
    ) -> None:
        self.root = Path(root) if root is not None else cache_folder() / "activations"
        self.quota_bytes = default_quota() if quota_bytes is None else quota_bytes
        self.writable = writable
        self.lacking: dict[str, int] = {}
        """Bytes, as far as they were known, of entries that a read-only store was asked for and
        does not have."""
        self._verified: set[str] = set()
        self._has_warned = False

    def get(
        self,
        key: Mapping[str, Any],
        make: Callable[[Path], None],
        load: Callable[[Path], T],
        size: int = 0,
    ) -> T | None:
        """What `load` reads from the entry's folder, which is made first if it is missing.

        Args:
            key: All inputs the content depends on, JSON-like.
            make: Writes the content into an empty folder, within `writing`.
            load: Reads it. An error of a kind that damage leads to has the entry made again.
            size: Bytes that will be written, if known before.

        Returns:
            None if the entry cannot be kept (larger than the quota, disk full or read-only); the
            reason is logged, and the caller works without it. Also None if it is missing and this
            store is read-only.
        """
        name = digest({"format": FORMAT, **key})
        content = self._load(name, load)
        if content is not None:
            return content
        if not self.writable:
            self.lacking[name] = size
            return None
        if size > self.quota_bytes:
            logger.warning(
                "%.0f MB do not fit the cache's %.0f MB, so they are computed again for every "
                "pass. Raise SAEVAL_CACHE_GB to keep them.",
                size / 1e6,
                self.quota_bytes / 1e6,
            )
            return None
        with contextlib.ExitStack() as stack:
            try:
                with writing():
                    work = stack.enter_context(self._workspace(size))
                make(work)
                with writing():
                    self._add_entry(name, key, work)
            except CacheWriteError as error:
                self._warn_unwritable(str(error))
                return None
            except OSError as error:
                if error.errno not in _OUT_OF_SPACE:
                    raise
                self._warn_unwritable(error.strerror or str(error))
                return None
        return self._load(name, load)

    def holds(self, key: Mapping[str, Any]) -> bool:
        """Whether there is an entry under the key. Whether it is intact is checked on reading."""
        return _exists(self._folder(digest({"format": FORMAT, **key})))

    def clear(self) -> None:
        """Remove every entry."""
        for folder in self._entries():
            self._remove(folder)

    def _folder(self, name: str) -> Path:
        return self.root / "entries" / name[:2] / name

    def _load(self, name: str, load: Callable[[Path], T]) -> T | None:
        folder = self._folder(name)
        if not _exists(folder):
            return None
        try:
            self._verify(name, folder)
            content = load(folder)
        except _DAMAGE as error:
            # Another process may just have removed it; only an entry that still exists is damaged.
            if _exists(folder):
                reason = " ".join(str(error).split()) or type(error).__name__
                logger.warning("Cache entry %s is damaged (%s): computed again.", folder, reason)
                self._remove(folder)
            return None
        with contextlib.suppress(OSError):  # in a read-only cache, entries do not age
            os.utime(folder / _MANIFEST)
        return content

    def _verify(self, name: str, folder: Path) -> None:
        """Compare key, names, sizes and checksums with the manifest, once per process.

        Raises:
            ValueError: if they differ, or the manifest is none.
            OSError: if a file cannot be read.
        """
        if name in self._verified:
            return
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        key, files = _parts_of_manifest(manifest)
        if digest({"format": FORMAT, **key}) != name:
            raise ValueError("it was made from other inputs, and lies under a key not its own")
        names = {path.name for path in folder.iterdir()} - {_MANIFEST}
        if names != set(files):
            raise ValueError(f"its manifest does not name {min(names ^ set(files))} rightly")
        for file, facts in files.items():
            path = folder / file
            if [path.stat().st_size, file_sha256(path)] != facts:
                raise ValueError(f"{file} is not what was written")
        self._verified.add(name)

    @property
    def _unfinished(self) -> Path:
        return self.root / "unfinished"

    @contextlib.contextmanager
    def _workspace(self, size: int) -> Iterator[Path]:
        """A new folder to write an entry of so many bytes in, removed when the block ends."""
        self._unfinished.mkdir(parents=True, exist_ok=True)
        self._make_room(size)
        if shutil.disk_usage(self.root).free < size + _SPARE_BYTES:
            raise OSError(errno.ENOSPC, "the disk is full")
        with working_folder(self._unfinished) as work:
            yield work

    def _add_entry(self, name: str, key: Mapping[str, Any], work: Path) -> None:
        """Make a written folder an entry, unless it is larger than the quota."""
        files = {
            path.name: (path.stat().st_size, file_sha256(path)) for path in sorted(work.iterdir())
        }
        if sum(length for length, _ in files.values()) > self.quota_bytes:
            return
        manifest = {"key": key, "files": files}
        (work / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        folder = self._folder(name)
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            work.rename(folder)
            self._verified.add(name)
        except OSError:
            if not _exists(folder):
                raise
            # Another process was faster: its entry stays.
        with contextlib.suppress(OSError):
            self._make_room(0)

    def _warn_unwritable(self, reason: str) -> None:
        """Say once why nothing is kept."""
        if self._has_warned:
            return
        self._has_warned = True
        logger.warning(
            "The cache %s cannot be written (%s), so what it would hold is computed again for "
            "every pass. Point SAEVAL_CACHE to a folder with room.",
            self.root,
            reason,
        )

    def _make_room(self, size: int) -> None:
        """Remove the least recently used entries until so many bytes fit the quota."""
        entries = sorted(self._entries(), key=_last_use)
        sizes = {folder: _size(folder) for folder in entries}
        excess = sum(sizes.values()) + size - self.quota_bytes
        for folder in entries[: None if size else -1]:
            if excess <= 0:
                break
            self._remove(folder)
            excess -= sizes[folder]
        with contextlib.suppress(OSError):  # no such folder, or none that may be listed
            sweep(self._unfinished)

    def _entries(self) -> list[Path]:
        return list((self.root / "entries").glob("??/*"))

    def _remove(self, folder: Path) -> None:
        self._verified.discard(folder.name)
        # It fails where another process was faster.
        with contextlib.suppress(OSError), working_folder(self._unfinished) as trash:
            folder.rename(trash / folder.name)


def digest(key: Mapping[str, Any]) -> str:
    """sha256 of a key's canonical JSON.

    Raises:
        TypeError: if the key holds what is not JSON.
        ValueError: if it holds NaN or infinity.
    """
    text = json.dumps(key, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def default_quota() -> int:
    """Bytes the cache may hold: `$SAEVAL_CACHE_GB` (10^9 bytes each), else 10 GB.

    Raises:
        UsageError: if the variable is no number above or equal to 0.
    """
    text = os.environ.get("SAEVAL_CACHE_GB", str(DEFAULT_GB))
    try:
        gigabytes = float(text)
    except ValueError:
        gigabytes = -1.0
    if not 0 <= gigabytes < float("inf"):
        raise UsageError(f"SAEVAL_CACHE_GB is '{text}'; give a number of gigabytes, such as 10.")
    return int(gigabytes * 1e9)


def _parts_of_manifest(manifest: Any) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """The key of an entry, and size and sha256 of each of its files.

    Raises:
        ValueError: if a manifest has any other form.
    """
    if isinstance(manifest, dict):
        key, files = manifest.get("key"), manifest.get("files")
        if isinstance(key, dict) and isinstance(files, dict):
            return key, files
    raise ValueError("its manifest has another form than a manifest's")


def _exists(path: Path) -> bool:
    """Whether there is a path that may be looked at."""
    try:
        return path.exists()
    except OSError:
        return False


def _last_use(folder: Path) -> float:
    return _modified_at(folder / _MANIFEST)


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.iterdir())
    except OSError:
        return 0
