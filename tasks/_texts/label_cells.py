"""What stands in a column of labels: one label, a list of them, or yes and no by name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

YES, NO = "True", "False"
_TRUTH = {"true": YES, "1": YES, "false": NO, "0": NO}
"""Ways to write yes and no, which are one label each where a column mixes them."""


@dataclass(frozen=True)
class Cell:
    """The labels of one row."""

    labels: tuple[str, ...]
    """Those that hold."""
    denied: tuple[str, ...] = ()
    """Those of which the row says that they do not."""
    exclusive: bool = True
    """Whether the row holds one label alone, as its only one or as one of several rows'."""


def cells(column: Sequence[Any]) -> list[Cell | None]:
    """The labels of each row; None for a row that has no value.

    A list, tuple or array holds several labels, perhaps none; a mapping says of each of its keys
    whether it holds. True, 1, "1" and "true" in one column are one label.

    Raises:
        ValueError: if a column mixes true and false with other labels, or a mapping's value is no
            yes or no, naming it.
    """
    read = [_cell(value) for value in column]
    written = {label for cell in read if cell and cell.exclusive for label in cell.labels}
    words = {label for label in written if label.casefold() in ("true", "false")}
    if not words or len(written) == len(words) == len({word.casefold() for word in words}):
        return read
    other = sorted(label for label in written if label.casefold() not in _TRUTH)
    if any(isinstance(value, bool | np.bool_) for value in column) and other:
        raise ValueError(f"mixes true and false with other labels, such as '{other[0]}'")
    if other:
        return read
    return [
        Cell(tuple(_TRUTH[label.casefold()] for label in cell.labels)) if cell else None
        for cell in read
    ]


def label_text(value: Any) -> str:
    """A label as text, without blanks around it.

    1.0, as tables write whole numbers beside a gap, is 1, whether it is a number or written out.
    """
    return re.sub(r"^(-?\d+)\.0+$", r"\1", str(value).strip())


def _cell(value: Any) -> Cell | None:
    if isinstance(value, Mapping):
        # A table in columns gives every row all keys, with null where a row had none.
        said = {label_text(key): _said(key, yes) for key, yes in value.items() if yes is not None}
        yes = tuple(sorted(key for key, holds in said.items() if holds))
        return Cell(yes, tuple(sorted(set(said) - set(yes))), exclusive=False)
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        labels = {label_text(label) for label in value if label is not None}
        return Cell(tuple(sorted(labels - {""})), exclusive=False)
    if pd.isna(value):
        return None
    text = label_text(value)
    return Cell((text,)) if text else None


def _said(key: Any, value: Any) -> bool:
    truth = _TRUTH.get(label_text(value).casefold())
    if truth is None:
        raise ValueError(
            f"says {value!r} of '{key}', where yes and no are true and false or 1 and 0"
        )
    return truth == YES
