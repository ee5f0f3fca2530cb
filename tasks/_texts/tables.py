"""Files of texts as tables: .parquet, .csv, .jsonl and .txt."""

from pathlib import Path
from typing import Any

import pandas as pd

from saeval.config.encoding import not_utf8
from saeval.errors import DataError


def read_table(path: Path, *, head: bool = False) -> pd.DataFrame:
    """A file as a table.

    A .csv has no types and no gaps: each value is the text that stands there, be it "NA", "1" or
    empty. The lines of a .txt are a column `text`. In the others null is missing.

    Args:
        path: Of the file; after .csv and .jsonl, .zst or .gz may follow.
        head: Whether the names of the columns will do.

    Raises:
        DataError: if it cannot be read.
    """
    readers = {
        ".parquet": _read_parquet,
        ".csv": _read_csv,
        ".jsonl": _read_jsonl,
        ".txt": _read_lines,
    }
    ending = Path(path.name.removesuffix(".zst").removesuffix(".gz")).suffix
    if ending not in readers:
        raise DataError(f"'{path}' cannot be read: its ending is none of {', '.join(readers)}.")
    if path.is_file() and not path.stat().st_size:
        raise DataError(f"'{path}' is empty. Was its export cut short? Write it again.")
    try:
        return readers[ending](path, head=head)
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from error
    except Exception as error:  # whose errors arrive depends on format and compression
        raise DataError(f"'{path}' cannot be read as {ending}: {error}.") from error


def _read_parquet(path: Path, *, head: bool) -> pd.DataFrame:
    import pyarrow as pa
    from pyarrow import parquet

    if head:
        return parquet.read_schema(path).empty_table().to_pandas()
    table = parquet.ParquetFile(path).read(use_threads=False).to_pandas()
    pa.default_memory_pool().release_unused()  # some 40 MB that reading leaves behind
    return table


def _read_csv(path: Path, *, head: bool) -> pd.DataFrame:
    table = pd.read_csv(path, dtype=str, na_filter=False, nrows=0 if head else None)
    if not head and not isinstance(table.index, pd.RangeIndex):
        raise ValueError("rows have more fields than its first line; quote texts with commas")
    return table


def _read_jsonl(path: Path, *, head: bool) -> pd.DataFrame:
    as_is: Any = False  # "1" stays text; the annotation of pandas leaves False out
    return pd.read_json(path, lines=True, dtype=as_is, nrows=1 if head else None)


def _read_lines(path: Path, *, head: bool) -> pd.DataFrame:
    lines: list[str] = []
    if not head:
        with path.open(encoding="utf-8") as file:  # str.splitlines would cut within texts too
            lines = [line.removesuffix("\n") for line in file]
    return pd.DataFrame({"text": lines}, dtype=str)
