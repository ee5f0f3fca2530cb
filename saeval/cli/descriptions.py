"""What `describe` shows of a name: registry entries, plugins, metrics and files. None is run."""

import json
import struct
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from saeval.cli.catalogue import Row, models_of
from saeval.errors import UsageError, suggestion
from saeval.registry.entries import Entry
from saeval.registry.lookup import Registry, load_registry
from saeval.registry.model_names import RENAMED, canonical_name

_LINE = 74
"""Characters of a line of running text: with its indent it fits 80 columns."""
RANDOM_SAE = "what a random SAE of equal width and L0 scores"
"""`saeval.evidence.NULL_SAE`; importing that would load numpy, and `describe` is to be quick."""


def find_records(name: str) -> list[Row]:
    """All records under a name: of an SAE, set, model, task, metric, loader, folder or id prefix.

    Raises:
        UsageError: if there is none; the nearest names are offered.
    """
    if not name.strip():
        raise UsageError("Nothing to describe: give a name. `saeval ls saes` and others list all.")
    registry = load_registry()
    records = [*_registry_records(name, registry), *_plugin_records(name), *_metric_records(name)]
    if not records and Path(name).is_dir():
        records.append({"folder": name, **_folder_record(Path(name))})
    records = records or _lab_records(name) or _records_below(name, registry)
    if not records:
        near = suggestion(name, _all_names(registry))
        raise UsageError(f"Nothing is called '{name}'.{near} `saeval ls saes` and others list all.")
    return records


def _registry_records(name: str, registry: Registry) -> list[Row]:
    """The SAE, the set and the model of that name, as registries list them."""
    records: list[Row] = []
    if entry := registry.entries.get(name):
        records.append({"SAE": name, **_entry_fields(entry, registry)})
    if group := registry.sets.get(name):
        records.append(
            {
                "set": name,
                **_drop_fields(asdict(group), "name", "file"),
                "listed_in": str(group.file),
            }
        )
    model = canonical_name(name)
    models = {row["id"]: row for row in models_of(registry)} if "/" in model else {}
    if model in models:
        records.append({"model": model, **_drop_fields(models[model], "id"), **_lab_fields(model)})
    return records


def _entry_fields(entry: Entry, registry: Registry) -> Row:
    row = _drop_fields(asdict(entry), "id", "file")
    sets = [group.name for group in registry.sets.values() if entry.id in group.members]
    context = {"expected": asdict(entry.expected), "sets": sets, "listed_in": str(entry.file)}
    return {**row, **context, **_lab_fields(entry.source)}


def _lab_fields(source: str) -> Row:
    """For an SAE or model of the lab: how it was made, and how well it scores."""
    if not source.startswith("lab://"):
        return {}
    from saeval.lab.description import row_record

    return _drop_fields(row_record(source.removeprefix("lab://")), "about", "licence", "sha256")


def _lab_records(name: str) -> list[Row]:
    """A part of the lab, or one model of it by its short name."""
    from saeval.lab.description import part_record, row_record

    room, _, inner = name.rstrip("/").replace("lab://", "lab/", 1).partition("/")
    if room != "lab" or not inner:
        return []
    record = part_record(inner) or row_record(inner)
    return [{"lab": f"lab/{inner}", **record}] if record else []


def _plugin_records(name: str) -> list[Row]:
    """The task and the loader of that name; no plugin has a slash in its name."""
    if "/" in name:
        return []
    from saeval.config.plugin_docs import describe_loaders, describe_tasks

    tasks = [{"task": name, **_plugin_fields(plugin)} for plugin in describe_tasks(name)]
    return [
        *tasks,
        *({"loader": name, **_plugin_fields(plugin)} for plugin in describe_loaders(name)),
    ]


def _metric_records(name: str) -> list[Row]:
    """The metrics of that name, or, for a glob, the matching metrics of each task."""
    if "/" in name:
        return []
    from saeval.config.metric_docs import find_metrics, row_of_metric, rows_of_metrics

    metrics = find_metrics(name)
    if not any(character in name for character in "*?["):
        return [row_of_metric(metric) for metric in metrics]
    tasks = dict.fromkeys(metric.task for metric in metrics)
    metrics_by_task = {
        task: [metric for metric in metrics if metric.task == task] for task in tasks
    }
    return [
        {"task": task, "metrics": rows_of_metrics(of_task)}
        for task, of_task in metrics_by_task.items()
    ]


