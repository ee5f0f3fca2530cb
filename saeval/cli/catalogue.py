"""The lists of `ls`: the registry, plugins and results. No plugin is run."""

import fnmatch
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from saeval.errors import UsageError, suggestion
from saeval.registry.entries import Entry
from saeval.registry.lookup import Registry, load_registry, registry_files

Row = dict[str, Any]
"""Columns of a list, the most important first: a narrow terminal shows only the first."""


@dataclass(frozen=True)
class Places:
    """Where to look for what is listed."""

    results: Path
    """Folder of results."""
    registry_file: str | None = None
    """Registry that is read beside the usual ones."""

    @property
    def registry(self) -> Registry:
        """All that is registered.

        Raises:
            RegistryError: if a registry file cannot be read, or is malformed.
        """
        return load_registry(registry_files(self.registry_file))


def list_saes(places: Places) -> list[Row]:
    """Every registry entry."""
    return [_sae_row(entry) for entry in places.registry.entries.values()]


def list_releases(places: Places) -> list[Row]:
    """The same list, but the SAEs of a set of kind `members`, a release, share one row."""
    registry = places.registry
    releases = {
        member: group
        for group in registry.sets.values()
        if group.kind == "members"
        for member in group.members
    }
    rows: dict[str, Row] = {}
    for entry in registry.entries.values():
        group = releases.get(entry.id)
        if group is None:
            rows[entry.id] = _sae_row(entry)
        elif group.name not in rows:
            about = {"id": f"{group.name} ({len(group.members)} SAEs)", "site": None, "l0": None}
            source = entry.source.split("/")[2:4]
            rows[group.name] = {**_sae_row(entry), **about, "source": "hf://" + "/".join(source)}
    return list(rows.values())


def _sae_row(entry: Entry) -> Row:
    return {
        "id": entry.id,
        "l0": entry.expected.l0,
        "model": entry.model,
        "site": entry.site,
        "loader": entry.loader,
        "source": entry.source,
    }


def list_sets(places: Places) -> list[Row]:
    """Every named set."""
    return [
        {"name": group.name, "kind": group.kind, "saes": len(group.members), "notes": group.notes}
        for group in places.registry.sets.values()
    ]


def list_tasks(_: Places) -> list[Row]:
    """Every installed task."""
    from saeval.config.plugin_docs import describe_tasks

    return [
        {
            "name": task.plugin.name,
            "version": task.version,
            "does": task.broken or task.summary,
            "package": task.plugin.distribution,
        }
        for task in describe_tasks()
    ]


def list_loaders(_: Places) -> list[Row]:
    """Every installed loader."""
    from saeval.config.plugin_docs import describe_loaders

    return [
        {
            "name": loader.plugin.name,
            "format": loader.broken or loader.format,
            "package": loader.plugin.distribution,
        }
        for loader in describe_loaders()
    ]


def list_models(places: Places) -> list[Row]:
    """Every base model that the registry knows, and how many of its SAEs read it."""
    return models_of(places.registry)


def models_of(registry: Registry) -> list[Row]:
    """A row per base model, with the number of SAEs that read it."""
    counts = _count_readers(registry)
    listed = {model.id: asdict(model) for model in registry.models.values()}
    unlisted = {
        name: {"id": name, **_unlisted_model_fields(name)} for name in counts if name not in listed
    }
    return [
        {"id": row["id"], "saes": counts[name], **row}
        for name, row in {**listed, **unlisted}.items()
    ]


def _unlisted_model_fields(model: str) -> Row:
    """Fields of a model that no registry lists: filled for the lab's worlds, else None."""
    from saeval.lab.description import LICENCE, world_spec_of

    spec = world_spec_of(model) if model.startswith("lab://") else None
    if spec is None:
        return dict.fromkeys(("family", "layers", "d_model", "license", "notes"))
    notes = f"{spec.features} known features in {spec.d} dimensions. {spec.about}"
    return {
        "family": "synthetic", "layers": None, "d_model": spec.d, "license": LICENCE,
        "notes": notes,
    }  # fmt: skip


def registry_counts(path: Path) -> dict[str, int]:
    """How many SAEs, sets and models a registry file lists; all entries are checked.

    Raises:
        RegistryError: naming file, line and fault.
    """
    registry = load_registry([path])
    return {
        "saes": len(registry.entries),
        "sets": len(registry.sets),
        "models": len(registry.models),
    }


def _count_readers(registry: Registry) -> Counter[str]:
    return Counter(e.model.partition("@")[0] for e in registry.entries.values() if e.model)


def list_results(places: Places) -> list[Row]:
    """Every result under a folder."""
    from saeval.results.reading import read_results

    fields = ("sae", "set", "task", "seed", "status", "result_id", "reason")
    return [
        {
            **{name: getattr(result, name) for name in fields},
            "scores": sum(score.status == "scored" for score in result.scores),
            "created": result.provenance.get("created"),
            "task_version": result.task_version,
        }
        for result in read_results(places.results)
    ]


NEEDED = {"results": 6}
"""How many first columns a list shows on any terminal, however narrow; 1 for other lists."""
KINDS: Mapping[str, Callable[[Places], list[Row]]] = {
    "saes": list_saes,
    "sets": list_sets,
    "tasks": list_tasks,
    "loaders": list_loaders,
    "results": list_results,
    "models": list_models,
}


def rows_of(kind: str, pattern: str | None, places: Places) -> list[Row]:
    """Rows of one kind, of those names that contain or match a pattern.

    Args:
        kind: One of `KINDS`.
        pattern: Part of a name, or a glob; None: all.
        places: Where to look.

    Raises:
        UsageError: if there is no such kind.
    """
    if kind not in KINDS:
        raise UsageError(f"There is no list of '{kind}'.{suggestion(kind, KINDS)}")
    if places.registry_file is not None:  # a wrong one is an error also where no list needs it
        registry_files(places.registry_file)
    rows = KINDS[kind](places)
    if pattern is None:
        return rows
    return [row for row in rows if _fits_pattern(str(next(iter(row.values()))), pattern)]


def _fits_pattern(name: str, pattern: str) -> bool:
    if any(character in pattern for character in "*?["):
        return fnmatch.fnmatchcase(name, pattern)
    return pattern in name
