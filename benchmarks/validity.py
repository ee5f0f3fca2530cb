"""Do intervals and differences hold? A/A rates over stored results, coverage from a population.

    .venv/bin/python benchmarks/validity.py results/topk-16 results/relu-16 --splits 300

prints for every metric of the results how often two halves of one SAE's clusters, and two SAEs whose
values are swapped cluster by cluster at random, differ significantly; and how often the interval of a
sample holds the value of the clusters that it was drawn from.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from saeval.errors import ResultError
from saeval.evidence import Difference, Evidence, Units, compare, summarise
from saeval.results.reading import result_evidence

LEVEL = 0.05
LEAST_CLUSTERS = 10
"""Clusters that a half must have for its A/A rate to be looked at."""


@dataclass(frozen=True)
class Rate:
    """How often something happened over splits or samples."""

    events: int
    valid: int
    """Splits or samples that had an interval."""
    tried: int
    contradictions: int = 0
    """Differences whose interval and p-value contradict each other."""

    @property
    def share(self) -> float:
        """Events over valid ones; NaN if none was valid."""
        return self.events / self.valid if self.valid else float("nan")

    @property
    def without(self) -> float:
        """Share that had no interval."""
        return 1 - self.valid / self.tried

    def __str__(self) -> str:
        """As percentages."""
        if not self.valid:
            return "    -  (100 % none)"
        return f"{100 * self.share:5.1f} ({100 * self.without:3.0f} % none)"


def cluster_codes(evidence: Evidence) -> np.ndarray:
    """Number of the cluster of each row with weight of the evidence's part."""
    names = evidence.units.cluster_names(evidence.units.rows(evidence.part))
    return names.groupby(list(names.columns), sort=True).ngroup().to_numpy()


def rows_of(evidence: Evidence) -> pd.DataFrame:
    """The rows with weight of the evidence's part."""
    return evidence.units.table.iloc[evidence.units.rows(evidence.part)].reset_index(drop=True)


def drawn(evidence: Evidence, clusters: Sequence[int]) -> Evidence:
    """The evidence over some of its clusters, which get the names 0, 1, 2 ... in their order.

    A cluster may be drawn several times.
    """
    table, codes = rows_of(evidence), cluster_codes(evidence)
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(codes.max() + 2))
    places = [order[starts[code] : starts[code + 1]] for code in clusters]
    sizes = [len(place) for place in places]
    chosen = table.iloc[np.concatenate(places)].reset_index(drop=True)
    chosen["cluster"] = np.repeat(np.arange(len(places)), sizes).astype(np.int64)
    chosen["unit_id"] = np.concatenate([np.arange(size) for size in sizes]) + chosen["cluster"] * (
        10**6
    )
    return replace(evidence, units=replace(evidence.units, table=chosen, data={"halves": "0"}))


def halves(evidence: Evidence, rng: np.random.Generator) -> tuple[Evidence, Evidence] | None:
    """Two disjoint halves of the clusters as if they were the same units.

    Where clusters differ in their parts or number of rows, the k-th largest of the one stand beside
    the k-th largest of the other, and missing rows have the weight 0 in neither: such metrics are
    compared by swaps alone, for which None stands here.
    """
    codes = cluster_codes(evidence)
    table = rows_of(evidence)
    shapes: dict[object, list[int]] = {}
    grouped = table.groupby(codes)
    for code, rows in grouped:
        shape = tuple(sorted(rows["part"].astype(str))), tuple(rows["weight"])
        shapes.setdefault(shape, []).append(int(code))
    first: list[int] = []
    second: list[int] = []
    for alike in shapes.values():
        order = rng.permutation(alike)
        half = len(order) // 2
        first += order[:half].tolist()
        second += order[half : 2 * half].tolist()
    if len(first) < LEAST_CLUSTERS:
        return None
    return _aligned(drawn(evidence, first)), _aligned(drawn(evidence, second))


def _aligned(evidence: Evidence) -> Evidence:
    """Rows of each cluster ordered by part, so that the k-th of one pairs with that of another."""
    table = evidence.units.table
    table = table.sort_values(["cluster", "part"], kind="stable").reset_index(drop=True)
    within = table.groupby("cluster").cumcount()
    table["unit_id"] = (table["cluster"] * 10**6 + within).astype(np.int64)
    return replace(evidence, units=replace(evidence.units, table=table))