def with_readable_texts(record: Row) -> Row:
    """A record for people: metrics one below the other, and long texts in lines."""
    texts = {}
    for key, value in record.items():
        if key == "metrics" and value:
            lines = [line for metric in value for line in _metric_lines(metric)]
            if any(metric["floor"] == RANDOM_SAE for metric in value):
                lines += textwrap.wrap(
                    f"A random SAE as floor: {RANDOM_SAE} on the same data.", _LINE
                )
            texts[key] = "\n".join(lines)
        elif isinstance(value, str) and len(value) > _LINE and "\n" not in value:
            texts[key] = "\n".join(textwrap.wrap(value, _LINE))
        else:
            texts[key] = value
    return texts


def _metric_lines(metric: Row) -> Iterator[str]:
    directions = {"higher": "higher is better", "lower": "lower is better", "none": "no direction"}
    about = [metric["unit"], directions.get(metric["better"], metric["better"])]
    floor, ceiling = metric["floor"], metric["ceiling"]
    about += ["floor: a random SAE" if floor == RANDOM_SAE else f"floor {floor}"] * (
        floor is not None
    )
    about += [f"ceiling {ceiling}"] * (ceiling is not None)
    about += [metric["where"]] if metric["where"] else []
    yield metric["name"]
    yield from textwrap.wrap(", ".join(about), _LINE, initial_indent="  ", subsequent_indent="  ")
    formula = metric["formula"]
    yield from textwrap.wrap(formula, _LINE, initial_indent="    ", subsequent_indent="    ")


def _plugin_fields(plugin: Any) -> Row:
    from saeval.config.metric_docs import rows_of_metrics

    return {
        "version": plugin.version,
        "format": plugin.format,
        "does": plugin.broken or plugin.doc,
        "metrics": rows_of_metrics(plugin.metrics),
        "fields": [asdict(item) for item in plugin.fields],
        "package": plugin.plugin.distribution,
        "defined_in": plugin.plugin.target,
    }


def _all_names(registry: Registry) -> Iterator[str]:
    """All names that `describe` knows."""
    from saeval.config.metric_docs import metric_names
    from saeval.config.plugins import LOADERS, TASKS, find
    from saeval.lab.description import part_names

    yield from (*registry.entries, *registry.sets, *registry.models, *RENAMED)
    yield from (f"lab/{part}" for part in part_names())
    yield from (*find(TASKS), *find(LOADERS), *metric_names())


def _records_below(name: str, registry: Registry) -> list[Row]:
    """Ids and sets that begin with a name, such as `saebench/pythia-160m`."""
    start = name.rstrip("/") + "/"
    members = [text for text in registry.entries if text.startswith(start)]
    sets = [text for text in registry.sets if text.startswith(start)]
    if not members and not sets:
        return []
    entries = [registry.entries[text] for text in members]
    return [
        {
            "all of": name,
            "models": sorted({entry.model for entry in entries if entry.model}),
            "sites": sorted({entry.site for entry in entries if entry.site}),
            "sets": sets,
            "saes": members,
        }
    ]


def _folder_record(folder: Path) -> Row:
    """Files of a folder, and the tensors that safetensors headers list. No tensor is loaded."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    tensors = [
        {"file": path.name, "tensor": name, "holds": holds}
        for path in files
        if path.suffix == ".safetensors"
        for name, holds in _tensor_headers(path).items()
    ]
    sizes = [{"file": path.name, "bytes": path.stat().st_size} for path in files]
    return {
        "files": sizes,
        "tensors": tensors,
        "next": f"`saeval validate {folder}` loads and checks it",
    }


def _tensor_headers(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        # safetensors: 8 bytes give the length of the JSON header that follows.
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


def _drop_fields(row: Row, *names: str) -> Row:
    return {key: value for key, value in row.items() if key not in names}
