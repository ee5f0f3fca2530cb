"""Do intervals and differences hold? A/A rates over stored results, coverage from a population.

    .venv/bin/python benchmarks/validity.py results/topk-16 results/relu-16 --splits 300

prints for every metric of the results how often two halves of one SAE's clusters, and two SAEs
whose values are swapped cluster by cluster at random, differ significantly; and how often the
interval of a sample holds the value of the clusters that it was drawn from.

    saeval run --sae SAE --tasks core,probing,absorption --seeds 0,1,2,3,4,5,6,7,8,9,10,11
    .venv/bin/python benchmarks/validity.py results/topk-16 --seeds --null results/random

prints of each metric how often the interval of one seed, and that of three with their seed term,
holds the mean of the other seeds; the spread over seeds beside the standard error that units give;
and the coefficient of variation, of the value and of its distance from the null's.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from reseeds import report

from saeval.errors import ResultError
from saeval.evidence import Difference, Evidence, compare, summarise
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
    base: int
    """Splits or samples that events are counted among: all of them for rejections, since to say
    that no interval is valid rejects nothing; those with an interval for coverage."""
    tried: int
    contradictions: int = 0
    """Differences whose interval and p-value contradict each other."""

    @property
    def share(self) -> float:
        """Events over those that they are counted among; NaN if none had an interval."""
        return self.events / self.base if self.valid else float("nan")

    @property
    def without(self) -> float:
        """Share that had no interval."""
        return 1 - self.valid / self.tried

    def __str__(self) -> str:
        """As percentages."""
        if not self.valid:
            return "    -  (100 % none)"
        return f"{100 * self.share:5.1f} ({100 * self.without:3.0f} % none)"


@dataclass(frozen=True)
class Clustered:
    """The rows of a metric by cluster."""

    evidence: Evidence

    @cached_property
    def table(self) -> pd.DataFrame:
        """The rows with weight of the evidence's part, a cluster after the other, by part."""
        table = self.evidence.units.table.iloc[self.evidence.units.rows(self.evidence.part)]
        names = self.evidence.units.cluster_names(self.evidence.units.rows(self.evidence.part))
        code = names.groupby(list(names.columns), sort=True).ngroup().to_numpy()
        table = table.reset_index(drop=True).assign(code=code)
        return table.sort_values(["code", "part", "unit_id"], kind="stable").reset_index(drop=True)

    @cached_property
    def code(self) -> np.ndarray:
        """Cluster of each row, from 0."""
        return self.table["code"].to_numpy()

    @cached_property
    def count(self) -> int:
        """Number of clusters."""
        return int(self.code.max()) + 1

    @cached_property
    def rows(self) -> list[np.ndarray]:
        """Rows of each cluster."""
        return np.split(np.arange(len(self.code)), np.flatnonzero(np.diff(self.code)) + 1)

    @cached_property
    def alike(self) -> list[list[int]]:
        """Clusters whose rows have the same parts, which alone can stand for each other."""
        part = pd.factorize(self.table["part"].astype(str))[0]
        by_parts: dict[bytes, list[int]] = {}
        for code, rows in enumerate(self.rows):
            by_parts.setdefault(part[rows].tobytes(), []).append(code)
        return list(by_parts.values())

    def drawn(self, clusters: Sequence[int]) -> Evidence:
        """The evidence over some clusters, named 0, 1, 2 ... in their order, perhaps repeated."""
        sizes = [len(self.rows[code]) for code in clusters]
        columns = ["part", "unit_id", "cluster", "weight", *self.evidence.units.statistics]
        table = self.table.iloc[np.concatenate([self.rows[code] for code in clusters])][columns]
        cluster = np.repeat(np.arange(len(sizes)), sizes)
        within = np.concatenate([np.arange(size) for size in sizes])
        table = table.assign(cluster=cluster, unit_id=cluster * 10**6 + within)
        return self.over(table.reset_index(drop=True))

    def over(self, table: pd.DataFrame) -> Evidence:
        """The metric over another table."""
        units = replace(self.evidence.units, table=table, data={"simulation": "0"})
        return replace(self.evidence, units=units)

    def halves(self, rng: np.random.Generator) -> tuple[Evidence, Evidence] | None:
        """Two disjoint halves of the clusters, as if they were the same units; None if too few."""
        first: list[int] = []
        second: list[int] = []
        for codes in self.alike:
            order = rng.permutation(codes).tolist()
            half = len(order) // 2
            first += order[:half]
            second += order[half : 2 * half]
        if len(first) < LEAST_CLUSTERS:
            return None
        return self.drawn(first), self.drawn(second)

    def swapped(self, other: "Clustered", rng: np.random.Generator) -> tuple[Evidence, Evidence]:
        """Two SAEs' evidence with the values of half of the clusters, at random, exchanged."""
        is_turned = (rng.random(self.count) < 0.5)[self.code][:, None]
        columns = self.evidence.units.statistics
        values = [side.table[columns].to_numpy() for side in (self, other)]
        labels = self.table[["part", "unit_id", "cluster", "weight"]]
        tables = [
            labels.join(pd.DataFrame(np.where(is_turned, there, here), columns=columns))
            for here, there in (values, values[::-1])
        ]
        return self.over(tables[0]), self.over(tables[1])


