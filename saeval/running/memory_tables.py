"""Tables in the caller's memory: data frames, data sets of the hub's library, and lists of rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from saeval.activations.array_files import vectors_of_table
from saeval.errors import DataError

Row = Mapping[str, Any]
TEXT = "text"
"""Column of texts, where no field names another."""


def rows_in_memory(value: Any) -> Sequence[Row] | None:
    """The rows of a table; None for what is none. A data frame's index is left out.

    Args:
        value: A pandas or polars data frame, a pyarrow table, a `datasets.Dataset`, or a list of
            mappings.

    Raises:
        DataError: if it has no rows or two columns of one name, is a dictionary of data sets, or is
            a stream, which has no content to identify a result by.
    """
    rows: Sequence[Row] | None
    if isinstance(value, pd.DataFrame):
        names = [str(name) for name in value.columns]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"The data frame has two columns '{twice}'. Leave one out.")
        rows = value.set_axis(names, axis=1).to_dict("records")
    elif isinstance(value, list | tuple) and value and all(isinstance(r, Mapping) for r in value):
        rows = [{str(name): cell for name, cell in row.items()} for row in value]
    else:
        rows = _rows_of_library(value)
        if rows is None:
            return None
    if not rows:
        raise DataError(f"The {type(value).__name__} is empty. Give at least one row.")
    return rows


def listed(value: Any) -> Any:
    """A single column of texts as a list: of a data frame or data set, or an array of texts.

    Anything else is given back as it is.
    """
    is_column = isinstance(value, pd.Series) or (
        type(value).__module__.partition(".")[0] == "datasets" and type(value).__name__ == "Column"
    )
    if isinstance(value, np.ndarray):
        is_column = value.ndim == 1 and value.dtype.kind in "UO"
    return list(value) if is_column else value


def _rows_of_library(value: Any) -> Sequence[Row] | None:
    """Rows of a table of a library that need not be installed; None for any other object."""
    kind = type(value)
    library, name = kind.__module__.partition(".")[0], kind.__name__
    if library == "datasets" and name in ("DatasetDict", "IterableDatasetDict"):
        splits = [str(split) for split in value]
        raise DataError(
            f"A {name} holds several data sets ({', '.join(splits)}). Give one of them, such as "
            f"data['{splits[0] if splits else 'train'}']."
        )
    if library == "datasets" and name == "IterableDataset":
        raise DataError(
            "An IterableDataset is a stream, whose content is not known before it was read. Give "
            "rows of it, such as list(data.take(1000))."
        )
    if library == "datasets" and name == "Dataset":
        return list(value.with_format(None))
    if library == "pyarrow" and name == "Table":
        index = (value.schema.pandas_metadata or {}).get("index_columns", ())
        return value.drop_columns([n for n in index if n in value.column_names]).to_pylist()
    if library == "polars" and name == "DataFrame":
        return value.to_dicts()
    return None


def holds_texts(rows: Sequence[Row]) -> bool:
    """Whether a table is one of texts, and not one of activations.

    It is if it has a column `text`, or else text somewhere and floats nowhere.
    """
    if TEXT in rows[0]:
        return True
    cells = list(rows[0].values())
    is_number = [isinstance(cell, float | list | tuple | np.ndarray) for cell in cells]
    return any(isinstance(cell, str) for cell in cells) and not any(is_number)


def vectors_in_memory(value: Any, rows: Sequence[Row]) -> np.ndarray:
    """Activations [rows, d] of a table: a column of lists, or a column for each dimension.

    Raises:
        DataError: naming a column that is no dimension.
    """
    import pyarrow as pa

    try:
        if isinstance(value, pd.DataFrame):
            table = pa.Table.from_pandas(value, preserve_index=False)
        else:
            table = pa.Table.from_pylist(list(rows))
        return vectors_of_table(table)
    except (ValueError, pa.ArrowException) as error:
        raise DataError(
            f"The {type(value).__name__} has no column '{TEXT}', and is no table of activations: "
            f"{error}."
        ) from error
