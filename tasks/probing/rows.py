"""The rows of each data set, with their labels and their role: fitting, validation or test."""

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
"""Share of each label's train texts."""
LEAST_TRAIN, LEAST_TEST = 20, 10
"""Texts that a label needs, and that the other labels need together."""
NO = {"0", "false", "no", "silent"}
"""Labels that only say that another one does not hold."""


@dataclass(frozen=True)
class ProbeSet:
    """A data set's rows in use, and its one-vs-rest problems."""

    name: str
    key: str
    """What draws depend on beside the seed: the key of its data set."""
    classes: tuple[str, ...]
    """Labels that are probed for."""
    text: Int[np.ndarray, " rows"]
    """Text of each row, a number among all texts."""
    y: Bool[np.ndarray, "rows classes"]
    """Whether the row has the label."""
    role: Int[np.ndarray, " rows"]
    """`FIT`, `VALIDATION` or `TEST`."""
    notices: tuple[str, ...] = ()
    """What a reader of its scores must know: the notices of its data set."""

    @property
    def train(self) -> Bool[np.ndarray, " rows"]:
        """Rows that probes learn from in the end: all but the test rows."""
        return self.role != TEST

    @property
    def test(self) -> Bool[np.ndarray, " rows"]:
        """Rows that scores are computed on."""
        return self.role == TEST

    @property
    def parts(self) -> list[str]:
        """Name of each problem."""
        return [f"{self.name}/{label}" for label in self.classes]


def draw_probe_set(
    data_set: DataSet, train: int, test: int, seed: int, numbers: "TextNumbers"
) -> ProbeSet:
    """Draw about so many train and test rows, each label in proportion to its share."""
    halves = [
        _draw_half(data_set.train, train, seed, "train"),
        _draw_half(data_set.test, test, seed, "test"),
    ]
    sample = LabelledTexts(
        tuple(text for half in halves for text in half.texts),
        tuple(labels for half in halves for labels in half.labels),
    )
    role = np.repeat([FIT, TEST], [len(half.labels) for half in halves])
    _mark_validation(role, sample.strata, generator(seed, f"validation/{data_set.key}"))
    classes = problem_labels(data_set)
    return ProbeSet(
        data_set.name,
        data_set.key,
        classes,
        numbers(sample.texts),
        sample.has(classes),
        role,
        data_set.notices,
    )


def problem_labels(data_set: DataSet) -> tuple[str, ...]:
    """Labels that are probed for: all of them, but of two that exclude each other only one.

    It is the one that says yes (`true` of false and true, 1 of 0 and 1), or else the second in
    the order of their characters (`male` of female and male). Whether the one holds is whether the
    other does not, so that a second problem would count the first one twice.
    """
    label_sets = {labels for half in (data_set.train, data_set.test) for labels in half.labels}
    classes = tuple(sorted({label for labels in label_sets for label in labels}))
    if len(classes) != 2 or any(len(labels) != 1 for labels in label_sets):
        return classes
    yes = [label for label in classes if label.casefold() not in NO]
    return (yes[0],) if len(yes) == 1 else classes[1:]


def check_has_tests(data_set: DataSet) -> None:
    """Check that a data set has texts to test on.

    Raises:
        DataError: if it has none.
    """
    if not data_set.test.labels:
        raise DataError(
            f"'{data_set.name}' has {len(data_set.train.labels)} distinct texts, too few to hold "
            "a quarter of each label's out for testing. Give more, or a `test` file."
        )


class TextNumbers:
    """A number for each distinct text, in the order of first appearance."""

    def __init__(self) -> None:
        self.number_of: dict[str | int, int] = {}

    def __call__(self, texts: Iterable[str | int]) -> Int[np.ndarray, " texts"]:
        """Number of each text; new ones are added."""
        return np.array([self.number_of.setdefault(text, len(self.number_of)) for text in texts])


def class_order(texts: LabelledTexts, seed: int, half: str) -> dict[str, Int[np.ndarray, " rows"]]:
    """Row numbers of each label's texts, in random order."""
    order = generator(seed, f"rows/{half}").permutation(len(texts.labels))
    has = texts.has(texts.classes)[order]
    return {label: order[has[:, column]] for column, label in enumerate(texts.classes)}


