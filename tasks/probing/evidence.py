"""The evidence of `probing`: from what probes say of test rows to metrics."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from saeval.evidence import Evidence, Metric, Missing, Units, units

from . import metrics as declared
from .f1 import F1Metric, f1_parts
from .scoring import auc_components, is_right

Columns = Mapping[str, np.ndarray]
LABEL = "label"
"""Column of the label, the rarer of which says how many rows an AUC rests on."""
ROWS = "rows"
"""Column of the number of rows of a block; absent where each row stands for itself."""
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
class Problem:
    """The test rows of one label, with scores and predictions for them."""

    part: str
    """`name/class`."""
    text: np.ndarray
    """Text of each row, a number among all texts."""
    y: Bool[np.ndarray, " rows"]
    scores: Mapping[ProbeMetrics, Float[np.ndarray, " rows"]]
    """Log-odds of each probe."""
    permuted: Sequence[Float[np.ndarray, " rows"]]
    """Log-odds of probes that learnt permuted labels, one for each permutation."""
    predictions: Mapping[F1Metric, Bool[np.ndarray, " rows"]]
    """What the detector of each F1 predicts; empty where it is scored on tokens, not on rows."""

    @property
    def columns(self) -> Columns:
        """Statistics of each row."""
        columns: dict[str, np.ndarray] = {}
        for probe, score in self.scores.items():
            columns[probe.auc.name] = auc_components(score, self.y)
            columns[probe.accuracy.name] = is_right(score, self.y)
        areas = [auc_components(score, self.y) for score in self.permuted]
        columns[declared.AUC_PERMUTED_LABELS.name] = np.mean(areas, axis=0)
        return columns | f1_parts(self.predictions, self.y) | {LABEL: self.y}

    @property
    def majority(self) -> float:
        """Accuracy of always saying what most rows are."""
        return float(max(self.y.mean(), 1 - self.y.mean()))


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


def block_table(problems: Sequence[Problem], row: str, blocks: int) -> Units:
    """Evidence of problems over the same many rows, summed over blocks of rows.

    Rows that were drawn independently lose nothing by it, and hundreds of problems stay small.
    Column `ROWS` says how many rows a block has; `LABEL`, whether any of them has the label, by
    which blocks that an AUC rests on are counted, or 1 where most blocks have some.
    """
    rows = len(problems[0].y)
    block = np.arange(rows) * blocks // rows
    size = np.bincount(block)
    tables = []
    for problem in problems:
        sums = {
            name: np.bincount(block, column.astype(np.float64))
            for name, column in problem.columns.items()
        }
        has_label = sums[LABEL] > 0
        label = has_label if has_label.mean() <= 0.5 else np.ones(len(size), bool)
        tables.append({**sums, LABEL: label, ROWS: size})
    number = np.tile(np.arange(len(size)), len(problems))
    return units(
        "blocks_of_test_rows",
        f"{row} block x label",
        {name: np.concatenate([table[name] for table in tables]) for name in tables[0]},
        part=np.repeat([problem.part for problem in problems], len(size)),
        unit_id=number,
        cluster=number,
    )


def problem_evidence(
    problems: Sequence[Problem], row: str, blocks: int | None = None
) -> Iterator[Evidence]:
    """Each metric over all problems, each counting the same, and then for every problem.

    Args:
        problems: At least one.
        row: What a row of a problem is called: `text` or `activation`.
        blocks: Into so many blocks the rows are summed, which all problems must share; None: not.
    """
    if blocks is not None and blocks < len(problems[0].y):
        rows = block_table(problems, row, blocks)
    else:
        rows = problem_table(problems, row)
    probes, f1s = list(problems[0].scores), list(problems[0].predictions)
    for probe in probes:
        yield from _rates(rows, probe, problems)
    permuted = declared.AUC_PERMUTED_LABELS
    yield permuted.evidence(
        rows,
        _columns(rows, permuted),
        aggregator=OVER_PROBLEMS,
        no_interval="it varies with the orders of the labels, which are three at most",
    )
    for f1 in f1s:
        yield f1_evidence(rows, f1)
    for problem in problems:
        for probe in probes:
            yield from _rates(rows, probe, [problem], problem.part)
        for f1 in f1s:
            yield f1_evidence(rows, f1, problem.part)


def _rates(
    rows: Units, probe: ProbeMetrics, problems: Sequence[Problem], part: str | None = None
) -> Iterator[Evidence]:
    """AUC and accuracy of a probe on these problems; accuracy on activations has a floor."""
    majority = np.mean([problem.majority for problem in problems]) if probe == DENSE else None
    aggregator = WITHIN_PROBLEM if part else OVER_PROBLEMS
    yield probe.auc.evidence(
        rows, _columns(rows, probe.auc) | {"label": LABEL}, aggregator=aggregator, part=part
    )
    yield probe.accuracy.evidence(
        rows,
        _columns(rows, probe.accuracy),
        aggregator=aggregator,
        part=part,
        floor=None if majority is None else float(majority),
    )


def _columns(rows: Units, metric: Metric) -> dict[str, str]:
    """Where a metric that is a mean over rows has its sums, and the number of rows."""
    return {"num": metric.name} | ({"den": ROWS} if ROWS in rows.table else {})


def f1_evidence(rows: Units, f1: F1Metric, part: str | None = None) -> Evidence:
    """F1 of one problem; without a part, the mean over all problems, each counting the same."""
    return f1.metric.evidence(
        rows,
        {"num": f1.hits, "den": f1.total},
        aggregator=WITHIN_PROBLEM if part else OVER_PROBLEMS,
        part=part,
    )


def missing_metrics(
    metrics: Sequence[Metric], reason: str, part: str | None = None
) -> Iterator[Missing]:
    """Metrics declared absent for one reason."""
    return (metric.missing(reason, part) for metric in metrics)
