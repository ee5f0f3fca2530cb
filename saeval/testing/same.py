"""Where two things that should be equal differ, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pandas as pd


def difference(a: Any, b: Any, where: str = "") -> str:
    """The first place at which b differs from a, and how; empty where they are equal.

    Tuples and lists of equal items are equal, as JSON has it. Numbers must be equal to the bit.
    """
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        found = _arrays(a, b, where)
    elif isinstance(a, pd.DataFrame) and isinstance(b, pd.DataFrame):
        found = _tables(a, b, where)
    elif is_dataclass(a) and type(a) is type(b):
        names = [field.name for field in fields(a) if not field.name.startswith("_")]
        found = _first([(name, getattr(a, name), getattr(b, name)) for name in names], where)
    elif isinstance(a, Mapping) and isinstance(b, Mapping):
        found = _mappings(a, b, where)
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        pairs = zip(a, b, strict=False)
        found = _first([(str(i), x, y) for i, (x, y) in enumerate(pairs)], where)
        if not found and len(a) != len(b):
            found = f"{where or 'a list'} has {len(a)} items and {len(b)}"
    else:
        found = "" if _equal(a, b) else f"{where or 'a value'} is {a!r:.60} and {b!r:.60}"
    return found


def _mappings(a: Mapping[Any, Any], b: Mapping[Any, Any], where: str) -> str:
    if set(a) != set(b):
        return f"{where or 'a mapping'} has keys {list(a)!r:.80} and {list(b)!r:.80}"
    return _first([(str(key), a[key], b[key]) for key in a], where)


def _first(parts: Sequence[tuple[str, Any, Any]], where: str) -> str:
    for name, x, y in parts:
        found = difference(x, y, f"{where}.{name}" if where else name)
        if found:
            return found
    return ""


def _arrays(a: np.ndarray, b: np.ndarray, where: str) -> str:
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        return f"{where} is {a.dtype}{list(a.shape)} and {b.dtype}{list(b.shape)}"
    if np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
        return ""
    place = tuple(int(i) for i in np.argwhere(a != b)[0])
    return f"{where}{list(place)} is {a[place]!r} and {b[place]!r}"


def _tables(a: pd.DataFrame, b: pd.DataFrame, where: str) -> str:
    if list(a.columns) != list(b.columns) or len(a) != len(b):
        return (
            f"{where} has {len(a)} rows of {list(a.columns)!r:.80} and {len(b)} of "
            f"{list(b.columns)!r:.80}"
        )
    for name in a.columns:
        if not a[name].reset_index(drop=True).equals(b[name].reset_index(drop=True)):
            pairs = zip(a[name], b[name], strict=True)
            row, (x, y) = next(
                ((i, pair) for i, pair in enumerate(pairs) if not _equal(*pair)),
                (0, (a[name].dtype, b[name].dtype)),
            )
            return f"column '{name}' of {where} has {x!r:.40} and {y!r:.40} in row {row}"
    return ""


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float) and np.isnan(a) and np.isnan(b):
        return True
    return a is b or (type(a) is type(b) and bool(a == b)) or (a is None and b is None)
