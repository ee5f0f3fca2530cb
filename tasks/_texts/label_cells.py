"""The cells of a column of labels: one label, a list of labels, or yes and no for each label."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from saeval.errors import shown

from .equal_texts import visible_text

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
    whether it holds. True, 1, "1" and "true" in one column are one label, in lists too. Give the
    column of all files of a data set at once, so that its files agree.

    Raises:
        ValueError: if a column writes true or false in several ways, or as itself, beside other
            labels; or a mapping's value is no yes or no, naming it.
    """
    parsed = [_parse_cell(value) for value in column]
    keys_aside = [
        cell
        for cell, value in zip(parsed, column, strict=True)
        if cell is not None and not isinstance(value, Mapping)
    ]
    labels = {label for cell in keys_aside for label in cell.labels}
    words = {label for label in labels if label.casefold() in ("true", "false")}
    digits = {label for label in labels - words if label in _TRUTH}
    is_mixed = bool(digits) or len({word.casefold() for word in words}) < len(words)
    other = sorted(labels - words - digits)
    if words and other and (is_mixed or any(map(_holds_truth, column))):
        raise ValueError(f"mixes true and false with other labels, such as '{other[0]}'")
    if not words or other or not is_mixed:
        return parsed
    return [
        cell
        if cell is None or isinstance(value, Mapping)
        else replace(cell, labels=tuple(sorted({_TRUTH[name.casefold()] for name in cell.labels})))
        for cell, value in zip(parsed, column, strict=True)
    ]


def _holds_truth(value: Any) -> bool:
    """Whether a cell is true or false itself, not a text of it, or a list that holds one."""
    entries = value if isinstance(value, list | tuple | set | frozenset | np.ndarray) else [value]
    return any(isinstance(entry, bool | np.bool_) for entry in entries)


def label_text(value: Any) -> str:
    """A label as text: one composed Unicode form, no invisible characters, no needless blanks.

    1.0, as tables write whole numbers beside a gap, is 1, whether it is a number or written out.
    """
    return re.sub(r"^(-?\d+)\.0+$", r"\1", visible_text(str(value), "NFC"))


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
