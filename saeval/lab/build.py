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
class Site:
    """Where and how a build runs."""

    weights: Path = WEIGHTS
    manifest: Path = MANIFEST
    checkpoints: Path = field(default_factory=lambda: cache_folder() / "lab-build")
    """What a stopped build goes on from."""
    device: str = "cpu"
    share: float = 1.0
    """Share of the work: less than 1 makes a toy, for trying the builder out."""


@dataclass(frozen=True)
class Part:
    """One step of the build."""

    name: str
    """Unique; also a prefix of the names of its outputs."""
    build: Callable[[Site], Iterable[ManifestRow]]
    """Makes the outputs below `site.weights` and describes them."""
    outputs: tuple[str, ...]
    """Names of the manifest rows it makes."""
    minutes: float
    """Expected time on two quiet cores."""
    needs: tuple[str, ...] = ()
    """Parts that must stand before it."""


def build(parts: Sequence[Part], site: Site, only: str | None = None) -> list[str]:
    """Build all parts that are not there yet, needs first, and record each as it is done.

    Args:
        parts: All parts of the lab, each after its needs.
        site: Where and how.
        only: Build this part (or all parts whose names begin with it and a slash) and its needs.

    Returns:
        Names of the parts that were built, in order.

    Raises:
        UsageError: if `only` names nothing.
    """
    wanted = [p for p in _wanted(parts, only) if not _stands(p, site)]
    left = sum(p.minutes for p in wanted) * site.share
    began = time.monotonic()
    logger.info("%d of %d parts to build, about %.0f minutes", len(wanted), len(parts), left)
    for number, part in enumerate(wanted, start=1):
        logger.info("[%d/%d] %s: about %.1f min", number, len(wanted), part.name, part.minutes)
        write_rows(part.build(site), site.manifest)
        shutil.rmtree(checkpoint_folder(part.name, site), ignore_errors=True)
        left -= part.minutes * site.share
        spent = (time.monotonic() - began) / 60
        logger.info("%s stands after %.1f min; about %.0f min left", part.name, spent, left)
    return [p.name for p in wanted]


def checkpoint_folder(part: str, site: Site) -> Path:
    """Folder in which a part may keep what it needs to go on after a stop; gone once it stands."""
    folder = site.checkpoints / part
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _wanted(parts: Sequence[Part], only: str | None) -> list[Part]:
    """The parts asked for with all that they need."""
    if only is None:
        return list(parts)
    chosen = {p.name for p in parts if p.name == only or p.name.startswith(f"{only}/")}
    if not chosen:
        near = suggestion(only, [p.name for p in parts])
        raise UsageError(f"The lab has no part '{only}'.{near}")
    for part in reversed(parts):
        if part.name in chosen:
            chosen.update(part.needs)
    return [p for p in parts if p.name in chosen]


def _stands(part: Part, site: Site) -> bool:
    """Whether all outputs are there as the manifest has them."""
    rows = read_rows(site.manifest)
    return all(name in rows and is_whole(rows[name], site.weights) for name in part.outputs)
