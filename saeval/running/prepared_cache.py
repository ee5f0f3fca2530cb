"""What a task prepared, kept in the store as safetensors, parquet and JSON, never pickled."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from saeval.activations import Store
from saeval.errors import UsageError
from saeval.task import Prepared

_ARRAYS = "arrays.safetensors"
_FACTS = "facts.json"


def prepared(
    store: Store, key: Mapping[str, Any], make: Callable[[], Prepared]
) -> tuple[Prepared, bool]:
    """What `make` gives, made only if the store does not hold it under the key.

    Computed or found, it comes back as it reads from disk: tuples in facts are lists, and keys
    are strings.

    Args:
        store: Where to look and keep.
        key: All that the result depends on, JSON-like: the task with its version and
            configuration, the source's identity, the seed, hashes of the data.
        make: Runs the task's `prepare`. What it raises passes through.

    Returns:
        What was prepared, and whether it was computed now.

    Raises:
        UsageError: if the result cannot be kept as arrays of numbers, tables and JSON.
    """
    fresh: list[Prepared] = []

    def write(folder: Path) -> None:
        fresh.append(make())
        save(fresh[0], folder)

    found = store.get({**key, "kind": "prepared"}, write, load)
    if found is not None:
        return found, bool(fresh)
    kept = fresh[0] if fresh else make()
    return Prepared(kept.arrays, kept.tables, json.loads(_facts(kept))), True


def held(store: Store, key: Mapping[str, Any]) -> bool:
    """Whether the store has what was prepared under the key."""
    return store.holds({**key, "kind": "prepared"})


def save(content: Prepared, folder: Path) -> None:
    """Write into a folder: one file of arrays, one a table, one of facts.

    Raises:
        UsageError: if arrays do not hold numbers, or facts are not JSON.
    """
    from safetensors.numpy import save_file

    for name, array in content.arrays.items():
        if array.dtype.kind not in "biuf":
            raise UsageError(
                f"A task prepared the array '{name}' of {array.dtype}, but only numbers are kept "
                "as arrays. Put text into a table or into the facts."
            )
    # Without the copy, arrays in Fortran order would come back transposed.
    save_file({k: np.array(v, order="C") for k, v in content.arrays.items()}, folder / _ARRAYS)
    for number, table in enumerate(content.tables.values()):
        table.to_parquet(folder / f"table-{number}.parquet")
    listing = {"tables": list(content.tables), "facts": json.loads(_facts(content))}
    (folder / _FACTS).write_text(json.dumps(listing), encoding="utf-8")


def load(folder: Path) -> Prepared:
    """Read what `save` wrote.

    Raises:
        OSError: if a file is missing.
        ValueError: if one is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    listing = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    try:
        arrays = load_file(folder / _ARRAYS)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    tables = {
        name: pd.read_parquet(folder / f"table-{number}.parquet")
        for number, name in enumerate(listing["tables"])
    }
    return Prepared(arrays, tables, listing["facts"])


def _facts(content: Prepared) -> str:
    try:
        return json.dumps(dict(content.facts), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"A task prepared facts that are not JSON ({error}). Keep numbers, strings, lists and "
            "dictionaries there, arrays and tables beside them."
        ) from error
