"""A folder of a Hugging Face repository: downloaded whole, verified, and from then on unchanged.

If a registry gives no hash, the commit and hash of the first fetch are pinned. Later fetches give
the same bytes, without asking the hub, or fail.
"""

import logging
import re
from pathlib import Path

from saeval.errors import FetchError
from saeval.registry.entries import Source
from saeval.registry.hashes import content_sha256
from saeval.registry.hub.cache import cached_commit, is_offline, repository_cache, snapshot
from saeval.registry.hub.download import bytes_missing, download
from saeval.registry.hub.explain import error_line, is_unreachable, user_error
from saeval.registry.hub.pins import Pin, new_pin, pin_path, read_pin, write_pin

__all__ = ["Pin", "bytes_to_fetch", "fetch_hub", "pin_path", "read_pin"]

logger = logging.getLogger(__name__)

_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch_hub(source: Source, sha256: str | None = None) -> Path:
    """Local path of a hub source: from the cache if its hash is right there, else downloaded.

    Raises:
        FetchError: saying what failed, why, and what to do.
    """
    pin = read_pin(source)
    commit = _fixed_commit(source, pin)
    expected = sha256 or (pin.sha256 if pin else None)
    if (local_commit := cached_commit(source, commit)) and expected:
        path = snapshot(source, local_commit)
        digest = content_sha256(path)
        if digest == expected:
            return path
        # If files of the pin are missing, the hash says nothing yet: they are downloaded below.
        if pin and pin.commit == local_commit and _has_all_files(source, pin):
            raise _mismatch(source, path, digest, expected)
    if is_offline():
        return _from_cache(source, commit, expected, "HF_HUB_OFFLINE is set")
    try:
        commit, files = download(source, commit)
    except Exception as error:
        # Which library's errors arrive depends on the version of huggingface_hub.
        if is_unreachable(error) and cached_commit(source, commit):
            return _from_cache(source, commit, expected, f"the hub gave {error_line(error)}")
        raise user_error(source, commit, error) from error
    path = snapshot(source, commit)
    digest = content_sha256(path)
    if expected and digest != expected:
        raise _mismatch(source, path, digest, expected)
    if expected is None:
        write_pin(source, new_pin(source, commit, digest, files))
    return path


def bytes_to_fetch(source: Source, sha256: str | None = None) -> int | None:
    """Bytes that `fetch_hub` would download now; 0 if none, None if only the hub could tell.

    Nothing is downloaded: the hub is asked for its listing.

    Raises:
        FetchError: if the hub refuses, or has no such path.
    """
    pin = read_pin(source)
    commit = _fixed_commit(source, pin)
    expected = sha256 or (pin.sha256 if pin else None)
    local_commit = cached_commit(source, commit)
    if local_commit and expected and content_sha256(snapshot(source, local_commit)) == expected:
        return 0
    # Files of unknown hash in the cache are used as they are when the hub does not answer.
    without_hub = 0 if local_commit and not expected else None
    if is_offline():
        return without_hub
    try:
        return bytes_missing(source, commit)
    except Exception as error:
        if is_unreachable(error):
            return without_hub
        raise user_error(source, commit, error) from error


def _fixed_commit(source: Source, pin: Pin | None) -> str | None:
    if source.revision and _COMMIT.fullmatch(source.revision):
        return source.revision
    return pin.commit if pin else None


def _has_all_files(source: Source, pin: Pin) -> bool:
    root = snapshot(source, pin.commit, whole_repository=True)
    return all((root / file).exists() for file in pin.files)


def _from_cache(source: Source, commit: str | None, expected: str | None, reason: str) -> Path:
    """The cached files, without the hub. Not pinned, since files of the folder may be missing."""
    local_commit = cached_commit(source, commit)
    if local_commit is None:
        raise FetchError(
            f"{source} is not in the cache, and {reason}. Fetch it once with a connection, or copy "
            f"'{repository_cache(source)}' from a machine that has it."
        )
    path = snapshot(source, local_commit)
    digest = content_sha256(path) if expected else None
    if expected and digest != expected:
        raise _mismatch(source, path, digest, expected)
    logger.warning("%s: taken from the cache as it is, since %s.", source, reason)
    return path


def _mismatch(source: Source, path: Path, digest: str | None, expected: str) -> FetchError:
    return FetchError(
        f"{source} has another content than expected: sha256 {digest}, not {expected}. Its files "
        f"were not used; they lie in '{path}'. Either they were damaged or changed (delete that "
        "folder and fetch again), or the hash in the registry, or in the pin "
        f"'{pin_path(source)}', belongs to another revision (correct or delete it)."
    )
