"""Which texts of each data set serve what: fitting, validation, test; and their labels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from saeval.errors import DataError
from saeval.lab.synthetic import SyntheticWorld, evaluation_sample
from saeval.lab.synthetic.source import ROWS

from .._draws import generator
from .._texts.data_set import DataSet, LabelledTexts

FIT, VALIDATION, TEST = 0, 1, 2
VALIDATION_SHARE = 0.2
"""Of the train texts of each label."""
LEAST_TRAIN, LEAST_TEST = 20, 10
"""Texts that a label needs, and that the other labels need together."""
NO = {"0", "false", "no", "silent"}
"""Of two labels, one that only says that the other does not hold."""


@dataclass(frozen=True)
class ProbeSet:
    """A data set's rows in use, and its one-vs-rest problems."""

    name: str
    key: str
    """What draws depend on beside the seed, as a data set's."""
    classes: tuple[str, ...]
    """Labels that are probed for."""
    text: Int[np.ndarray, " rows"]
    """Text of each row, a number among all texts."""
    y: Bool[np.ndarray, "rows classes"]
    """Whether the row has the label."""
    role: Int[np.ndarray, " rows"]
    """`FIT`, `VALIDATION` or `TEST`."""
    notices: tuple[str, ...] = ()
    """What a reader of its scores must know, as of its data set."""

    @property
    def train(self) -> Bool[np.ndarray, " rows"]:
        """Rows that probes learn from in the end: all but the test rows."""
        return self.role != TEST

    @property
    def test(self) -> Bool[np.ndarray, " rows"]:
        """Rows that scores are about."""
        return self.role == TEST

    @property
    def parts(self) -> list[str]:
        """Name of each problem."""
        return [f"{self.name}/{label}" for label in self.classes]


def take(one: DataSet, train: int, test: int, seed: int, number: "Numbers") -> ProbeSet:
    """About so many train and test rows, with the labels in the proportion that they have."""
    halves = [_drawn(one.train, train, seed, "train"), _drawn(one.test, test, seed, "test")]
    drawn = LabelledTexts(
        tuple(text for half in halves for text in half.texts),
        tuple(labels for half in halves for labels in half.labels),
    )
    role = np.repeat([FIT, TEST], [len(half.labels) for half in halves])
    _set_aside(role, drawn.strata, generator(seed, f"validation/{one.key}"))
    classes = list(drawn.classes)
    yes = [label for label in classes if label.casefold() not in NO]
    alone = all(len(labels) == 1 for labels in drawn.labels)
    if alone and len(classes) == 2 and len(yes) == 1:
        classes = yes
    return ProbeSet(
        one.name,
        one.key,
        tuple(classes),
        number(drawn.texts),
        drawn.has(classes),
        role,
        one.notices,
    )


def with_tests(one: DataSet) -> DataSet:
    """The data set as it is.

    Raises:
        DataError: if it has no texts to test on.
    """
    if not one.test.labels:
        raise DataError(
            f"'{one.name}' has {len(one.train.labels)} distinct texts, too few to hold a quarter "
            "of each label's out for testing. Give more, or a `test` file."
        )
    return one


class Numbers:
    """Distinct texts in the order in which they were first seen."""

    def __init__(self) -> None:
        self.place: dict[str | int, int] = {}

    def __call__(self, texts: Iterable[str | int]) -> Int[np.ndarray, " texts"]:
        """Number of each text; new ones are added."""
        return np.array([self.place.setdefault(text, len(self.place)) for text in texts])


def class_order(texts: LabelledTexts, seed: int, half: str) -> dict[str, Int[np.ndarray, " rows"]]:
    """Places of each label's texts, in random order."""
    order = generator(seed, f"rows/{half}").permutation(len(texts.labels))
    has = texts.has(texts.classes)[order]
    return {label: order[has[:, place]] for place, label in enumerate(texts.classes)}


