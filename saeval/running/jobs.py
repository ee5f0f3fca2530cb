"""What is asked of every SAE: each task, with its fields, under each seed."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saeval.config.configuration import Settings, check_named, configured, plain
from saeval.config.plugins import load_task
from saeval.errors import DataError, UsageError, suggestion
from saeval.registry.hashes import file_sha256
from saeval.running.identity import task_identity, task_inputs

ARRAY_SUFFIXES = (".npy", ".safetensors", ".parquet")
TEXT_SUFFIXES = (".txt", ".jsonl", ".csv", ".parquet")


@dataclass(frozen=True)
class Job:
    """One task under one seed."""

    task: Any
    """The configured task, a `Task` or a `GroupTask`."""
    seed: int
    identity: Mapping[str, Any]
    """What of the task decides its scores, by content."""
    found: dict[str | None, Any] = field(default_factory=dict, repr=False, compare=False)
    """Answers of `inputs` so far."""

    def inputs(self, model: str | None) -> Any:
        """Data that the task finds by itself for a model, looked up once; see `task_inputs`."""
        if model not in self.found:
            self.found[model] = task_inputs(self.task, model)
        return self.found[model]

    @property
    def is_group(self) -> bool:
        """Whether it scores sets."""
        return hasattr(self.task, "score_group")

    @property
    def settings(self) -> dict[str, Any]:
        """Its fields that differ from their defaults, as plain values."""
        default = type(self.task)()
        return {
            item.name: plain(getattr(self.task, item.name))
            for item in dataclasses.fields(self.task)
            if getattr(self.task, item.name) != getattr(default, item.name)
        }


@dataclass(frozen=True)
class Data:
    """What `--data` means: texts for the tasks, or activations in the place of a model."""

    texts: str | None = None
    """File of texts."""
    array: str | np.ndarray | None = None
    """File or array of activations."""


def make_jobs(
    tasks: Any, settings: Settings, common: Mapping[str, Any], seeds: Sequence[int]
) -> list[Job]:
    """Every task under every seed.

    Args:
        tasks: Names (in a sequence, or one text with commas), or configured tasks.
        settings: Fields of the tasks that are named.
        common: Fields set in every task that has them and does not set them itself; None: not
            given.
        seeds: Each task runs once under each.

    Raises:
        UsageError: for an unknown task, field or value, or settings of a task that does not run.
    """
    if isinstance(tasks, str):
        tasks = [name.strip() for name in tasks.split(",") if name.strip()]
    elif not isinstance(tasks, Sequence):
        tasks = [tasks]
    made = [
        _named(task, settings.get(task, {}), common)
        if isinstance(task, str)
        else _given(task, common)
        for task in tasks
    ]
    if not made:
        raise UsageError("No task to run: give --tasks, such as --tasks core.")
    names = [task.name for task in made]
    for name in settings:
        if name not in names:
            raise UsageError(f"Settings for '{name}', which is not run.{suggestion(name, names)}")
    if len(set(names)) < len(names):
        raise UsageError(f"Each task runs once: {', '.join(names)}.")
    if common.get("texts") and not any(_has(type(task), "texts") for task in made):
        raise UsageError(f"None of {', '.join(names)} reads texts, so '--data' says nothing.")
    identities = [task_identity(task) for task in made]
    return [
        Job(task, seed, identity)
        for task, identity in zip(made, identities, strict=True)
        for seed in dict.fromkeys(seeds)
    ]


def _named(name: str, settings: Mapping[str, Any], common: Mapping[str, Any]) -> Any:
    cls = load_task(name)
    shared = {key: value for key, value in common.items() if value is not None and _has(cls, key)}
    return configured(cls, {**shared, **settings}, name)


def _given(task: Any, common: Mapping[str, Any]) -> Any:
    if not dataclasses.is_dataclass(task) or isinstance(task, type) or not hasattr(task, "name"):
        raise UsageError(f"{task!r:.80} is no task: give a name, or a task with its fields.")
    changed = {
        key: value
        for key, value in common.items()
        if value is not None and _has(type(task), key) and getattr(task, key) is None
    }
    return dataclasses.replace(task, **changed)


def _has(cls: type, field: str) -> bool:
    return any(item.name == field for item in dataclasses.fields(cls))


def read_data(data: Any, folder: Path) -> Data:
    """What the user's data is.

    Args:
        data: Path of a file, a sequence of texts, an array [rows, d], or None.
        folder: Where texts that came in memory are written, so that a result can name them.

    Raises:
        UsageError: if a file is missing or of no known kind.
        DataError: if texts are none.
    """
    if data is None:
        return Data()
    if isinstance(data, torch.Tensor):
        return Data(array=data.detach().cpu().float().numpy())
    if isinstance(data, np.ndarray):
        return Data(array=data)
    check_named(data, "data")
    if isinstance(data, str | Path):
        return _file(Path(data))
    if not isinstance(data, Sequence) or not all(isinstance(text, str) for text in data):
        raise DataError(f"{data!r:.80} is no data: give a file, a list of texts, or an array.")
    if not data:
        raise DataError("The list of texts is empty. Give at least one text.")
    return Data(texts=str(_written(data, folder)))


def _file(path: Path) -> Data:
    if not path.is_file():
        raise UsageError(f"There is no file '{path}' for --data.")
    if path.suffix == ".parquet":
        import pyarrow.parquet

        try:
            columns = pyarrow.parquet.read_schema(path).names
        except (OSError, ValueError) as error:
            raise DataError(f"Cannot read '{path}': {error}.") from error
        return Data(texts=str(path)) if "text" in columns else Data(array=str(path))
    if path.suffix in TEXT_SUFFIXES:
        return Data(texts=str(path))
    if path.suffix in ARRAY_SUFFIXES:
        return Data(array=str(path))
    raise UsageError(
        f"'{path}' is no data: texts are {', '.join(TEXT_SUFFIXES)}, activations "
        f"{', '.join(ARRAY_SUFFIXES)}."
    )


def _written(texts: Sequence[str], folder: Path) -> Path:
    """The texts as a file named by its content."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "texts.partial"
    lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts]
    partial.write_text("".join(lines), encoding="utf-8")
    return partial.replace(folder / f"{file_sha256(partial)[:20]}.jsonl")
