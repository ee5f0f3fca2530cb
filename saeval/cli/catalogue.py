"""What `ls` and `describe` show: the registry, plugins and results, read without running them."""

import fnmatch
import json
import struct
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from saeval.errors import UsageError, suggestion
from saeval.registry.entries import Entry
from saeval.registry.lookup import Registry, load_registry
from saeval.registry.model_names import RENAMED, canonical_name

Row = dict[str, Any]
"""Columns of a list, from the most important to the least: a narrow terminal shows the first."""
_LINE = 74
"""Characters of a line of running text: with its indent it fits 80 columns."""


def list_saes(_: Path) -> list[Row]:
    """Every registry entry."""
    return [_sae_row(entry) for entry in load_registry().entries.values()]


def list_releases() -> list[Row]:
    """The same, a release of many SAEs in one line: one that a set of kind `members` holds."""
    registry = load_registry()
    releases = {
        member: group
        for group in registry.sets.values()
        if group.kind == "members"
        for member in group.members
    }
    shown: dict[str, Row] = {}
    for entry in registry.entries.values():
        group = releases.get(entry.id)
        if group is None:
            shown[entry.id] = _sae_row(entry)
        elif group.name not in shown:
            about = {"id": f"{group.name} ({len(group.members)} SAEs)", "site": None, "l0": None}
            source = entry.source.split("/")[2:4]
            shown[group.name] = {**_sae_row(entry), **about, "source": "hf://" + "/".join(source)}
    return list(shown.values())


def _sae_row(entry: Entry) -> Row:
    return {
        "id": entry.id,
        "l0": entry.expected.l0,
        "model": entry.model,
        "site": entry.site,
        "loader": entry.loader,
        "source": entry.source,
    }


def list_sets(_: Path) -> list[Row]:
    """Every named set."""
    return [
        {"name": group.name, "kind": group.kind, "saes": len(group.members), "notes": group.notes}
        for group in load_registry().sets.values()
    ]


def list_tasks(_: Path) -> list[Row]:
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


def list_loaders(_: Path) -> list[Row]:
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


def list_models(_: Path) -> list[Row]:
    """Every base model that the registry knows, and how many of its SAEs read it."""
    return _models(load_registry())


def _models(registry: Registry) -> list[Row]:
    counts = _readers(registry)
    known = {model.id: asdict(model) for model in registry.models.values()}
    unlisted = {name: {"id": name, **_unlisted(name)} for name in counts if name not in known}
    return [
        {"id": row["id"], "saes": counts[name], **row}
        for name, row in {**known, **unlisted}.items()
    ]


def _unlisted(model: str) -> Row:
    """What is known of a model that no registry lists: of the lab's worlds much, else nothing."""
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
    """How many SAEs, sets and models a registry file lists, all well formed.

    Raises:
        RegistryError: naming file, line and fault.
    """
    found = load_registry([path])
    return {"saes": len(found.entries), "sets": len(found.sets), "models": len(found.models)}


def _readers(registry: Registry) -> Counter[str]:
    return Counter(e.model.partition("@")[0] for e in registry.entries.values() if e.model)


def list_results(root: Path) -> list[Row]:
    """Every result under a folder."""
    from saeval.results.reading import read_results

    shown = ("sae", "set", "task", "seed", "status", "result_id", "reason")
    return [
        {
            **{name: getattr(result, name) for name in shown},
            "scores": sum(score.status == "scored" for score in result.scores),
            "created": result.provenance.get("created"),
            "task_version": result.task_version,
        }
        for result in read_results(root)
    ]


NEEDED = {"results": 6}
"""First columns of a list that a table of it shows on any terminal; else the first alone."""
KINDS: Mapping[str, Callable[[Path], list[Row]]] = {
    "saes": list_saes,
    "sets": list_sets,
    "tasks": list_tasks,
    "loaders": list_loaders,
    "results": list_results,
    "models": list_models,
}


