"""From tables of features and latents to the evidence of `synthetic`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from saeval.evidence import Evidence, Metric, Missing, units

from . import metrics as declared
from .tables import Columns, Tables


@dataclass(frozen=True)
class Ratio:
    """A metric that is sum(num) / sum(den) over the features or the latents."""

    metric: Metric
    table: Literal["features", "latents"]
    num: str
    """Statistic column."""
    den: str | None = None
    """Statistic column; None counts the units."""
    by_kind: bool = False
    """Whether it is also given apart for parents, children and other features."""


RATIOS = (
    Ratio(declared.MCC, "features", "cosine", "matched", by_kind=True),
    Ratio(declared.F1, "features", "f1", "matched", by_kind=True),
    Ratio(declared.COVERAGE, "features", "covered"),
    Ratio(declared.UNIQUENESS, "latents", "distinct"),
    Ratio(declared.F1_NEAREST, "latents", "f1_nearest"),
    Ratio(declared.DEAD, "latents", "dead"),
    Ratio(declared.SHRINKAGE, "features", "lost", "magnitude"),
)


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
    ceilings = _ceilings(found)
    for ratio in RATIOS:
        metric = ratio.metric
        parts = sorted(set(kind)) if ratio.by_kind and len(set(kind)) > 1 else []
        for part in (None, *parts):
            rows = slice(None) if part is None else np.array(kind) == part
            if ratio.den and not getattr(found, ratio.table)[ratio.den][rows].sum() > 0:
                none_of_kind = f"None of the {part} features is matched with a latent."
                yield metric.missing(none_of_kind if part else metric.undefined, part)
                continue
            yield metric.evidence(
                tables[ratio.table],
                {"num": ratio.num} | ({"den": ratio.den} if ratio.den else {}),
                part=part,
                floor=_floor(ratio, random, rows),
                ceiling=ceilings.get(metric),
            )


def _ceilings(found: Tables) -> dict[Metric, float]:
    """Best values of what depends on how many latents there are for the features."""
    features, latents = len(found.features["latent"]), len(found.latents["feature"])
    return {
        declared.COVERAGE: min(1.0, latents / features),
        declared.UNIQUENESS: min(1.0, features / latents),
    }


def _floor(ratio: Ratio, random: Sequence[Tables], rows: slice | np.ndarray) -> float | None:
    """Mean over random SAEs; None where the metric is undefined for one of them."""
    values = [_value(ratio, getattr(tables, ratio.table), rows) for tables in random]
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if len(defined) == len(values) else None


def _value(ratio: Ratio, columns: Columns, rows: slice | np.ndarray) -> float | None:
    num = columns[ratio.num][rows]
    den = columns[ratio.den][rows].sum() if ratio.den else len(num)
    return float(num.sum() / den) if den else None
