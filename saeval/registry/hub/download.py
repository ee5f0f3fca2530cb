"""Files of a repository, downloaded into huggingface_hub's cache and compared with its hashes."""

import errno
import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from saeval.errors import FetchError, suggestion
from saeval.registry.entries import Source
from saeval.registry.hashes import file_sha256
from saeval.registry.hub.cache import repository_cache
from saeval.registry.hub.explain import retry_after

logger = logging.getLogger(__name__)

T = TypeVar("T")
LONGEST_WAIT_SECONDS = 60
"""Longest wait, if the hub asks to come back later."""
_ATTEMPTS = 3
_TIMEOUT_SECONDS = 10.0
"""How long the hub may take to answer the first request."""
_SPARE_BYTES = 64 << 20
"""Disk space that is left free for other programs."""


@dataclass(frozen=True)
class RemoteFile:
    """One file as the hub lists it."""

    path: str
    """Within the repository."""
    size: int
    blob: str
    """Git's SHA-1 of the file; of a large file, that of its pointer."""
    sha256: str | None
    """Hash of the content; only for large files."""

    @property
    def name(self) -> str:
        """Name of its content in the cache's folder `blobs`."""
        return self.sha256 or self.blob


def download(source: Source, commit: str | None) -> tuple[str, list[str]]:
    """Bring all files of a source into the cache.

    Args:
        source: A hub source.
        commit: Commit to download; None: the newest of the source's revision.

    Returns:
        The commit, and the paths of the files within the repository.

    Raises:
        FetchError: if the path does not exist, the disk is full, or a file arrives damaged.
        Exception: whatever huggingface_hub raises where the hub refuses or does not answer.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    with _silence_hub_log():
        commit = _resolve_commit(api, source, commit)
        files = _listing(api, source, commit)
        _check_room(source, files)
        for file in files:
            _download_file(source, commit, file)
    return commit, [file.path for file in files]


def bytes_missing(source: Source, commit: str | None) -> int:
    """Bytes that `download` would bring, by the hub's listing alone.

    Raises:
        FetchError: if the path does not exist.
        Exception: whatever huggingface_hub raises where the hub refuses or does not answer.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    with _silence_hub_log():
        return _bytes_not_cached(
            source, _listing(api, source, _resolve_commit(api, source, commit))
        )


@contextmanager
def _silence_hub_log() -> Iterator[None]:
    """While open, huggingface_hub does not log its attempts; the final error says enough."""
    library = logging.getLogger("huggingface_hub")
    before = library.level
    library.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        library.setLevel(before)


def _resolve_commit(api: Any, source: Source, commit: str | None) -> str:
    """The commit, or the newest of the source's revision, from a hub that answers.

    This request fails at once if the hub cannot be reached. Requests for listings and files would
    be repeated for half a minute.
    """
    revision = None if commit else source.revision
    info = _call_with_retries(
        lambda: api.model_info(source.repository, revision=revision, timeout=_TIMEOUT_SECONDS)
    )
    return commit or str(info.sha)


def _bytes_not_cached(source: Source, files: Iterable[RemoteFile]) -> int:
    """Total size of the files that the cache does not have."""
    blobs = repository_cache(source) / "blobs"
    return sum(file.size for file in files if not (blobs / file.name).exists())


def _call_with_retries(call: Callable[[], T]) -> T:
    """The call's result; the call is repeated after a wait that the hub asks for, if short."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return call()
        except Exception as error:
            wait = retry_after(error)
            if wait is None or wait > LONGEST_WAIT_SECONDS:
                raise
            logger.warning("The hub asks to wait %d s.", wait)
            time.sleep(wait)
    return call()


def _listing(api: Any, source: Source, commit: str) -> list[RemoteFile]:
    """Files of the source, without hidden ones."""
    items = _tree(api, source, commit, source.path, recursive=True)
    if not items and source.path:  # not a folder: perhaps a file
        parent = source.path.rpartition("/")[0]
        siblings = _tree(api, source, commit, parent, recursive=False)
        items = [item for item in siblings if item.path == source.path]
        if not items:
            near = suggestion(source.path, [item.path for item in siblings])
            raise FetchError(
                f"{source}: the repository has no '{source.path}' at commit {commit}.{near}"
            )
    files = [
        RemoteFile(item.path, item.size, item.blob_id, item.lfs.sha256 if item.lfs else None)
        for item in items
        if hasattr(item, "blob_id") and not _is_hidden(item.path, source.path)  # folders have none
    ]
    if not files:
        raise FetchError(f"{source} is an empty folder. Check the path.")
    return files


def _tree(api: Any, source: Source, commit: str, path: str, *, recursive: bool) -> list[Any]:
    """The hub's listing of a folder; empty if the folder does not exist."""
    from huggingface_hub.errors import EntryNotFoundError

    def list_tree() -> list[Any]:
        return list(
            api.list_repo_tree(
                source.repository, path or None, recursive=recursive, revision=commit
            )
        )

    try:
        return _call_with_retries(list_tree)
    except EntryNotFoundError:
        return []


def _is_hidden(path: str, base: str) -> bool:
    return any(part.startswith(".") for part in path.removeprefix(base).split("/"))


def _check_room(source: Source, files: Iterable[RemoteFile]) -> None:
    cache = repository_cache(source)
    size = _bytes_not_cached(source, files)
    # The cache's folder may not exist yet: the disk is that of the nearest parent that does.
    folder = next(path for path in (cache, *cache.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if size and free < size + _SPARE_BYTES:
        raise _disk_full(source, f"{size / 1e9:.3f} GB are needed, {free / 1e9:.3f} GB are free")


def _disk_full(source: Source, figures: str) -> FetchError:
    return FetchError(
        f"{source} does not fit the disk of '{repository_cache(source).parent}': {figures}. Make "
        "room there, or point HF_HUB_CACHE to a larger disk."
    )


def _download_file(source: Source, commit: str, file: RemoteFile) -> None:
    from huggingface_hub import hf_hub_download

    try:
        local = Path(
            _call_with_retries(
                lambda: hf_hub_download(source.repository, file.path, revision=commit)
            )
        )
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # Current versions of huggingface_hub clean up after themselves, older ones do not.
        for partial in (repository_cache(source) / "blobs").glob(f"{file.name}*.incomplete"):
            partial.unlink(missing_ok=True)
        raise _disk_full(source, "it is full, and what had arrived was removed") from error
    digest = file_sha256(local) if file.sha256 else _git_sha1(local)
    if digest != file.name:
        local.resolve().unlink(missing_ok=True)
        raise FetchError(
            f"{source}: '{file.path}' has hash {digest}, but the hub lists {file.name}. It was "
            "damaged on the way or in the cache, and was deleted. Fetch again."
        )


def _git_sha1(path: Path) -> str:
    """Git's name for a file's content. It detects damage; it is no defence against attacks."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
