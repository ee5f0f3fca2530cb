"""What a result depends on, by content: never by name, path, device or batch size."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saeval.config.configuration import plain
from saeval.models.places import locate
from saeval.models.weight_files import weight_files
from saeval.registry.hashes import file_sha256

_MODEL_SUFFIXES = {".json", ".safetensors", ".txt", ".model", ".jinja"}
"""Files of a model folder that decide what it computes: weights, configuration, tokenizer."""


def by_content(value: Any) -> Any:
    """The value as JSON, with the hash of a file in the place of its path."""
    if isinstance(value, Mapping):
        return {str(key): by_content(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [by_content(item) for item in value]
    if isinstance(value, str | Path) and is_file(value):
        return {"sha256": file_sha256(Path(value))}
    return plain(value)


def is_file(value: str | Path) -> bool:
    """Whether a value names a file that is there."""
    try:
        return Path(value).is_file()
    except (OSError, ValueError):  # a text too long for a path, or with a null character
        return False


def task_identity(task: Any) -> dict[str, Any]:
    """What of a task decides its scores: name, version, every field, every file it names."""
    return {
        "task": task.name,
        "version": task.version,
        "fields": {
            item.name: by_content(getattr(task, item.name)) for item in dataclasses.fields(task)
        },
    }


def task_inputs(task: Any, model: str | None) -> Any:
    """Data that a task finds by itself, unnamed by its fields, as its optional `inputs` tells it.

    Args:
        task: With a method `inputs(model)`, whose answer is JSON-like, or without.
        model: Name of the model that is read; None for stored activations.
    """
    inputs = getattr(task, "inputs", None)
    return plain(inputs(model)) if callable(inputs) else None


def model_files(name: str) -> str:
    """Identity of a model from its files alone, without loading it.

    A local folder's is the hash of its weights, configuration and tokenizer; a hub model's its
    id at the commit that would be loaded now.

    Raises:
        ModelError: if there is no such model, or its index names weights elsewhere.
    """
    name, _, revision = name.partition("@")
    place = locate(name, revision or None)
    if not place.is_local:
        return f"{place.root}@{place.commit}"
    digest = hashlib.sha256()
    folder = Path(place.root)
    beside = [path for path in folder.iterdir() if path.suffix in _MODEL_SUFFIXES]
    for path in sorted({*filter(Path.is_file, beside), *weight_files(folder)}):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_sha256(path)}\n".encode())
    return f"local:{digest.hexdigest()}"
