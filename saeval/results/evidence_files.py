"""Evidence on disk: parquet tables, and in result.json how each metric is computed from them."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from saeval.errors import ResultError
from saeval.evidence import Evidence, Units

_FILE = re.compile(r"[a-z][a-z0-9_]{0,63}\.parquet")
_RECIPE = (
    "metric",
    "part",
    "columns",
    "aggregator",
    "parameters",
    "unit",
    "better",
    "floor",
    "ceiling",
    "no_interval",
    "bounds",
)
_LATER = {"bounds": (None, None)}
"""Fields of the recipe that results of schema 1 lack, and what they mean where they are absent."""


def distinct_tables(evidence: Iterable[Evidence]) -> dict[str, Units]:
    """The distinct tables, by name.

    Raises:
        ResultError: if two different tables have one name, and so one file.
    """
    tables: dict[str, Units] = {}
    for entry in evidence:
        table = entry.units
        earlier = tables.setdefault(table.name, table)
        if earlier is not table and not (
            (earlier.unit, earlier.data) == (table.unit, table.data)
            and earlier.table.equals(table.table)
        ):
            raise ResultError(
                f"Two different evidence tables are named '{table.name}' (one with "
                f"{len(earlier.table)} rows, {entry.label} with {len(table.table)}); name them "
                "apart."
            )
    return tables


def recipe(evidence: Evidence) -> dict[str, Any]:
    """All that is needed, besides the table, to compute the metric again."""
    fields = {name: getattr(evidence, name) for name in _RECIPE}
    return {**fields, "parameters": evidence.settings, "table": evidence.units.name}


def write_table(table: Units, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Store a table as parquet. Returns its file, and its entry in result.json."""
    path = folder / f"{table.name}.parquet"
    pq.write_table(
        pa.Table.from_pandas(table.table, preserve_index=False), path, compression="zstd"
    )
    about = {"file": path.name, "unit": table.unit, "rows": len(table.table)}
    return path, {**about, "sha256": table_sha256(path), "data": table.data}


def read_evidence(folder: Path, record: Mapping[str, Any]) -> tuple[Evidence, ...]:
    """The evidence of every scored metric.

    Args:
        folder: Of the result.
        record: Its result.json.

    Raises:
        ResultError: if a file is missing, was changed, or contradicts result.json.
    """
    try:
        tables = {
            name: _read_table(folder, name, about) for name, about in record["tables"].items()
        }
        return tuple(
            Evidence(units=tables[metric["table"]], **_fields({**_LATER, **metric}))
            for metric in record["metrics"]
        )
    except (KeyError, TypeError, AttributeError, ValueError, OSError, pa.ArrowException) as error:
        raise ResultError(
            f"The evidence in '{folder}' cannot be read ({type(error).__name__}: {error}); "
            "run the task again with --force."
        ) from error


def _fields(metric: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the evidence of a metric, from result.json."""
    low, high = metric["bounds"]
    return {**{name: metric[name] for name in _RECIPE}, "bounds": (low, high)}


def _read_table(folder: Path, name: str, about: Mapping[str, Any]) -> Units:
    if not _FILE.fullmatch(about["file"]):
        raise ResultError(f"'{folder}' names '{about['file']}' as evidence, which is no such file.")
    path = folder / about["file"]
    sha256 = table_sha256(path)
    if sha256 != about["sha256"]:
        raise ResultError(
            f"'{path}' was changed after it was written: its sha256 is {sha256}, result.json says "
            f"{about['sha256']}. Run the task again with --force."
        )
    table: pd.DataFrame = pq.read_table(path).to_pandas(ignore_metadata=True)
    return Units(name, about["unit"], table, about.get("data"))


def table_sha256(path: Path) -> str:
    """sha256 of a table's file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
