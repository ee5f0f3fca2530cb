"""Which metrics `synthetic` reports: the columns each is the ratio of, its unit and anchors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from saeval.evidence import Evidence, Missing, units

from .tables import Columns, Tables


@dataclass(frozen=True)
class Metric:
    """sum(num) / sum(den) over the features or the latents."""

    name: str
    table: Literal["features", "latents"]
    num: str
    """Statistic column."""
    den: str | None
    """Statistic column; None counts the units."""
    unit: str
    better: Literal["higher", "lower", "none"]
    ceiling: float
    """Best possible value, for as many latents as features."""
    by_kind: bool = False
    """Whether it is also given apart for parents, children and other features."""
    undefined: str = ""
    """What it means where sum(den) is 0."""


METRICS = (
    Metric("mcc", "features", "cosine", "matched", "|cosine|", "higher", 1, by_kind=True),
    Metric("f1", "features", "f1", "matched", "fraction", "higher", 1, by_kind=True),
    Metric("coverage", "features", "covered", None, "fraction of features", "higher", 1),
    Metric("uniqueness", "latents", "distinct", None, "fraction of latents", "higher", 1),
    Metric("f1_nearest", "latents", "f1_nearest", None, "fraction", "higher", 1),
    Metric("dead", "latents", "dead", None, "fraction of latents", "lower", 0),
    Metric(
        "shrinkage", "features", "lost", "magnitude", "fraction of magnitude", "none", 0,
        undefined="No latent ever fires together with its feature, so nothing could shrink.",
    ),
)  # fmt: skip


def evidence(
    found: Tables, kind: Sequence[str], random: Sequence[Tables]
) -> Iterator[Evidence | Missing]:
    """Evidence of every metric, over the world as a whole and over each kind of feature.

    Args:
        found: What an SAE finds.
        kind: Of each feature.
        random: What random SAEs of its shape find; their mean is the floor.
    """
    tables = {
        "features": units("features", "feature", found.features, part=list(kind)),
        "latents": units("latents", "latent", found.latents),
    }
    most = _ceilings(found)
    for metric in METRICS:
        parts = sorted(set(kind)) if metric.by_kind and len(set(kind)) > 1 else []
        for part in (None, *parts):
            rows = slice(None) if part is None else np.array(kind) == part
            if metric.den and not getattr(found, metric.table)[metric.den][rows].sum() > 0:
                why = metric.undefined or f"None of the {part} features is matched with a latent."
                yield Missing(metric.name, why, metric.unit, metric.better, part)
                continue
            yield Evidence(
                metric.name,
                tables[metric.table],
                {"num": metric.num} | ({"den": metric.den} if metric.den else {}),
                unit=metric.unit,
                better=metric.better,
                part=part,
                floor=_floor(metric, random, rows),
                ceiling=most.get(metric.name, metric.ceiling),
            )


def _ceilings(found: Tables) -> dict[str, float]:
    """Best values of what depends on how many latents there are for the features."""
    features, latents = len(found.features["latent"]), len(found.latents["feature"])
    return {
        "coverage": min(1.0, latents / features),
        "uniqueness": min(1.0, features / latents),
    }


def _floor(metric: Metric, random: Sequence[Tables], rows: slice | np.ndarray) -> float | None:
    """Mean over random SAEs; None where the metric is undefined for one of them."""
    ratios = [_ratio(metric, getattr(tables, metric.table), rows) for tables in random]
    defined = [ratio for ratio in ratios if ratio is not None]
    return float(np.mean(defined)) if len(defined) == len(ratios) else None


def _ratio(metric: Metric, columns: Columns, rows: slice | np.ndarray) -> float | None:
    num = columns[metric.num][rows]
    den = columns[metric.den][rows].sum() if metric.den else len(num)
    return float(num.sum() / den) if den else None
