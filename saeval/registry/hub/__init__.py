"""A folder of a Hugging Face repository, downloaded whole, verified, and the same ever after.

Where a registry gives no hash, the commit and hash of the first fetch are pinned; later fetches
give the same bytes, without asking the hub, or fail.
"""

import logging
import re
from pathlib import Path

from saeval.errors import FetchError
from saeval.registry.entries import Source
from saeval.registry.hashes import content_sha256
from saeval.registry.hub.cache import cached_commit, is_offline, repository_cache, snapshot
from saeval.registry.hub.download import bytes_missing, download
from saeval.registry.hub.explain import explained, in_a_line, is_unreachable
from saeval.registry.hub.pins import Pin, new_pin, pin_path, read_pin, write_pin

__all__ = ["Pin", "bytes_to_fetch", "fetch_hub", "pin_path", "read_pin"]

logger = logging.getLogger(__name__)

_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch_hub(source: Source, sha256: str | None = None) -> Path:
    """Local path of a hub source: from the cache where that is verified, else downloaded.

    Raises:
        FetchError: saying what failed, why, and what to do.
    """
    pin = read_pin(source)
    commit = _known_commit(source, pin)
    wanted = sha256 or (pin.sha256 if pin else None)
    if (held := cached_commit(source, commit)) and wanted:
        path = snapshot(source, held)
        found = content_sha256(path)
        if found == wanted:
            return path
        if pin and pin.commit == held and _is_whole(source, pin):
            raise _differs(source, path, found, wanted)
    if is_offline():
        return _from_cache(source, commit, wanted, "HF_HUB_OFFLINE is set")
    try:
        commit, files = download(source, commit)
    except Exception as error:
        # Which library's errors arrive depends on the version of huggingface_hub.
        if is_unreachable(error) and cached_commit(source, commit):
            return _from_cache(source, commit, wanted, f"the hub gave {in_a_line(error)}")
        raise explained(source, commit, error) from error
    path = snapshot(source, commit)
    found = content_sha256(path)
    if wanted and found != wanted:
        raise _differs(source, path, found, wanted)
    if wanted is None:
        write_pin(source, new_pin(source, commit, found, files))
    return path


def bytes_to_fetch(source: Source, sha256: str | None = None) -> int | None:
    """Bytes that `fetch_hub` would download now; 0 if none, None where only the hub could tell.

    Nothing is downloaded: the hub is asked for its listing.

    Raises:
        FetchError: if the hub refuses, or has no such path.
    """
    pin = read_pin(source)
    commit = _known_commit(source, pin)
    wanted = sha256 or (pin.sha256 if pin else None)
    held = cached_commit(source, commit)
    if held and wanted and content_sha256(snapshot(source, held)) == wanted:
        return 0
    without_hub = 0 if held and not wanted else None
    if is_offline():
        return without_hub
    try:
        return bytes_missing(source, commit)
    except Exception as error:
        if is_unreachable(error):
            return without_hub
        raise explained(source, commit, error) from error


def _known_commit(source: Source, pin: Pin | None) -> str | None:
    if source.revision and _COMMIT.fullmatch(source.revision):
        return source.revision
    return pin.commit if pin else None


def _is_whole(source: Source, pin: Pin) -> bool:
    root = snapshot(source, pin.commit, whole_repository=True)
    return all((root / file).exists() for file in pin.files)


def _from_cache(source: Source, commit: str | None, wanted: str | None, why: str) -> Path:
    """What is there without the hub. Not pinned, since it may be only part of the folder."""
    held = cached_commit(source, commit)
    if held is None:
        raise FetchError(
            f"{source} is not in the cache, and {why}. Fetch it once with a connection, or copy "
            f"'{repository_cache(source)}' from a machine that has it."
        )
    path = snapshot(source, held)
    found = content_sha256(path) if wanted else None
    if wanted and found != wanted:
        raise _differs(source, path, found, wanted)
    logger.warning("%s: taken from the cache as it is, since %s.", source, why)
    return path


def _differs(source: Source, path: Path, found: str | None, wanted: str) -> FetchError:
    return FetchError(
        f"{source} has another content than expected: sha256 {found}, not {wanted}. Its files were "
        f"not used; they lie in '{path}'. Either they were damaged or changed (delete that folder "
        f"and fetch again), or the hash in the registry, or in the pin '{pin_path(source)}', "
        "belongs to another revision (correct or delete it)."
    )