def rows_of(kind: str, pattern: str | None, root: Path) -> list[Row]:
    """Rows of a kind, those whose name holds or matches a pattern.

    Args:
        kind: One of `KINDS`.
        pattern: Part of a name, or a glob; None: all.
        root: Folder of results.

    Raises:
        UsageError: if there is no such kind.
    """
    if kind not in KINDS:
        raise UsageError(f"There is no list of '{kind}'.{suggestion(kind, KINDS)}")
    rows = KINDS[kind](root)
    if pattern is None:
        return rows
    return [row for row in rows if _matches(str(next(iter(row.values()))), pattern)]


def _matches(name: str, pattern: str) -> bool:
    if any(character in pattern for character in "*?["):
        return fnmatch.fnmatchcase(name, pattern)
    return pattern in name


def describe(name: str) -> list[Row]:
    """All that is known under a name: SAE, set, model, task, metric, loader, folder, part of ids.

    Raises:
        UsageError: if nothing is; the nearest names are offered.
    """
    if not name.strip():
        raise UsageError("Nothing to describe: give a name. `saeval ls saes` and others list all.")
    registry = load_registry()
    found = [*_listed(name, registry), *_plugins(name), *_metrics(name)]
    if not found and Path(name).is_dir():
        found.append({"folder": name, **_folder(Path(name))})
    found = found or _in_the_lab(name) or _below(name, registry)
    if not found:
        near = suggestion(name, _all_names(registry))
        raise UsageError(f"Nothing is called '{name}'.{near} `saeval ls saes` and others list all.")
    return found


def _listed(name: str, registry: Registry) -> list[Row]:
    """The SAE, the set and the model of that name, as registries list them."""
    found: list[Row] = []
    if entry := registry.entries.get(name):
        found.append({"SAE": name, **_entry(entry, registry)})
    if group := registry.sets.get(name):
        found.append(
            {"set": name, **_without(asdict(group), "name", "file"), "listed_in": str(group.file)}
        )
    model = canonical_name(name)
    models = {row["id"]: row for row in _models(registry)} if "/" in model else {}
    if model in models:
        found.append({"model": model, **_without(models[model], "id"), **_from_the_lab(model)})
    return found


def _entry(entry: Entry, registry: Registry) -> Row:
    row = _without(asdict(entry), "id", "file")
    sets = [group.name for group in registry.sets.values() if entry.id in group.members]
    listed = {"expected": asdict(entry.expected), "sets": sets, "listed_in": str(entry.file)}
    return {**row, **listed, **_from_the_lab(entry.source)}


def _from_the_lab(source: str) -> Row:
    """How what lies in the lab was made, and how good it was found."""
    if not source.startswith("lab://"):
        return {}
    from saeval.lab.description import row_record

    return _without(row_record(source.removeprefix("lab://")), "about", "licence", "sha256")


def _in_the_lab(name: str) -> list[Row]:
    """A part of the lab, or one model of it by its short name."""
    from saeval.lab.description import part_record, row_record

    where, _, inner = name.rstrip("/").replace("lab://", "lab/", 1).partition("/")
    if where != "lab" or not inner:
        return []
    record = part_record(inner) or row_record(inner)
    return [{"lab": f"lab/{inner}", **record}] if record else []


def _plugins(name: str) -> list[Row]:
    """The task and the loader of that name, which has no slash."""
    if "/" in name:
        return []
    from saeval.config.plugin_docs import describe_loaders, describe_tasks

    tasks = [{"task": name, **_plugin(one)} for one in describe_tasks(name)]
    return [*tasks, *({"loader": name, **_plugin(one)} for one in describe_loaders(name))]


