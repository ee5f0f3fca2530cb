"""The evidence of `absorption` about families: from what an SAE does with them to metrics."""

from collections.abc import Iterator, Mapping

import pandas as pd

from saeval.evidence import Evidence, Metric, Missing, Units, units

from . import metrics as declared
from .evidence import missing_metrics
from .pairs import FamilyTables

TOO_RARE = (
    "In no family do the parent and a child occur among the documents of both splits. Raise "
    "absorption.documents."
)
NONE_TO_KEEP = (
    "In no family do the parent and two children occur among the documents of both splits, one of "
    "which the model takes for its parent. Raise absorption.documents."
)

DIFFERENCE_METRICS: Mapping[str, tuple[Metric, Metric]] = {
    "absorbed_child": (declared.HIERARCHY_ABSORPTION, declared.HIERARCHY_FALSE_ALARM),
    "silent_child": (declared.HIERARCHY_SILENCE, declared.COMPANION_SILENCE),
}
"""Column of occurrences -> metric over true families, and over matched pairs. Each is the rate of
the column at children, less the rate of silence at the parent's own word."""
FAMILY_METRICS = (
    declared.HIERARCHY_ABSORPTION,
    declared.HIERARCHY_SILENCE,
    declared.CHILD_SEEN_AS_PARENT,
    declared.PARENT_LATENT_F1,
)
"""Over true families."""


def kept_parents_evidence(families: pd.DataFrame) -> Evidence | Missing:
    """How well parents are kept at their children, of what `kept_parents` gives."""
    metric = declared.KEPT_PARENT_F1
    if not len(families):
        return metric.missing(NONE_TO_KEEP)
    sums = {column: families[column].to_numpy() for column in ("hits", "total")}
    table = units("kept_parents", "parent", sums, unit_id=families["parent"].to_numpy())
    return metric.evidence(table, {"num": "hits", "den": "total"})


def hierarchy_evidence(true: FamilyTables, matched: FamilyTables) -> Iterator[Evidence | Missing]:
    """Absorption in true families, and the same figures of matched pairs that are no families."""
    left_out = {**true.left_out, **matched.left_out}
    if any(left_out.values()):
        yield _left_out_families(left_out)
    if len(true.parents):
        kinds = _occurrence_units("kinds", true.occurrences)
        for column, (metric, _) in DIFFERENCE_METRICS.items():
            yield _difference_evidence(metric, kinds, column)
        sums = {"num": "seen_child", "den": "child"}
        yield declared.CHILD_SEEN_AS_PARENT.evidence(kinds, sums)
        columns = {key: true.parents[key].to_numpy() for key in ("hits", "total")}
        parents = units("parents", "parent", columns, unit_id=true.parents["parent"].to_numpy())
        yield declared.PARENT_LATENT_F1.evidence(parents, {"num": "hits", "den": "total"})
    else:
        yield from missing_metrics(FAMILY_METRICS, TOO_RARE)
    if len(matched.parents):
        companions = _occurrence_units("companions", matched.occurrences)
        for column, (_, metric) in DIFFERENCE_METRICS.items():
            yield _difference_evidence(metric, companions, column)
    else:
        yield from missing_metrics([metric for _, metric in DIFFERENCE_METRICS.values()], TOO_RARE)


def _left_out_families(families: Mapping[str, bool]) -> Evidence:
    """Share of families that cannot be judged, true ones and matched ones together."""
    return declared.LEFT_OUT_FAMILIES.evidence(
        units("families", "family", {"left_out": [*families.values()]}, unit_id=[*families]),
        {"num": "left_out"},
        no_interval="every family was looked at",
    )


def _difference_evidence(metric: Metric, table: Units, column: str) -> Evidence:
    """A rate at children less the rate of silence at the parent's own word."""
    return metric.evidence(
        table,
        {"num_a": column, "den_a": "child", "num_b": "silent_alone", "den_b": "alone"},
        aggregator="difference_of_ratios/1",
    )


def _occurrence_units(name: str, rows: pd.DataFrame) -> Units:
    columns = ("child", "alone", "seen_child", "absorbed_child", "silent_child", "silent_alone")
    return units(
        f"occurrences_of_{name}",
        "occurrence in family",
        {column: rows[column].to_numpy() for column in columns},
        unit_id=(rows["word"] + "/" + rows["row"].astype(str)).to_numpy(),
        cluster=rows["parent"].to_numpy(),
    )
