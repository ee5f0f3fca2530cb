"""From tables of features and latents to the evidence of `synthetic`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from saeval.evidence import Evidence, Metric, Missing, units

from . import metrics as declared
from .tables import RecoveryTables


@dataclass(frozen=True)
class RecoveryRatio:
    """A metric that is sum(num) / sum(den) over the features or the latents."""

    metric: Metric
    table: Literal["features", "latents"]
    num: str
    """Statistic column."""
    den: str | None = None
    """Statistic column; None counts the units."""
    by_kind: bool = False
    """Whether it is also reported separately for parents, children and other features."""


RATIOS = (
    RecoveryRatio(declared.MCC, "features", "cosine", "matched", by_kind=True),
    RecoveryRatio(declared.F1, "features", "f1", "matched", by_kind=True),
    RecoveryRatio(declared.COVERAGE, "features", "covered"),
    RecoveryRatio(declared.UNIQUENESS, "latents", "distinct"),
    RecoveryRatio(declared.F1_NEAREST, "latents", "f1_nearest"),
    RecoveryRatio(declared.DEAD, "latents", "dead"),
    RecoveryRatio(declared.SHRINKAGE, "features", "lost", "magnitude"),
)


def recovery_evidence(tables: RecoveryTables, kind: Sequence[str]) -> Iterator[Evidence | Missing]:
    """Evidence of every metric, over the world as a whole and over each kind of feature.

    Args:
        tables: The tables of an SAE.
        kind: Kind of each feature.
    """
    unit_tables = {
        "features": units("features", "feature", tables.features, part=list(kind)),
        "latents": units("latents", "latent", tables.latents),
    }
    ceilings = _ceilings(tables)
    for ratio in RATIOS:
        metric = ratio.metric
        parts = sorted(set(kind)) if ratio.by_kind and len(set(kind)) > 1 else []
        for part in (None, *parts):
            rows = slice(None) if part is None else np.array(kind) == part
            if ratio.den and not getattr(tables, ratio.table)[ratio.den][rows].sum() > 0:
                none_of_kind = f"None of the {part} features is matched with a latent."
                yield metric.missing(none_of_kind if part else metric.undefined, part)
                continue
            yield metric.evidence(
                unit_tables[ratio.table],
                {"num": ratio.num} | ({"den": ratio.den} if ratio.den else {}),
                part=part,
                ceiling=ceilings.get(metric),
            )


def _ceilings(tables: RecoveryTables) -> dict[Metric, float]:
    """Best values of the metrics that are limited by the number of latents or of features."""
    features, latents = len(tables.features["latent"]), len(tables.latents["feature"])
    return {
        declared.COVERAGE: min(1.0, latents / features),
        declared.UNIQUENESS: min(1.0, features / latents),
    }
