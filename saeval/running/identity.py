"""What a result depends on, by content: never by name, path, device or batch size."""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from saeval.activations import TokenRows
from saeval.config.configuration import json_value
from saeval.evidence import DIGEST_LENGTH
from saeval.models.places import locate
from saeval.models.weight_files import weight_files
from saeval.registry.hashes import file_sha256
from saeval.running.table_content import table_sha256
from saeval.task import NONE_IN_KEYS, Prepared

_MODEL_SUFFIXES = {
    *(".json", ".safetensors", ".txt", ".model", ".jinja"),
    *(".tiktoken", ".bpe", ".vocab", ".spm"),
}
"""Files of a model folder that decide what it computes: weights, configuration, tokenizer."""


def by_content(value: Any) -> Any:
    """The value as JSON, with the hash of a file in the place of its path.

    A table's hash is that of its rows (`table_content`), so that its format has no effect.
    """
    if isinstance(value, Mapping):
        return {str(key): by_content(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [by_content(item) for item in value]
    if isinstance(value, str | Path) and is_file(value):
        return {"sha256": table_sha256(Path(value)) or file_sha256(Path(value))}
    return json_value(value)


def is_file(value: str | Path) -> bool:
    """Whether a value names an existing file."""
    try:
        return Path(value).is_file()
    except (OSError, ValueError):  # a text too long for a path, or with a null character
        return False


def task_identity(task: Any) -> dict[str, Any]:
    """All of a task that decides its scores: name, version, every field, every file it names.

    For a task that does not come with saeval this includes its code, since saeval's tests do not
    make sure that its version rises with a change.
    """
    identity = {
        "task": task.name,
        "version": task.version,
        "fields": {
            item.name: by_content(_value_in_keys(task, item)) for item in dataclasses.fields(task)
        },
    }
    if type(task).__module__.partition(".")[0] != BUILT_IN:
        identity["code"] = code_sha256(type(task))
    return identity


def _value_in_keys(task: Any, item: dataclasses.Field[Any]) -> Any:
    value = getattr(task, item.name)
    return item.metadata.get(NONE_IN_KEYS) if value is None else value


BUILT_IN = "saeval_tasks"
"""Package of the tasks that come with saeval."""


def code_sha256(cls: type) -> str | None:
    """sha256 of the Python files of the package that defines a class, or of its single module.

    None where the class has no file, as when it was typed into an interpreter.
    """
    module = cls.__module__
    while (parent := module.rpartition(".")[0]) and getattr(sys.modules.get(parent), "__file__", 0):
        module = parent
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or not Path(file).is_file():
        return None
    path = Path(file)
    folder = path.parent
    files = sorted(folder.rglob("*.py")) if path.name == "__init__.py" else [path]
    digest = hashlib.sha256()
    for source in files:
        digest.update(f"{source.relative_to(folder).as_posix()}\0{file_sha256(source)}\n".encode())
    return digest.hexdigest()


def declares_inputs(task: Any) -> bool:
    """Whether a task tells what data it finds by itself, also if that is no data."""
    return callable(getattr(task, "inputs", None))


def task_inputs(task: Any, model: str | None) -> Any:
    """Data that a task finds by itself and no field names, as its method `inputs` tells it.

    Args:
        task: With a method `inputs(model)`, whose answer is JSON-like.
        model: Name of the model that is read; None for stored activations.
    """
    return json_value(task.inputs(model))


def prepared_sha256(content: Prepared) -> str:
    """sha256 of all that a task prepared."""
    digest = hashlib.sha256()
    for item in dataclasses.fields(content):
        digest.update(f"{item.name} ".encode())
        _feed(digest, getattr(content, item.name))
    return digest.hexdigest()


def default_data(content: Prepared, source_identity: str | None, seed: int) -> dict[str, str]:
    """What the evidence of a task was measured on that does not say it: all that it prepared.

    Args:
        content: What the task prepared.
        source_identity: Of stored activations, whose rows are but numbers; None for a model.
        seed: Of the task.
    """
    data = {"prepared": prepared_sha256(content)[:DIGEST_LENGTH], "seed": str(seed)}
    return data if source_identity is None else {**data, "activations": source_identity}


def _feed(digest: Any, value: Any) -> None:
    """Add one value of what was prepared to a digest, each kind under a tag of its own."""
    if isinstance(value, np.ndarray):
        digest.update(f"array {value.dtype.str} {value.shape};".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, TokenRows):
        digest.update(f"rows {value.digest};".encode())
    elif isinstance(value, pd.DataFrame):
        digest.update(f"table {[*map(str, value.index)]};".encode())
        _feed(digest, {str(name): column for name, column in value.items()})
    elif isinstance(value, pd.Series):
        numeric = value.dtype.kind in "biuf"
        _feed(digest, value.to_numpy() if numeric else [*map(str, value)])
    elif isinstance(value, Mapping) and any(not _is_json(item) for item in value.values()):
        for name, item in value.items():
            digest.update(f"{name!r}: ".encode())
            _feed(digest, item)
    else:
        digest.update(f"json {json.dumps(value, sort_keys=True, default=str)};".encode())


def _is_json(value: Any) -> bool:
    return not isinstance(value, np.ndarray | TokenRows | pd.DataFrame | pd.Series)


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
    other_files = [path for path in folder.iterdir() if path.suffix in _MODEL_SUFFIXES]
    for path in sorted({*filter(Path.is_file, other_files), *weight_files(folder)}):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_sha256(path)}\n".encode())
    return f"local:{digest.hexdigest()}"
