"""The evidence of `probing`: from what probes say of test rows to metrics."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from saeval.evidence import Evidence, Metric, Missing, Units, units

from .._f1 import always_yes_f1
from . import metrics as declared
from .f1 import F1Metric, f1_parts
from .scoring import auc_components, is_right

Columns = Mapping[str, np.ndarray]
LABEL = "label"
"""Column of the label, the rarer of which says how many rows an AUC rests on."""
OVER_PROBLEMS, WITHIN_PROBLEM = "macro_average/1", "ratio_of_sums/1"
"""Over all problems, each problem counts the same; within one, each row does."""


@dataclass(frozen=True)
class ProbeMetrics:
    """The metrics of one kind of probe. The columns of the table bear the metrics' names."""

    auc: Metric
    accuracy: Metric


FULL_WIDTH = ProbeMetrics(declared.AUC_FULL_WIDTH, declared.ACCURACY_FULL_WIDTH)
"""Metrics of the probe on all latents."""
DENSE = ProbeMetrics(declared.AUC_DENSE, declared.ACCURACY_DENSE)
"""Metrics of the probe on the activations, which does not depend on the SAE."""


def top_k_probe(k: int) -> ProbeMetrics:
    """Metrics of the probe on k latents."""
    return ProbeMetrics(declared.AUC_TOP.numbered(k), declared.ACCURACY_TOP.numbered(k))


@dataclass(frozen=True)
class Anchors:
    """Floors, which are scores of knowing nothing, and ceilings, which the activations allow."""

    auc: float
    """Ceiling, from the dense probe."""
    accuracy: float
    """Ceiling, from the dense probe."""
    majority: float
    """Share of rows that have the more common label: the accuracy of always predicting it."""
    always_yes: float
    """F1 of saying yes to everything."""


@dataclass(frozen=True)
class Problem:
    """The test rows of one label, with scores and predictions for them."""

    part: str
    """`name/class`."""
    text: np.ndarray
    """Text of each row, a number among all texts."""
    y: Bool[np.ndarray, " rows"]
    dense: Float[np.ndarray, " rows"]
    """Log-odds of the dense probe."""
    scores: Mapping[ProbeMetrics, Float[np.ndarray, " rows"]]
    """Log-odds of the probes on latents."""
    permuted: Sequence[Float[np.ndarray, " rows"]]
    """Log-odds of probes that learnt permuted labels, one for each permutation."""
    predictions: Mapping[F1Metric, Bool[np.ndarray, " rows"]]
    """What the detector of each F1 predicts; empty where it is scored on tokens, not on rows."""

    @property
    def columns(self) -> Columns:
        """Statistics of each row."""
        columns: dict[str, np.ndarray] = {}
        for probe, score in {**self.scores, DENSE: self.dense}.items():
            columns[probe.auc.name] = auc_components(score, self.y)
            columns[probe.accuracy.name] = is_right(score, self.y)
        areas = [auc_components(score, self.y) for score in self.permuted]
        columns[declared.AUC_PERMUTED_LABELS.name] = np.mean(areas, axis=0)
        return columns | f1_parts(self.predictions, self.y) | {LABEL: self.y}

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


def problem_table(problems: Sequence[Problem], row: str) -> Units:
    """Evidence of every problem. Rows of one text, under several labels, are one cluster."""
    columns = [problem.columns for problem in problems]
    sizes = [len(problem.y) for problem in problems]
    return units(
        "test_rows",
        f"{row} x label",
        {name: np.concatenate([part[name] for part in columns]) for name in columns[0]},
        part=np.repeat([problem.part for problem in problems], sizes),
        unit_id=np.concatenate([problem.text for problem in problems]),
        cluster=np.concatenate([problem.text for problem in problems]),
    )


def problem_evidence(problems: Sequence[Problem], row: str) -> Iterator[Evidence]:
    """Each metric over all problems, each counting the same, and then for every problem.

    Args:
        problems: At least one.
        row: What a row of a problem is called: `text` or `activation`.
    """
    rows = problem_table(problems, row)
    mean = _mean_anchors([problem.anchors for problem in problems])
    probes, f1s = list(problems[0].scores), list(problems[0].predictions)
    for probe in probes:
        yield from _latent_rates(rows, probe, mean)
    yield from _dense_rates(rows, mean)
    permuted = declared.AUC_PERMUTED_LABELS
    yield permuted.evidence(
        rows,
        {"num": permuted.name},
        aggregator=OVER_PROBLEMS,
        no_interval="it varies with the orders of the labels, which are but three",
    )
    for f1 in f1s:
        yield f1_evidence(rows, f1, mean.always_yes)
    for problem in problems:
        anchors = problem.anchors
        for probe in probes:
            yield from _latent_rates(rows, probe, anchors, problem.part)
        for f1 in f1s:
            yield f1_evidence(rows, f1, anchors.always_yes, problem.part)


def _mean_anchors(anchors: Sequence[Anchors]) -> Anchors:
    names = Anchors.__dataclass_fields__
    return Anchors(
        **{name: float(np.mean([getattr(anchor, name) for anchor in anchors])) for name in names}
    )


def _latent_rates(
    rows: Units, probe: ProbeMetrics, anchors: Anchors, part: str | None = None
) -> Iterator[Evidence]:
    """AUC and accuracy of a probe on latents."""
    aggregator = WITHIN_PROBLEM if part else OVER_PROBLEMS
    yield probe.auc.evidence(
        rows,
        {"num": probe.auc.name, "label": LABEL},
        aggregator=aggregator,
        part=part,
        ceiling=anchors.auc,
    )
    yield probe.accuracy.evidence(
        rows,
        {"num": probe.accuracy.name},
        aggregator=aggregator,
        part=part,
        floor=anchors.majority,
        ceiling=anchors.accuracy,
    )


def _dense_rates(rows: Units, anchors: Anchors) -> Iterator[Evidence]:
    """AUC and accuracy of the dense probe, which is itself the ceiling and so has none."""
    columns = {"num": DENSE.auc.name, "label": LABEL}
    yield DENSE.auc.evidence(rows, columns, aggregator=OVER_PROBLEMS)
    yield DENSE.accuracy.evidence(
        rows, {"num": DENSE.accuracy.name}, aggregator=OVER_PROBLEMS, floor=anchors.majority
    )


def f1_evidence(rows: Units, f1: F1Metric, floor: float, part: str | None = None) -> Evidence:
    """F1 of one problem; without a part, the mean over all problems, each counting the same."""
    return f1.metric.evidence(
        rows,
        {"num": f1.hits, "den": f1.total},
        aggregator=WITHIN_PROBLEM if part else OVER_PROBLEMS,
        part=part,
        floor=floor,
    )


def missing_metrics(
    metrics: Sequence[Metric], reason: str, part: str | None = None
) -> Iterator[Missing]:
    """Metrics declared absent for one reason."""
    return (metric.missing(reason, part) for metric in metrics)
