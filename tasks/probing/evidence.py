"""From what probes say of test rows to the evidence of `probing`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from saeval.evidence import Evidence, Metric, Missing, Units, units

from .._f1 import always_yes_f1
from . import metrics as declared
from .f1 import F1, f1_parts
from .scoring import auc_components, is_right

Columns = Mapping[str, np.ndarray]
WHOLE, OF_PART = "macro_average/1", "ratio_of_sums/1"
"""Over all problems each counts the same; over one, its rows do."""


@dataclass(frozen=True)
class Probe:
    """What is reported of one kind of probe. Columns are called as the metrics are."""

    auc: Metric
    accuracy: Metric


FULL_WIDTH = Probe(declared.AUC_FULL_WIDTH, declared.ACCURACY_FULL_WIDTH)
"""On all latents."""
DENSE = Probe(declared.AUC_DENSE, declared.ACCURACY_DENSE)
"""On the activations: it does not depend on the SAE."""


def top(k: int) -> Probe:
    """The probe on so many latents."""
    return Probe(declared.AUC_TOP.numbered(k), declared.ACCURACY_TOP.numbered(k))


@dataclass(frozen=True)
class Anchors:
    """What knows nothing, and what the activations allow."""

    auc: float
    """Of the dense probe."""
    accuracy: float
    """Of the dense probe."""
    majority: float
    """Share of rows that always saying what most rows are gets right."""
    always_yes: float
    """F1 of saying yes to everything."""


@dataclass(frozen=True)
class Problem:
    """The test rows of one label, and what was said of them."""

    part: str
    """`name/class`."""
    text: np.ndarray
    """Text of each row, a number among all texts."""
    y: Bool[np.ndarray, " rows"]
    dense: Float[np.ndarray, " rows"]
    """Log-odds of the dense probe."""
    scores: Mapping[Probe, Float[np.ndarray, " rows"]]
    """Log-odds of the probes on latents."""
    permuted: Sequence[Float[np.ndarray, " rows"]]
    """Log-odds of probes that learnt permuted labels, one for each permutation."""
    said: Mapping[F1, Bool[np.ndarray, " rows"]]
    """What the detector of each F1 says; empty where tokens are asked, not rows."""

    @property
    def columns(self) -> Columns:
        """Statistics of each row."""
        columns: dict[str, np.ndarray] = {}
        for probe, score in {**self.scores, DENSE: self.dense}.items():
            columns[probe.auc.name] = auc_components(score, self.y)
            columns[probe.accuracy.name] = is_right(score, self.y)
        areas = [auc_components(score, self.y) for score in self.permuted]
        columns[declared.AUC_PERMUTED_LABELS.name] = np.mean(areas, axis=0)
        return columns | f1_parts(self.said, self.y)

    @property
    def anchors(self) -> Anchors:
        """Floors and ceilings in this problem."""
        share = float(self.y.mean())
        return Anchors(
            auc=float(auc_components(self.dense, self.y).mean()),
            accuracy=float(is_right(self.dense, self.y).mean()),
            majority=max(share, 1 - share),
            always_yes=float(always_yes_f1(np.asarray(self.y.mean()))),
        )


def table(problems: Sequence[Problem], row: str) -> Units:
    """Evidence of every problem. Rows of one text, under several labels, are one cluster."""
    columns = [problem.columns for problem in problems]
    sizes = [len(problem.y) for problem in problems]
    return units(
        "test_rows",
        f"{row} x label",
        {name: np.concatenate([each[name] for each in columns]) for name in columns[0]},
        part=np.repeat([problem.part for problem in problems], sizes),
        unit_id=np.concatenate([problem.text for problem in problems]),
        cluster=np.concatenate([problem.text for problem in problems]),
    )


def evidence(problems: Sequence[Problem], row: str) -> Iterator[Evidence]:
    """Each metric over all problems, each of which counts the same, and then of each problem.

    Args:
        problems: At least one.
        row: What a row of a problem is: `text`, or `activation`.
    """
    rows = table(problems, row)
    mean = _mean([problem.anchors for problem in problems])
    probes, f1s = list(problems[0].scores), list(problems[0].said)
    for probe in probes:
        yield from _rates(rows, probe, mean)
    yield from _dense_rates(rows, mean)
    permuted = declared.AUC_PERMUTED_LABELS
    yield permuted.evidence(
        rows,
        {"num": permuted.name},
        aggregator=WHOLE,
        no_interval="it varies with the orders of the labels, which are but three",
    )
    for f1 in f1s:
        yield f1_of(rows, f1, mean.always_yes)
    for problem in problems:
        anchors = problem.anchors
        for probe in probes:
            yield from _rates(rows, probe, anchors, problem.part)
        for f1 in f1s:
            yield f1_of(rows, f1, anchors.always_yes, problem.part)


def _mean(anchors: Sequence[Anchors]) -> Anchors:
    names = Anchors.__dataclass_fields__
    return Anchors(
        **{name: float(np.mean([getattr(each, name) for each in anchors])) for name in names}
    )


def _rates(
    rows: Units, probe: Probe, anchors: Anchors, part: str | None = None
) -> Iterator[Evidence]:
    """AUC and accuracy of a probe on latents."""
    how = OF_PART if part else WHOLE
    yield probe.auc.evidence(
        rows, {"num": probe.auc.name}, aggregator=how, part=part, ceiling=anchors.auc
    )
    yield probe.accuracy.evidence(
        rows,
        {"num": probe.accuracy.name},
        aggregator=how,
        part=part,
        floor=anchors.majority,
        ceiling=anchors.accuracy,
    )


def _dense_rates(rows: Units, anchors: Anchors) -> Iterator[Evidence]:
    """The same of the dense probe, which is itself the ceiling."""
    yield DENSE.auc.evidence(rows, {"num": DENSE.auc.name}, aggregator=WHOLE)
    yield DENSE.accuracy.evidence(
        rows, {"num": DENSE.accuracy.name}, aggregator=WHOLE, floor=anchors.majority
    )


def f1_of(rows: Units, f1: F1, floor: float, part: str | None = None) -> Evidence:
    """F1 of one problem; without part the mean over all, each of which counts the same."""
    return f1.metric.evidence(
        rows,
        {"num": f1.hits, "den": f1.total},
        aggregator=OF_PART if part else WHOLE,
        part=part,
        floor=floor,
    )


def missing(metrics: Sequence[Metric], reason: str, part: str | None = None) -> Iterator[Missing]:
    """Metrics declared absent for one reason."""
    return (metric.missing(reason, part) for metric in metrics)
