"""Texts of a file, read as they are needed: a file may be larger than memory."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from saeval.config.encoding import not_utf8
from saeval.errors import DataError

COLUMN = "text"
"""Column of texts in a .jsonl, .csv or .parquet file."""
BATCH = 1024
"""Rows of a table read at a time."""


def read_texts(path: Path) -> Iterator[str]:
    """Texts of a file, one per line or row, without blank ones.

    Raises:
        DataError: where the file cannot be read, or a row holds no text.
    """
    readers = {".txt": _lines, ".jsonl": _objects, ".csv": _csv, ".parquet": _parquet}
    try:
        for number, text in enumerate(readers[path.suffix](path)):
            if not isinstance(text, str):
                raise TypeError(f"row {number} has {text!r:.40} where '{COLUMN}' should be")
            if text.strip():
                yield text
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from error
    except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
        raise DataError(f"Cannot read texts from '{path}': {error}.") from error


def chunks(texts: Iterable[str], characters: int) -> Iterator[list[str]]:
    """Texts in lists that each hold about so many characters, the last one at least as many.

    The last few texts are joined to the list before them, so that no list is too short for a row
    of tokens unless all texts together are.
    """
    ready: list[str] = []
    filling: list[str] = []
    size = 0
    for text in texts:
        filling.append(text)
        size += len(text)
        if size >= characters:
            if ready:
                yield ready
            ready, filling, size = filling, [], 0
    if ready or filling:
        yield ready + filling


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        yield from file


def _objects(path: Path) -> Iterator[Any]:
    for line in _lines(path):
        if line.strip():
            row = json.loads(line)
            yield row.get(COLUMN) if isinstance(row, dict) else row


def _csv(path: Path) -> Iterator[Any]:
    import pandas as pd

    for table in pd.read_csv(
        path, usecols=[COLUMN], chunksize=BATCH, dtype=str, keep_default_na=False
    ):
        yield from table[COLUMN].tolist()


def _parquet(path: Path) -> Iterator[Any]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH, columns=[COLUMN]):
            yield from batch.column(0).to_pylist()
