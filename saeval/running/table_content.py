"""Tables by content: the same rows are the same data, in memory or in a file of either format."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_ROWS = 1024
"""Rows of a file read at a time."""


def row_line(row: Any) -> str:
    """A row as a line of JSON, the same for all ways to hold it.

    Keys are sorted, missing values (null, NaN) left out, whole numbers written without a point.
    """
    return json.dumps(_plain(row), ensure_ascii=False, sort_keys=True) + "\n"


def rows_sha256(rows: Iterable[Any]) -> str:
    """sha256 of rows, in order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row_line(row).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def table_sha256(path: Path) -> str | None:
    """sha256 of the rows of a .jsonl or .parquet file, by content.

    None for a file of another kind or one that cannot be read so: then its bytes are what it is.
    """
    import pyarrow as pa

    readers = {".jsonl": _json_rows, ".parquet": _parquet_rows}
    reader = readers.get(path.suffix)
    try:
        return None if reader is None else rows_sha256(reader(path))
    except (OSError, ValueError, TypeError, RecursionError, pa.ArrowException):
        return None


def _json_rows(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield json.loads(line)


def _parquet_rows(path: Path) -> Iterator[Any]:
    """Rows without the index that pandas may have stored."""
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        index = (schema.pandas_metadata or {}).get("index_columns", ())
        names = [name for name in schema.names if name not in index]
        for batch in file.iter_batches(_ROWS, columns=names, use_threads=False):
            yield from batch.to_pylist()


def _plain(value: Any) -> Any:
    """A cell in JSON's own types."""
    if isinstance(value, Mapping):
        cells = {str(key): _plain(cell) for key, cell in value.items()}
        return {key: cell for key, cell in cells.items() if cell is not None}
    if isinstance(value, set | frozenset):
        return sorted(map(_plain, value), key=str)
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(cell) for cell in value]
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str | bool | int):
        return value
    if value is None or pd.isna(value):
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else _number_or_text(value)


def _number_or_text(value: Any) -> float | str:
    """A finite number as it is; anything else, infinity too, as text."""
    return value if isinstance(value, float) and math.isfinite(value) else str(value)