def _drawn(texts: LabelledTexts, most: int, seed: int, half: str) -> LabelledTexts:
    """Each label's first texts of its order, as many as its share of all."""
    share = min(1.0, most / max(1, len(texts.labels)))
    order = generator(seed, f"rows/{half}").permutation(len(texts.labels))
    strata = texts.strata[order]
    orders = [order[strata == stratum] for stratum in np.unique(strata)]
    kept = [order[: max(1, round(len(order) * share))] for order in orders]
    return texts.take(np.sort(np.concatenate(kept)))


def _set_aside(
    role: Int[np.ndarray, " rows"], labels: np.ndarray, rng: np.random.Generator
) -> None:
    """Make a fifth of each label's train rows validation rows."""
    order = rng.permutation(np.flatnonzero(role == FIT))
    drawn = pd.Series(labels[order])
    rank = drawn.groupby(drawn).cumcount().to_numpy()
    size = drawn.groupby(drawn).transform("size").to_numpy()
    role[order[rank < np.round(size * VALIDATION_SHARE)]] = VALIDATION


def usable(one: ProbeSet) -> tuple[ProbeSet, dict[str, str]]:
    """The labels that can be probed for, and why the others cannot."""
    refused = {label: _refusal(y, one) for label, y in zip(one.classes, one.y.T, strict=True)}
    kept = [number for number, label in enumerate(one.classes) if not refused[label]]
    classes = tuple(one.classes[number] for number in kept)
    reasons = {label: reason for label, reason in refused.items() if reason}
    return replace(one, classes=classes, y=one.y[:, kept]), reasons


def _refusal(y: Bool[np.ndarray, " rows"], one: ProbeSet) -> str:
    """Why a label cannot be probed for; empty if it can."""
    for rows, least, where in ((one.train, LEAST_TRAIN, "train"), (one.test, LEAST_TEST, "test")):
        for side, which in ((y, "have"), (~y, "lack")):
            count = int((side & rows).sum())
            if count < least:
                return f"Only {count} {where} rows {which} this label; at least {least} are needed."
    return ""


def world_set(world: SyntheticWorld, features: int, train: int, test: int, seed: int) -> ProbeSet:
    """Features of a synthetic world as labels of its activations, at the rate at which they fire.

    A feature needs `LEAST_TRAIN` train and `LEAST_TEST` test rows on which it fires.
    """
    truth = evaluation_sample(world.spec.name).truth
    rng = generator(seed, "world")
    text = rng.permutation(ROWS)[: train + test]
    role = np.where(np.arange(len(text)) < train, FIT, TEST)
    role[: round(train * VALIDATION_SHARE)] = VALIDATION
    fires = truth[text] > 0
    learnt, tested = (
        np.asarray(fires[role == TEST if last else role != TEST].sum(0)).ravel()
        for last in (False, True)
    )
    enough = np.flatnonzero((learnt >= LEAST_TRAIN) & (tested >= LEAST_TEST))
    kept = np.sort(rng.permutation(enough)[:features])
    names = tuple(f"feature_{number}" for number in kept)
    return ProbeSet(world.spec.name, world.spec.name, names, text, fires[:, kept].toarray(), role)


def written(sets: Sequence[ProbeSet]) -> dict[str, np.ndarray]:
    """Data sets as arrays."""
    found: dict[str, np.ndarray] = {}
    for number, one in enumerate(sets):
        found |= {f"text_{number}": one.text, f"y_{number}": one.y, f"role_{number}": one.role}
    return found


def read_back(arrays: Mapping[str, np.ndarray], listing: Iterable[Mapping]) -> list[ProbeSet]:
    """Data sets from arrays and the listing of names and classes."""
    return [
        ProbeSet(
            one["name"],
            one["key"],
            tuple(one["classes"]),
            np.asarray(arrays[f"text_{number}"], np.int64),
            np.asarray(arrays[f"y_{number}"], bool),
            np.asarray(arrays[f"role_{number}"], np.int64),
        )
        for number, one in enumerate(listing)
    ]
