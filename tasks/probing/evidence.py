"""Which metrics `probing` reports, their columns, and where each one's floor and ceiling lie."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from saeval.evidence import Evidence, Missing, Units, units

from .._f1 import always_yes_f1
from .f1 import f1_parts
from .scoring import auc_components

Columns = Mapping[str, Float[np.ndarray, " rows"]]
MACRO = "macro_average/1"
"""Every problem counts the same."""


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
    scores: Mapping[str, Float[np.ndarray, " rows"]]
    """Probe, such as `top_4` or `full_width` -> log-odds."""
    permuted: Sequence[Float[np.ndarray, " rows"]]
    """Log-odds of probes that learnt permuted labels, one for each permutation."""
    said: Mapping[str, Bool[np.ndarray, " rows"]]
    """F1 metric -> what its detector says; empty where tokens are asked, not rows."""

    @property
    def columns(self) -> Columns:
        """Statistics of each row."""
        found = _auc_and_accuracy({**self.scores, "dense": self.dense}, self.y)
        areas = [auc_components(score, self.y) for score in self.permuted]
        found["auc_permuted_labels"] = np.mean(areas, axis=0)
        return found | f1_parts(self.said, self.y)

    @property
    def anchors(self) -> Mapping[str, float]:
        """What knows nothing, and what the activations allow, by kind of metric."""
        share = float(self.y.mean())
        return {
            "auc": float(auc_components(self.dense, self.y).mean()),
            "accuracy": float(((self.dense > 0) == self.y).mean()),
            "majority": max(share, 1 - share),
            "always_yes": float(always_yes_f1(np.asarray(self.y.mean()))),
        }


def _auc_and_accuracy(
    scores: Mapping[str, Float[np.ndarray, " rows"]], y: Bool[np.ndarray, " rows"]
) -> dict[str, Float[np.ndarray, " rows"]]:
    found = {}
    for probe, score in scores.items():
        found[f"auc_{probe}"] = auc_components(score, y)
        found[f"accuracy_{probe}"] = ((score > 0) == y).astype(np.float64)
    return found


def table(problems: list[Problem]) -> Units:
    """Evidence of every problem. Rows of one text, under several labels, are one cluster."""
    columns = [one.columns for one in problems]
    sizes = [len(one.y) for one in problems]
    return units(
        "test_rows",
        "row",
        {name: np.concatenate([each[name] for each in columns]) for name in columns[0]},
        part=np.repeat([one.part for one in problems], sizes),
        unit_id=np.concatenate([one.text for one in problems]),
        cluster=np.concatenate([one.text for one in problems]),
    )


def evidence(problems: list[Problem]) -> Iterator[Evidence]:
    """Each metric over all problems, each of which counts the same, and then of each problem."""
    rows = table(problems)
    anchors = [one.anchors for one in problems]
    mean = {name: float(np.mean([each[name] for each in anchors])) for name in anchors[0]}
    probes, said = list(problems[0].scores), list(problems[0].said)
    for probe in [*probes, "dense"]:
        for kind in ("auc", "accuracy"):
            yield _rate(rows, f"{kind}_{probe}", mean, MACRO)
    yield Evidence(
        "auc_permuted_labels", rows, {"num": "auc_permuted_labels"}, "fraction",
        better="none", aggregator=MACRO, floor=0.5,
        no_interval="it varies with the orders of the labels, which are but three",
    )  # fmt: skip
    for metric in said:
        yield f1_of(rows, metric, mean["always_yes"])
    for one, own in zip(problems, anchors, strict=True):
        for probe in probes:
            for kind in ("auc", "accuracy"):
                yield _rate(rows, f"{kind}_{probe}", own, "ratio_of_sums/1", one.part)
        for metric in said:
            yield f1_of(rows, metric, own["always_yes"], one.part)


def _rate(
    rows: Units, metric: str, anchors: Mapping[str, float], how: str, part: str | None = None
) -> Evidence:
    """AUC or accuracy. What does not depend on the SAE has no direction and no ceiling."""
    kind = metric.partition("_")[0]
    own = metric.endswith("_dense")
    better: Literal["none", "higher"] = "none" if own else "higher"
    return Evidence(
        metric,
        rows,
        {"num": metric},
        "fraction",
        better=better,
        aggregator=how,
        part=part,
        floor=0.5 if kind == "auc" else anchors["majority"],
        ceiling=None if own else anchors[kind],
    )


def f1_of(rows: Units, metric: str, floor: float, part: str | None = None) -> Evidence:
    """F1 of one problem; without part the mean over all, each of which counts the same."""
    return Evidence(
        metric,
        rows,
        {"num": f"{metric}_hits", "den": f"{metric}_total"},
        "fraction",
        better="higher",
        aggregator="ratio_of_sums/1" if part else MACRO,
        part=part,
        floor=floor,
        ceiling=1,
    )


def missing(metrics: Sequence[str], reason: str, part: str | None = None) -> Iterator[Missing]:
    """Metrics declared absent for one reason."""
    for metric in metrics:
        yield Missing(metric, reason, unit="fraction", better="higher", part=part)