def swapped(a: Evidence, b: Evidence, rng: np.random.Generator) -> tuple[Evidence, Evidence]:
    """Two SAEs' evidence with the values of half of the clusters, at random, exchanged."""
    codes = cluster_codes(a)
    turned = rng.random(codes.max() + 1) < 0.5
    table_a, table_b = rows_of(a), rows_of(b)
    columns = a.units.statistics
    is_turned = turned[codes][:, None]
    values_a, values_b = table_a[columns].to_numpy(), table_b[columns].to_numpy()
    new_a, new_b = table_a.copy(), table_b.copy()
    new_a[columns] = np.where(is_turned, values_b, values_a)
    new_b[columns] = np.where(is_turned, values_a, values_b)
    data = {"swapped": "0"}
    return (
        replace(a, units=replace(a.units, table=new_a, data=data)),
        replace(b, units=replace(b.units, table=new_b, data=data)),
    )


def rejections(pairs: Iterator[tuple[Evidence, Evidence] | None], replicates: int) -> Rate:
    """How often a difference of equals is significant."""
    differences: list[Difference | None] = []
    for pair in pairs:
        if pair is None:
            return Rate(0, 0, 1)
        try:
            differences.append(compare(*pair, replicates=replicates))
        except ResultError:  # a part of so few clusters may be undefined in a half
            differences.append(None)
    valid = [found for found in differences if found is not None and found.p is not None]
    rejected = [found for found in valid if (found.p or 0) < LEVEL]
    contradictory = [
        found
        for found in valid
        if ((found.p or 0) < LEVEL) == ((found.ci_low or 0) <= 0 <= (found.ci_high or 0))
    ]
    return Rate(len(rejected), len(valid), max(1, len(differences)), len(contradictory))


def halves_rate(evidence: Evidence, splits: int, replicates: int = 400) -> Rate:
    """How often two halves of one SAE's clusters differ significantly."""
    return rejections(
        (halves(evidence, np.random.default_rng(split)) for split in range(splits)), replicates
    )


def swaps_rate(a: Evidence, b: Evidence, splits: int, replicates: int = 400) -> Rate:
    """How often two SAEs differ significantly whose values are exchanged at random."""
    return rejections(
        (swapped(a, b, np.random.default_rng(split)) for split in range(splits)), replicates
    )


def coverage(evidence: Evidence, size: int, samples: int, replicates: int = 400) -> Rate:
    """How often the interval of a sample of clusters holds the value of all clusters.

    Clusters are drawn with replacement, as if there were many more of each.
    """
    truth = summarise(evidence, replicates=2).value
    clusters, held, valid = int(cluster_codes(evidence).max()) + 1, 0, 0
    for sample in range(samples):
        chosen = np.random.default_rng(sample).integers(clusters, size=size).tolist()
        try:
            found = summarise(drawn(evidence, chosen), replicates=replicates)
        except ResultError:
            continue
        if found.ci_low is None or found.ci_high is None:
            continue
        valid += 1
        held += found.ci_low - 1e-12 <= truth <= found.ci_high + 1e-12
    return Rate(held, valid, samples)


def pairs_of(
    folders: Sequence[Path],
) -> Iterator[tuple[str, Evidence, Evidence]]:
    """Task, and the evidence of the same metric of the first and the second SAE."""
    results: dict[str, list[dict[tuple[str, str | None], Evidence]]] = {}
    for folder in folders:
        for path in sorted(folder.iterdir()):
            by_name = {(entry.metric, entry.part): entry for entry in result_evidence(path)}
            results.setdefault(path.name.rpartition("-")[0], []).append(by_name)
    for task, (first, second) in results.items():
        for key, evidence in first.items():
            if key in second and evidence.no_interval is None:
                yield task, evidence, second[key]


def main() -> None:
    """Print the rates of every metric."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs=2, type=Path, help="two folders results/SAE")
    parser.add_argument("--splits", type=int, default=300)
    parser.add_argument("--parts", action="store_true", help="metrics of parts besides")
    parser.add_argument("--metric", action="append", help="only this one")
    options = parser.parse_args()
    print(f"{'task/metric':48} {'halves A':>17} {'halves B':>17} {'swaps':>17} {'coverage':>17}")
    for task, a, b in pairs_of(options.folders):
        if (a.part and not options.parts) or (options.metric and a.metric not in options.metric):
            continue
        size = min(200, max(LEAST_CLUSTERS, int(cluster_codes(a).max()) + 1))
        rates = [
            halves_rate(a, options.splits),
            halves_rate(b, options.splits),
            swaps_rate(a, b, options.splits),
            coverage(a, size, options.splits),
        ]
        texts = " ".join(f"{rate!s:>17}" for rate in rates)
        wrong = sum(rate.contradictions for rate in rates)
        print(f"{task + '/' + a.label.strip(chr(39)):48} {texts}" + (f" !{wrong}" * (wrong > 0)))


if __name__ == "__main__":
    main()