def _draw_half(texts: LabelledTexts, size: int, seed: int, half: str) -> LabelledTexts:
    """A random sample of each stratum, in proportion to its size and with one text at least."""
    share = min(1.0, size / max(1, len(texts.labels)))
    order = generator(seed, f"rows/{half}").permutation(len(texts.labels))
    strata = texts.strata[order]
    orders = [order[strata == stratum] for stratum in np.unique(strata)]
    parts = [order[: max(1, round(len(order) * share))] for order in orders]
    return texts.take(np.sort(np.concatenate(parts)))


def _mark_validation(
    role: Int[np.ndarray, " rows"], labels: np.ndarray, rng: np.random.Generator
) -> None:
    """Make a fifth of each label's train rows validation rows."""
    order = rng.permutation(np.flatnonzero(role == FIT))
    strata = pd.Series(labels[order])
    rank = strata.groupby(strata).cumcount().to_numpy()
    size = strata.groupby(strata).transform("size").to_numpy()
    role[order[rank < np.round(size * VALIDATION_SHARE)]] = VALIDATION


def with_usable_labels(probe_set: ProbeSet) -> tuple[ProbeSet, dict[str, str]]:
    """The probe set with only the labels that can be probed for; and why the others cannot."""
    columns = zip(probe_set.classes, probe_set.y.T, strict=True)
    refusals = {label: _refusal(y, probe_set) for label, y in columns}
    numbers = [number for number, label in enumerate(probe_set.classes) if not refusals[label]]
    classes = tuple(probe_set.classes[number] for number in numbers)
    reasons = {label: reason for label, reason in refusals.items() if reason}
    return replace(probe_set, classes=classes, y=probe_set.y[:, numbers]), reasons


def _refusal(y: Bool[np.ndarray, " rows"], probe_set: ProbeSet) -> str:
    """Why a label cannot be probed for; empty if it can."""
    halves = ((probe_set.train, LEAST_TRAIN, "train"), (probe_set.test, LEAST_TEST, "test"))
    for rows, least, half in halves:
        for side, verb in ((y, "have"), (~y, "lack")):
            count = int((side & rows).sum())
            if count < least:
                return f"Only {count} {half} rows {verb} this label; at least {least} are needed."
    return ""


def world_set(world: SyntheticWorld, train: int, test: int, seed: int) -> ProbeSet:
    """Features of a synthetic world as labels of its activations, at the rate at which they fire.

    All features that fire often enough, whatever the seed: of so many rows it is expected that at
    least twice `LEAST_TRAIN` train and twice `LEAST_TEST` test rows have the feature, and lack it.
    """
    truth = evaluation_sample(world.spec.name).truth
    text = generator(seed, "world").permutation(ROWS)[: train + test]
    role = np.where(np.arange(len(text)) < train, FIT, TEST)
    role[: round(train * VALIDATION_SHARE)] = VALIDATION
    fires = np.bincount(truth.indices[truth.data > 0], minlength=world.spec.features)
    rate = fires / len(truth.indptr[1:])
    rarer = np.minimum(rate, 1 - rate)
    enough = (rarer * train >= 2 * LEAST_TRAIN) & (rarer * test >= 2 * LEAST_TEST)
    features = np.flatnonzero(enough)
    names = tuple(f"feature_{number}" for number in features)
    y = (truth[text][:, features] > 0).toarray()
    return ProbeSet(world.spec.name, world.spec.name, names, text, y, role)


def to_arrays(sets: Sequence[ProbeSet]) -> dict[str, np.ndarray]:
    """Probe sets as named arrays, for `Prepared`."""
    arrays: dict[str, np.ndarray] = {}
    for number, probe_set in enumerate(sets):
        arrays |= {
            f"text_{number}": probe_set.text,
            f"y_{number}": probe_set.y,
            f"role_{number}": probe_set.role,
        }
    return arrays


def from_arrays(arrays: Mapping[str, np.ndarray], listing: Iterable[Mapping]) -> list[ProbeSet]:
    """Probe sets from the arrays of `to_arrays` and the listing of names and classes."""
    return [
        ProbeSet(
            entry["name"],
            entry["key"],
            tuple(entry["classes"]),
            np.asarray(arrays[f"text_{number}"], np.int64),
            np.asarray(arrays[f"y_{number}"], bool),
            np.asarray(arrays[f"role_{number}"], np.int64),
        )
        for number, entry in enumerate(listing)
    ]
