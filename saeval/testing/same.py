"""The difference of two values that should be equal, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pandas as pd


def difference(a: Any, b: Any, path: str = "") -> str:
    """The first place at which b differs from a, and how; empty where they are equal.

    Tuples and lists of equal items are equal, as JSON has it. Numbers must be equal to the bit.
    """
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        text = _array_difference(a, b, path)
    elif isinstance(a, pd.DataFrame) and isinstance(b, pd.DataFrame):
        text = _table_difference(a, b, path)
    elif is_dataclass(a) and type(a) is type(b):
        names = [field.name for field in fields(a) if not field.name.startswith("_")]
        text = _first_difference(
            [(name, getattr(a, name), getattr(b, name)) for name in names], path
        )
    elif isinstance(a, Mapping) and isinstance(b, Mapping):
        text = _mapping_difference(a, b, path)
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        pairs = zip(a, b, strict=False)
        text = _first_difference([(str(i), x, y) for i, (x, y) in enumerate(pairs)], path)
        if not text and len(a) != len(b):
            text = f"{path or 'a list'} has {len(a)} items and {len(b)}"
    else:
        text = "" if _is_equal(a, b) else f"{path or 'a value'} is {a!r:.60} and {b!r:.60}"
    return text


def _mapping_difference(a: Mapping[Any, Any], b: Mapping[Any, Any], path: str) -> str:
    if set(a) != set(b):
        return f"{path or 'a mapping'} has keys {list(a)!r:.80} and {list(b)!r:.80}"
    return _first_difference([(str(key), a[key], b[key]) for key in a], path)


def _first_difference(items: Sequence[tuple[str, Any, Any]], path: str) -> str:
    for name, x, y in items:
        text = difference(x, y, f"{path}.{name}" if path else name)
        if text:
            return text
    return ""


def _array_difference(a: np.ndarray, b: np.ndarray, path: str) -> str:
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return f"{path} is {a.dtype}{list(a.shape)} and {b.dtype}{list(b.shape)}"
    if np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
        return ""
    place = tuple(int(i) for i in np.argwhere(a != b)[0])
    return f"{path}{list(place)} is {a[place]!r} and {b[place]!r}"


def _table_difference(a: pd.DataFrame, b: pd.DataFrame, path: str) -> str:
    if list(a.columns) != list(b.columns) or len(a) != len(b):
        return (
            f"{path} has {len(a)} rows of {list(a.columns)!r:.80} and {len(b)} of "
            f"{list(b.columns)!r:.80}"
        )
    for name in a.columns:
        if not a[name].reset_index(drop=True).equals(b[name].reset_index(drop=True)):
            pairs = zip(a[name], b[name], strict=True)
            row, (x, y) = next(
                ((i, pair) for i, pair in enumerate(pairs) if not _is_equal(*pair)),
                (0, (a[name].dtype, b[name].dtype)),
            )
            return f"column '{name}' of {path} has {x!r:.40} and {y!r:.40} in row {row}"
    return ""


def _is_equal(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float) and np.isnan(a) and np.isnan(b):
        return True
    return a is b or (type(a) is type(b) and bool(a == b)) or (a is None and b is None)