def rejections(pairs: Iterator[tuple[Evidence, Evidence] | None], replicates: int) -> Rate:
    """How often a difference of equals is significant.

    Each split has replicates of its own: with the same ones for all, the error that so few of them
    leave in the standard error would be the same in every split, and shift the rate.
    """
    differences: list[Difference | None] = []
    for number, pair in enumerate(pairs):
        if pair is None:
            return Rate(0, 0, 1, 1)
        try:
            differences.append(compare(*pair, replicates=replicates, seed=number))
        except ResultError:  # a part of so few clusters may be undefined in a half
            differences.append(None)
    valid = [found for found in differences if found is not None and found.p is not None]
    rejected = [found for found in valid if (found.p or 0) < LEVEL]
    contradictory = [
        found
        for found in valid
        if ((found.p or 0) < LEVEL) == ((found.ci_low or 0) <= 0 <= (found.ci_high or 0))
    ]
    tried = max(1, len(differences))
    return Rate(len(rejected), len(valid), tried, tried, len(contradictory))


def halves_rate(evidence: Clustered, splits: int, replicates: int = 400) -> Rate:
    """How often two halves of one SAE's clusters differ significantly."""
    return rejections(
        (evidence.halves(np.random.default_rng(split)) for split in range(splits)), replicates
    )


def swaps_rate(a: Clustered, b: Clustered, splits: int, replicates: int = 400) -> Rate:
    """How often two SAEs differ significantly whose values are exchanged at random."""
    return rejections(
        (a.swapped(b, np.random.default_rng(split)) for split in range(splits)), replicates
    )


def coverage(evidence: Clustered, size: int, samples: int, replicates: int = 400) -> Rate:
    """How often the interval of a sample of clusters holds the value of all clusters.

    Clusters are drawn with replacement, as if there were many more of each.
    """
    truth = summarise(evidence.evidence, replicates=2).value
    held, valid = 0, 0
    for sample in range(samples):
        chosen = np.random.default_rng(sample).integers(evidence.count, size=size).tolist()
        try:
            found = summarise(evidence.drawn(chosen), replicates=replicates, seed=sample)
        except ResultError:
            continue
        if found.ci_low is None or found.ci_high is None:
            continue
        valid += 1
        held += found.ci_low - 1e-12 <= truth <= found.ci_high + 1e-12
    return Rate(held, valid, valid, samples)


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
    parser.add_argument("folders", nargs="+", type=Path, help="folders results/SAE, two for A/A")
    parser.add_argument("--seeds", action="store_true", help="coverage over seeds in place of A/A")
    parser.add_argument("--null", type=Path, help="a folder results/SAE of a null, for --seeds")
    parser.add_argument("--splits", type=int, default=300)
    parser.add_argument("--parts", action="store_true", help="metrics of parts besides")
    parser.add_argument("--metric", action="append", help="only this one")
    options = parser.parse_args()
    if options.seeds:
        for line in report(options.folders, options.null, options.metric or ()):
            print(line, flush=True)
        return
    if len(options.folders) != 2:
        parser.error("give two folders to be compared, or --seeds")
    print(f"{'task/metric':48} {'halves A':>17} {'halves B':>17} {'swaps':>17} {'coverage':>17}")
    for task, a, b in pairs_of(options.folders):
        if (a.part and not options.parts) or (options.metric and a.metric not in options.metric):
            continue
        side_a, side_b = Clustered(a), Clustered(b)
        rates = [
            halves_rate(side_a, options.splits),
            halves_rate(side_b, options.splits),
            swaps_rate(side_a, side_b, options.splits),
            coverage(side_a, side_a.count, options.splits),
        ]
        texts = " ".join(f"{rate!s:>17}" for rate in rates)
        wrong = sum(rate.contradictions for rate in rates)
        name = "/".join([task, a.metric, *([a.part] if a.part else [])])
        print(f"{name:48} {texts}" + (f" !{wrong}" * (wrong > 0)), flush=True)


if __name__ == "__main__":
    main()
