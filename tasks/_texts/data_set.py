"""A labelled data set: as a list describes it (`Listed`), and as it is read (`DataSet`)."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int


@dataclass(frozen=True)
class Labelled:
    """Texts (or, of stored activations, rows) and the labels of each, often one."""

    texts: tuple[str | int, ...]
    labels: tuple[tuple[str, ...], ...]
    """Of each text, sorted; none where no label holds."""

    @property
    def classes(self) -> tuple[str, ...]:
        """All labels, sorted."""
        return tuple(sorted({label for labels in self.labels for label in labels}))

    @cached_property
    def strata(self) -> Int[np.ndarray, " texts"]:
        """By what texts are drawn in proportion: the rarest of a text's labels, by number.

        So each label keeps its share, however labels combine; texts without any have -1.
        """
        count = Counter(label for labels in self.labels for label in labels)
        place = {label: number for number, label in enumerate(self.classes)}
        rarest = (min(labels, key=lambda a: (count[a], a), default=None) for labels in self.labels)
        return np.array([-1 if a is None else place[a] for a in rarest], dtype=np.int64)

    def has(self, classes: Sequence[str]) -> Bool[np.ndarray, "texts classes"]:
        """Whether a text has a label, for each text and each of some labels."""
        found = np.zeros((len(self.texts), len(classes)), bool)
        place = {label: number for number, label in enumerate(classes)}
        for row, labels in zip(found, self.labels, strict=True):
            row[[place[label] for label in labels if label in place]] = True
        return found

    def take(self, index: Sequence[int] | Int[np.ndarray, " rows"]) -> "Labelled":
        """Some of them."""
        return Labelled(tuple(self.texts[i] for i in index), tuple(self.labels[i] for i in index))


@dataclass(frozen=True)
class DataSet:
    """A labelled data set, its test texts apart."""

    name: str
    """What its parts are called by; no draw depends on it."""
    train: Labelled
    test: Labelled
    key: str
    """What every draw depends on beside the seed: the digest of its content, or, of sets that are
    made by rule, their name."""
    notices: tuple[str, ...] = ()
    """What a reader of its scores must know: texts left out, contradictions, near-duplicates."""


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