def _metrics(name: str) -> list[Row]:
    """The metrics of that name; those that fit a glob, task by task."""
    if "/" in name:
        return []
    from saeval.config.metric_docs import find_metrics, row_of_metric, rows_of_metrics

    found = find_metrics(name)
    if not any(character in name for character in "*?["):
        return [row_of_metric(metric) for metric in found]
    return [
        {"task": task, "metrics": rows_of_metrics([each for each in found if each.task == task])}
        for task in dict.fromkeys(metric.task for metric in found)
    ]


def readable(record: Row) -> Row:
    """A record for people: metrics one below the other, and long texts in lines."""
    shown = {}
    for key, value in record.items():
        if key == "metrics" and value:
            shown[key] = "\n".join(line for metric in value for line in _metric_lines(metric))
        elif isinstance(value, str) and len(value) > _LINE and "\n" not in value:
            shown[key] = "\n".join(textwrap.wrap(value, _LINE))
        else:
            shown[key] = value
    return shown


def _metric_lines(metric: Row) -> Iterator[str]:
    directions = {"higher": "higher is better", "lower": "lower is better", "none": "no direction"}
    about = [metric["unit"], directions.get(metric["better"], metric["better"])]
    about += [f"{name} {metric[name]}" for name in ("floor", "ceiling") if metric[name] is not None]
    about += [metric["where"]] if metric["where"] else []
    yield metric["name"]
    yield from textwrap.wrap(", ".join(about), _LINE, initial_indent="  ", subsequent_indent="  ")
    formula = metric["formula"]
    yield from textwrap.wrap(formula, _LINE, initial_indent="    ", subsequent_indent="    ")


def _plugin(one: Any) -> Row:
    from saeval.config.metric_docs import rows_of_metrics

    return {
        "version": one.version,
        "format": one.format,
        "does": one.broken or one.doc,
        "metrics": rows_of_metrics(one.metrics),
        "fields": [asdict(item) for item in one.fields],
        "package": one.plugin.distribution,
        "defined_in": one.plugin.target,
    }


def _all_names(registry: Registry) -> Iterator[str]:
    """Whatever `describe` knows, by name."""
    from saeval.config.metric_docs import metric_names
    from saeval.config.plugins import LOADERS, TASKS, find
    from saeval.lab.description import part_names

    yield from (*registry.entries, *registry.sets, *registry.models, *RENAMED)
    yield from (f"lab/{part}" for part in part_names())
    yield from (*find(TASKS), *find(LOADERS), *metric_names())


def _below(name: str, registry: Registry) -> list[Row]:
    """Ids and sets under a common beginning, such as `saebench/pythia-160m`."""
    start = name.rstrip("/") + "/"
    members = [one for one in registry.entries if one.startswith(start)]
    sets = [one for one in registry.sets if one.startswith(start)]
    if not members and not sets:
        return []
    entries = [registry.entries[one] for one in members]
    return [
        {
            "all of": name,
            "models": sorted({entry.model for entry in entries if entry.model}),
            "sites": sorted({entry.site for entry in entries if entry.site}),
            "sets": sets,
            "saes": members,
        }
    ]


def _folder(folder: Path) -> Row:
    """Files of a folder, and what the headers of safetensors say. Nothing is loaded."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    tensors = [
        {"file": path.name, "tensor": name, "holds": holds}
        for path in files
        if path.suffix == ".safetensors"
        for name, holds in _header(path).items()
    ]
    sizes = [{"file": path.name, "bytes": path.stat().st_size} for path in files]
    return {
        "files": sizes,
        "tensors": tensors,
        "next": f"`saeval validate {folder}` loads and checks it",
    }


def _header(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if not 0 < length <= path.stat().st_size - 8:
            return {"damaged": "its header is cut off"}
        try:
            tensors = json.loads(file.read(length))
        except ValueError:
            return {"damaged": "its header is no JSON"}
    return {
        name: f"{about.get('dtype')} {about.get('shape')}"
        for name, about in tensors.items()
        if name != "__metadata__"
    }


def _without(row: Row, *names: str) -> Row:
    return {key: value for key, value in row.items() if key not in names}
