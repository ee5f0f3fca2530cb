"""Results whose truth is known: SAEs with evidence made by hand, in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from saeval.evidence import Evidence, units
from saeval.results.comparison.kin import Kin
from saeval.results.comparison.pool import Item, Pool
from saeval.results.from_evidence import scores_of
from saeval.results.score import Labels, Result

Columns = Mapping[str, np.ndarray]
"""Metric -> a number for each row; the metric `l0` is of the task core, all others of `t`."""
DIRECTIONS = {"quality": "higher", "error": "lower"}


@dataclass
class World:
    """Results that are made one by one."""

    items: list[Item] = field(default_factory=list)
    evidence: dict[str, tuple[Evidence, ...]] = field(default_factory=dict)

    def add(self, sae: str, columns: Columns, *, seed: int = 0, **about: Any) -> "World":
        """Score an SAE: the mean of each metric's rows."""
        for task, own in (
            ("core", {name: rows for name, rows in columns.items() if name == "l0"}),
            ("t", {name: rows for name, rows in columns.items() if name != "l0"}),
        ):
            if own:
                self._add(sae, task, own, seed, about)
        return self

    def _add(
        self, sae: str, task: str, columns: Columns, seed: int, about: Mapping[str, Any]
    ) -> None:
        key = f"{len(self.items):020x}"
        data = {"rows": about.get("data", f"rows {seed}")}
        table = units("rows", "row", columns, data=data, cluster=about.get("cluster"))
        found = tuple(
            Evidence(
                name,
                table,
                {"num": name},
                "nats",
                DIRECTIONS.get(name, "none"),  # type: ignore[arg-type]
                no_interval=about.get("no_interval"),
            )
            for name in columns
        )
        version = about.get("version", 1)
        labels = Labels(sae, task, version, seed, key, about.get("set"))
        provenance = {
            "saes": [
                {
                    "hash": about.get("hash", sae),
                    "architecture": about.get("architecture", "topk"),
                    "null": about.get("null"),
                }
            ],
            "key": {"fields": about.get("fields", {})},
            "created": f"2030-01-01T00:00:{len(self.items):02d}",
        }
        scores = scores_of(found, labels) if about.get("scored") else _quick(found, labels)
        result = Result.of(labels, scores, provenance=provenance, run={"tasks": {task: {}}})
        self.evidence[key] = found
        self.items.append(Item(result, self.evidence.__getitem__))

    def kin(self, **sets: Any) -> Kin:
        """Which SAEs belong together, by their names alone unless sets are given."""
        return Kin(Pool(tuple(self.items)), **sets)


def _quick(found: Sequence[Evidence], labels: Labels) -> list[Any]:
    """Scores without intervals, which no comparison reads."""
    return [
        labels.score(
            metric=entry.metric,
            value=float(entry.values(entry.units.rows(None))["num"].mean()),
            n=len(entry.units.table),
            unit_of_n="row",
            unit=entry.unit,
            better=entry.better,
            status="scored",
        )
        for entry in found
    ]
