"""The cells of a column of labels: one label, a list of labels, or yes and no for each label."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from saeval.errors import shown

YES, NO = "True", "False"
_TRUTH = {"true": YES, "1": YES, "false": NO, "0": NO}
"""Ways to write yes and no: where a column mixes them, all ways of one are the same label."""


@dataclass(frozen=True)
class Cell:
    """The labels of one row."""

    labels: tuple[str, ...]
    """Labels that hold."""
    denied: tuple[str, ...] = ()
    """Labels that the row says do not hold."""
    exclusive: bool = True
    """Whether the row states one label and no list; the text may have more labels in other rows."""


def cells(column: Sequence[Any]) -> list[Cell | None]:
    """The labels of each row; None for a row that has no value.

    A list, tuple or array holds several labels, perhaps none; a mapping says of each of its keys
    whether it holds. True, 1, "1" and "true" in one column are one label.

    Raises:
        ValueError: if a column mixes true and false with other labels, or a mapping's value is no
            yes or no, naming it.
    """
    parsed = [_parse_cell(value) for value in column]
    labels = {label for cell in parsed if cell and cell.exclusive for label in cell.labels}
    truth_words = {label for label in labels if label.casefold() in ("true", "false")}
    spellings = {word.casefold() for word in truth_words}
    if not truth_words or len(labels) == len(truth_words) == len(spellings):
        return parsed
    other = sorted(label for label in labels if label.casefold() not in _TRUTH)
    if any(isinstance(value, bool | np.bool_) for value in column) and other:
        raise ValueError(f"mixes true and false with other labels, such as '{other[0]}'")
    if other:
        return parsed
    return [
        Cell(tuple(_TRUTH[label.casefold()] for label in cell.labels)) if cell else None
        for cell in parsed
    ]


def label_text(value: Any) -> str:
    """A label as text, without blanks around it.

    1.0, as tables write whole numbers beside a gap, is 1, whether it is a number or written out.
    """
    return re.sub(r"^(-?\d+)\.0+$", r"\1", str(value).strip())


def _parse_cell(value: Any) -> Cell | None:
    if isinstance(value, Mapping):
        # A table in columns gives every row all keys, with null where a row had none.
        truth = {
            label_text(label): _truth_value(label, entry)
            for label, entry in value.items()
            if entry is not None
        }
        labels = tuple(sorted(label for label, holds in truth.items() if holds))
        return Cell(labels, tuple(sorted(set(truth) - set(labels))), exclusive=False)
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        labels = {label_text(label) for label in value if label is not None}
        return Cell(tuple(sorted(labels - {""})), exclusive=False)
    if pd.isna(value):
        return None
    text = label_text(value)
    return Cell((text,)) if text else None


def _truth_value(key: Any, value: Any) -> bool:
    truth = _TRUTH.get(label_text(value).casefold())
    if truth is None:
        raise ValueError(
            f"says {shown(value)} of '{key}', where yes and no are true and false or 1 and 0"
        )
    return truth == YES
