"""Where huggingface_hub's own cache keeps a source, whichever program downloaded it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from saeval.registry.entries import Source

_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_offline() -> bool:
    """Whether the user forbids connections to the hub."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


@contextmanager
def offline() -> Iterator[None]:
    """While open, nothing in this process connects to the hub: only the cache is read."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def repository_cache(source: Source) -> Path:
    """The cache's folder of the source's repository."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{source.repository.replace('/', '--')}"


def snapshot(source: Source, commit: str, *, whole_repository: bool = False) -> Path:
    """Path that the source has at a commit once downloaded; or that of its whole repository."""
    root = repository_cache(source) / "snapshots" / commit
    return root if whole_repository else root / source.path


def cached_commit(source: Source, commit: str | None) -> str | None:
    """The commit at which the cache holds the source, wholly or in part; None if it does not.

    Args:
        source: The source to look for.
        commit: The commit to look at; None: the last one that the cache saw of its revision.
    """
    reference = repository_cache(source) / "refs" / (source.revision or "main")
    if commit is None and reference.is_file():
        commit = reference.read_text(encoding="utf-8", errors="replace").strip()
        if not _COMMIT.fullmatch(commit):  # cut or edited: the hub will tell
            return None
    return commit if commit and snapshot(source, commit).exists() else None
