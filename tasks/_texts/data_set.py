"""A labelled data set: as a list describes it (`Listed`), and as it is read (`DataSet`)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int


@dataclass(frozen=True)
class Labelled:
    """Texts (or, of stored activations, rows) and the label of each."""

    texts: tuple[str | int, ...]
    labels: tuple[str, ...]

    def take(self, index: Sequence[int] | Int[np.ndarray, " rows"]) -> "Labelled":
        """Some of them."""
        return Labelled(tuple(self.texts[i] for i in index), tuple(self.labels[i] for i in index))


@dataclass(frozen=True)
class DataSet:
    """A labelled data set, its test texts apart."""

    name: str
    train: Labelled
    test: Labelled


@dataclass(frozen=True)
class Listed:
    """A data set as a list of them describes it, not read yet."""

    name: str
    train: tuple[Path, ...]
    """Files, read one after the other."""
    test: tuple[Path, ...] | None = None
    """None: some of `train`, drawn by the seed."""
    text: str = "text"
    """Column of texts."""
    label: str = "label"
    """Column of labels."""
    edit: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    """What a publisher's table needs before it is read."""


def label_text(value: Any) -> str:
    """A label as text, without blanks around it.

    1.0, as tables write whole numbers beside a gap, is 1, whether it is a number or written out.
    """
    return re.sub(r"^(-?\d+)\.0+$", r"\1", str(value).strip())
