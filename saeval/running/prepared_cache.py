"""What a task prepared, kept in the store as safetensors, parquet and JSON, never pickled."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from saeval.activations import Store, TokenRows
from saeval.activations.store import CacheWriteError, writing
from saeval.errors import UsageError
from saeval.task import Prepared

_KIND = {"kind": "prepared", "form": 2}
"""Part of every key. The form rises when `save` writes another form, so that older entries are
misses, not damaged entries."""
_ARRAYS = "arrays.safetensors"
_ROWS = "rows.safetensors"
_FACTS = "facts.json"
_ROW_FIELDS = ("ids", "attention", "mask")


def load_or_prepare(
    store: Store, key: Mapping[str, Any], make: Callable[[], Prepared]
) -> tuple[Prepared, bool]:
    """The content of the store under this key; made by `make` and stored if the store has none.

    New content comes back in the form that disk would give: tuples in facts are lists, and keys are
    strings. So a task sees the same values in every run.

    Args:
        store: Where to look, and where to keep new content.
        key: All that the result depends on, JSON-like: the task with its version and
            configuration, the source's identity, the seed, hashes of the data.
        make: Runs the task's `prepare`. What it raises passes through.

    Returns:
        What was prepared, and whether it was computed now.

    Raises:
        UsageError: if the content cannot be stored as arrays of numbers, tables and JSON.
    """
    fresh: list[Prepared] = []

    def write(folder: Path) -> None:
        fresh.append(make())
        check(fresh[0])
        from safetensors import SafetensorError

        try:
            with writing():
                save(fresh[0], folder)
        except SafetensorError as error:  # a full disk, in safetensors' own words
            raise CacheWriteError(str(error)) from error

    stored = store.get({**key, **_KIND}, write, load)
    if stored is not None:
        return stored, bool(fresh)
    content = fresh[0] if fresh else make()
    return replace(content, facts=json.loads(_facts_json(content))), True


def has_prepared(store: Store, key: Mapping[str, Any]) -> bool:
    """Whether the store has what was prepared under the key."""
    return store.holds({**key, **_KIND})


def check(content: Prepared) -> None:
    """Make sure that content can be kept.

    Raises:
        UsageError: if arrays do not hold numbers, or facts are not JSON.
    """
    _facts_json(content)
    for name, array in content.arrays.items():
        if array.dtype.kind not in "biuf":
            raise UsageError(
                f"A task prepared the array '{name}' of {array.dtype}, but only numbers are kept "
                "as arrays. Put text into a table or into the facts."
            )


def save(content: Prepared, folder: Path) -> None:
    """Write into a folder: one file of arrays, one of token rows, one per table, one of facts."""
    from safetensors.numpy import save_file

    all_rows = {"": content.rows} if content.rows is not None else {}
    all_rows |= {f"/{name}": rows for name, rows in content.more_rows.items()}
    row_arrays = {
        f"{number}.{field}": getattr(rows, field)
        for number, rows in enumerate(all_rows.values())
        for field in _ROW_FIELDS
    }
    # safetensors writes the memory as it lies: without the copy, arrays in Fortran order would come
    # back transposed.
    for arrays, file in ((content.arrays, _ARRAYS), (row_arrays, _ROWS)):
        save_file({k: np.array(v, order="C") for k, v in arrays.items()}, folder / file)
    for number, table in enumerate(content.tables.values()):
        table.to_parquet(folder / f"table-{number}.parquet")
    listing = {
        "tables": list(content.tables),
        "rows": [[place, rows.name] for place, rows in all_rows.items()],
        "facts": json.loads(_facts_json(content)),
    }
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
        arrays, row_arrays = load_file(folder / _ARRAYS), load_file(folder / _ROWS)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    tables = {
        name: pd.read_parquet(folder / f"table-{number}.parquet")
        for number, name in enumerate(listing["tables"])
    }
    all_rows = {
        place: TokenRows(name, *(row_arrays[f"{number}.{field}"] for field in _ROW_FIELDS))
        for number, (place, name) in enumerate(listing["rows"])
    }
    main_rows = all_rows.pop("", None)
    more = {place.removeprefix("/"): rows for place, rows in all_rows.items()}
    return Prepared(arrays, tables, listing["facts"], main_rows, more)


def _facts_json(content: Prepared) -> str:
    try:
        return json.dumps(dict(content.facts), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"A task prepared facts that are not JSON ({error}). Keep numbers, strings, lists and "
            "dictionaries there, arrays and tables beside them."
        ) from error
