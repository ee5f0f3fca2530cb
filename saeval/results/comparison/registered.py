"""What registries say of the SAEs of a comparison: their sets, and what names stand for."""

import fnmatch
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from saeval.errors import UsageError
from saeval.registry.entries import Entry
from saeval.registry.lookup import Registry, load_registry, registry_files, resolve
from saeval.results.comparison.kin import Kin
from saeval.results.comparison.pool import Pool


@dataclass(frozen=True)
class Listed:
    """Names that registries, or folders, give."""

    known: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """A name as typed -> labels of the SAEs that it stands for."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Label of an SAE -> how a run is told of it."""


def kin_of(pool: Pool, registry: Registry, seed_sets: Collection[str] = ()) -> Kin:
    """Which SAEs of a pool belong together, by registries and by their own names.

    Args:
        pool: The results.
        registry: All that is listed.
        seed_sets: Further sets of the results whose members differ in their training seed alone.
    """
    kinds: dict[str, dict[str, Sequence[str]]] = {}
    for name, group in registry.sets.items():
        kinds.setdefault(group.kind, {})[name] = group.members
    seeds = kinds.get("seeds", {}) | {
        name: pool.sets[name] for name in seed_sets if name in pool.sets
    }
    return Kin(pool, seeds, kinds.get("sparsities", {}), kinds.get("checkpoints", {}))


def all_listed(registry_file: str | Path | None = None) -> Registry:
    """All that registries list, with those of the user."""
    return load_registry(registry_files(registry_file))


def listed(names: Sequence[str], pool: Pool, registry: Registry, *, everything: bool) -> Listed:
    """What names stand for that the results alone do not tell.

    Args:
        names: As typed.
        pool: The results.
        registry: All that is listed.
        everything: Whether a glob means all SAEs that registries list, scored or not.
    """
    known: dict[str, Sequence[str]] = {}
    sources: dict[str, str] = {}
    for name in names:
        if name in pool.labels or (fnmatch.filter(pool.labels, name) and not everything):
            continue
        try:
            members = resolve(name, registry).members
        except UsageError:
            continue
        labels = [each.id if isinstance(each, Entry) else each.name for each in members]
        known[name] = labels
        for label, member in zip(labels, members, strict=True):
            of_one = name if len(members) == 1 else member.source
            sources[label] = label if isinstance(member, Entry) else of_one
    return Listed(known, sources)
