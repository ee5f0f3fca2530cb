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
            make: Writes the content into an empty folder.
            load: Reads it. An OSError or ValueError means a damaged entry, which is made again.
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
                work = stack.enter_context(self._workspace(size))
            except OSError as error:
                self._warn_unwritable(error)
                return None
            try:
                make(work)
                self._add_entry(name, key, work)
            except OSError as error:
                if error.errno not in _OUT_OF_SPACE:
                    raise
                self._warn_unwritable(error)
                return None
        return self._load(name, load)

    def holds(self, key: Mapping[str, Any]) -> bool:
        """Whether there is an entry under the key. Whether it is intact is checked on reading."""
        return self._folder(digest({"format": FORMAT, **key})).exists()

    def clear(self) -> None:
        """Remove every entry."""
        for folder in self._entries():
            self._remove(folder)

    def _folder(self, name: str) -> Path:
        return self.root / "entries" / name[:2] / name

    def _load(self, name: str, load: Callable[[Path], T]) -> T | None:
        folder = self._folder(name)
        if not folder.exists():
            return None
        try:
            self._verify(name, folder)
            content = load(folder)
        except (OSError, ValueError, KeyError) as error:
            # Another process may just have removed it; only an entry that still exists is damaged.
            if folder.exists():
                logger.warning("Cache entry %s is damaged (%s): computed again.", folder, error)
                self._remove(folder)
            return None
        with contextlib.suppress(OSError):  # in a read-only cache, entries do not age
            os.utime(folder / _MANIFEST)
        return content

    def _verify(self, name: str, folder: Path) -> None:
        """Compare sizes and checksums with the manifest, once per process.

        Raises:
            ValueError: if they differ.
        """
        if name in self._verified:
            return
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        for file, (size, checksum) in manifest["files"].items():
            path = folder / file
            if path.stat().st_size != size or file_sha256(path) != checksum:
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
        # Renaming fails where another process was faster: then its entry stays.
        with contextlib.suppress(OSError):
            work.rename(folder)
            self._verified.add(name)
        self._make_room(0)

    def _warn_unwritable(self, error: OSError) -> None:
        logger.warning(
            "The cache %s cannot be written (%s), so what it would hold is computed again for "
            "every pass. Point SAEVAL_CACHE to a folder with room.",
            self.root,
            error.strerror or error,
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
        if self._unfinished.is_dir():
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
