"""Building the lab: parts in the order of their needs, each once, resumed where it stopped."""

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from saeval.config.folders import cache_folder
from saeval.errors import UsageError, suggestion
from saeval.registry.lab_manifest import (
    MANIFEST,
    WEIGHTS,
    ManifestRow,
    is_whole,
    read_rows,
    write_rows,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildSettings:
    """Where and how a build runs."""

    weights: Path = WEIGHTS
    manifest: Path = MANIFEST
    checkpoints: Path = field(default_factory=lambda: cache_folder() / "lab-build")
    """Folder of the states from which a stopped build continues."""
    device: str = "cpu"
    share: float = 1.0
    """Share of the work to do: less than 1 makes small models, to try the builder out."""


@dataclass(frozen=True)
class Part:
    """One step of the build."""

    name: str
    """Unique; also a prefix of the names of its outputs."""
    build: Callable[[BuildSettings], Iterable[ManifestRow]]
    """Makes the outputs below `settings.weights` and describes them."""
    outputs: tuple[str, ...]
    """Names of the manifest rows it makes."""
    minutes: float
    """Expected time on two quiet cores."""
    needs: tuple[str, ...] = ()
    """Parts that must be built before it."""


def build(parts: Sequence[Part], settings: BuildSettings, only: str | None = None) -> list[str]:
    """Build all parts that are missing, each after its needs, and record each when it is done.

    Args:
        parts: All parts of the lab, each after its needs.
        settings: Where and how.
        only: Build this part (or all parts whose names begin with it and a slash) and its needs.

    Returns:
        Names of the parts that were built, in order.

    Raises:
        UsageError: if `only` names nothing.
    """
    pending = [p for p in _select_parts(parts, only) if not _is_built(p, settings)]
    minutes_left = sum(p.minutes for p in pending) * settings.share
    start = time.monotonic()
    logger.info(
        "%d of %d parts to build, about %.0f minutes", len(pending), len(parts), minutes_left
    )
    for number, part in enumerate(pending, start=1):
        logger.info("[%d/%d] %s: about %.1f min", number, len(pending), part.name, part.minutes)
        write_rows(part.build(settings), settings.manifest)
        shutil.rmtree(checkpoint_folder(part.name, settings), ignore_errors=True)
        minutes_left -= part.minutes * settings.share
        spent = (time.monotonic() - start) / 60
        logger.info("%s stands after %.1f min; about %.0f min left", part.name, spent, minutes_left)
    return [p.name for p in pending]


def checkpoint_folder(part: str, settings: BuildSettings) -> Path:
    """Folder for the state from which a stopped part continues; removed once it is built."""
    folder = settings.checkpoints / part
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _select_parts(parts: Sequence[Part], only: str | None) -> list[Part]:
    """The parts that `only` names, with all that they need."""
    if only is None:
        return list(parts)
    names = {p.name for p in parts if p.name == only or p.name.startswith(f"{only}/")}
    if not names:
        hint = suggestion(only, [p.name for p in parts])
        raise UsageError(f"The lab has no part '{only}'.{hint}")
    # Backwards, since each part comes after its needs: so needs of needs are added as well.
    for part in reversed(parts):
        if part.name in names:
            names.update(part.needs)
    return [p for p in parts if p.name in names]


def _is_built(part: Part, settings: BuildSettings) -> bool:
    """Whether all outputs exist, each with the content that the manifest has the hash of."""
    rows = read_rows(settings.manifest)
    return all(name in rows and is_whole(rows[name], settings.weights) for name in part.outputs)
