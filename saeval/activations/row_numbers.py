"""Columns of row numbers, which tools add to tables: neither activations nor labels."""

import re

import numpy as np

_NAME = re.compile(
    r"index|level_\d+|__index_level_\d+__|unnamed: \d+(\.\d+|_level_\d+)*", re.IGNORECASE
)
_LEAST_ROWS = 3
"""Rows from which 0, 1, 2 and so on are taken for a numbering."""


def is_row_number(column: object) -> bool:
    """Whether a column is called as pandas calls the row numbers that it writes or reads.

    Those are `index` and `level_0` (after reset_index), `Unnamed: 0` (of a .csv with an index) and
    `__index_level_0__` (as parquet has it).
    """
    return isinstance(column, str) and _NAME.fullmatch(column.strip()) is not None


def counts_rows(values: np.ndarray) -> bool:
    """Whether values [rows] are 0, 1, 2 and so on, as no dimension of activations is."""
    return len(values) >= _LEAST_ROWS and bool(np.array_equal(values, np.arange(len(values))))
