"""Does another seed give what an interval says? Coverage and spread over results of many seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from panels import variation

from saeval.config.plugin_docs import declared_headline
from saeval.evidence import Evidence
from saeval.evidence.pooling import OfSeed, Pooled, values_of_seeds
from saeval.evidence.seeds import summarise_seeds
from saeval.results.reading import read_result, result_evidence

SHARE = 3
"""Seeds of which an interval with a seed term is made."""
LEAST_SEEDS_FOR_RATES = 6
"""Fewest seeds of which rates are worth printing."""
SUBSETS = 60
"""Sets of three seeds that are tried at most."""

Runs = Mapping[tuple[str, str], Mapping[int, Evidence]]
"""Task and metric -> seed -> evidence over all data."""


@dataclass(frozen=True)
class Reseeds:
    """One metric of one SAE over many seeds."""

    values: np.ndarray
    """Value of each seed."""
    stderr: float
    """Root of the mean squared standard error of one seed, from its units alone."""
    one_seed: float
    """Share of seeds whose own interval holds the mean of all other seeds."""
    three_seeds: float
    """Share of sets of three seeds whose interval with a seed term holds the mean of the others."""

    @property
    def sd(self) -> float:
        """Standard deviation over seeds."""
        return float(np.std(self.values, ddof=1))

    def variation(self, null: float = 0.0) -> float:
        """Coefficient of variation, sd / |mean - null|, of the distance from what a null scores."""
        return variation(self.values.tolist(), null)


def runs_of(folder: Path) -> Runs:
    """The evidence of each metric with an interval in each seed, from a folder results/SAE."""
    runs: dict[tuple[str, str], dict[int, Evidence]] = {}
    for path in sorted(folder.iterdir()):
        if not (path / "result.json").is_file():
            continue
        result = read_result(path)
        for entry in result_evidence(path):
            if entry.part is None and entry.no_interval is None:
                runs.setdefault((result.task, entry.metric), {})[result.seed] = entry
    return runs


def reseeds(evidence: Sequence[Evidence], replicates: int = 400) -> Reseeds:
    """Coverage and spread of one metric over its seeds.

    The mean of m other seeds is itself uncertain, so that an interval of k seeds is stretched by
    sqrt(1 + k / m) about its value: an interval that holds the truth in 95 % then holds the mean of
    the others in 95 %, if these vary alike.
    """
    bounds = evidence[0].bounds
    seeds = values_of_seeds(evidence, replicates, 0)
    values = np.array([seed.value for seed in seeds])
    squares = [seed.sampling.spread**2 for seed in seeds if seed.sampling]
    count = len(seeds)
    ones = [[number] for number in range(count)]
    draws = np.random.default_rng(0)
    threes = [draws.choice(count, SHARE, replace=False).tolist() for _ in range(SUBSETS)]
    return Reseeds(
        values,
        float(np.sqrt(np.mean(squares))) if squares else float("nan"),
        *(_holding(seeds, values, subsets, bounds) for subsets in (ones, threes)),
    )


def _holding(
    seeds: Sequence[OfSeed], values: np.ndarray, subsets: Sequence[Sequence[int]], bounds: tuple
) -> float:
    """Share of sets of seeds, of those with an interval, that hold the mean of the other seeds."""
    held = []
    for subset in subsets:
        found = summarise_seeds(Pooled([seeds[number] for number in subset]), bounds)
        if found.ci_low is None or found.ci_high is None:
            continue
        others = np.delete(values, subset)
        stretch = np.sqrt(1 + len(subset) / len(others))
        away = float(others.mean()) - found.mean
        reach = found.ci_low - found.mean, found.ci_high - found.mean
        held.append(stretch * reach[0] - 1e-12 <= away <= stretch * reach[1] + 1e-12)
    return float(np.mean(held)) if held else float("nan")


def report(folders: Sequence[Path], null: Path | None, metrics: Sequence[str]) -> Iterator[str]:
    """Lines of a table: a metric of an SAE each.

    Args:
        folders: results/SAE of each SAE.
        null: results/SAE of a null, over the same or fewer seeds.
        metrics: Names; empty for each task's headline.
    """
    of_null = runs_of(null) if null else {}
    yield (
        f"{'SAE, task/metric':56} {'seeds':>5} {'mean':>8} {'SD':>8} {'SE':>8} {'1 seed':>7} "
        f"{'3 seeds':>7} {'CV %':>6} {'adj. %':>6}"
    )
    for folder in folders:
        for (task, metric), by_seed in runs_of(folder).items():
            if (
                metric not in (metrics or declared_headline(task))
                or len(by_seed) < LEAST_SEEDS_FOR_RATES
            ):
                continue
            found = reseeds([by_seed[seed] for seed in sorted(by_seed)])
            nulls = list(of_null.get((task, metric), {}).values())
            floor = (
                np.mean([seed.value for seed in values_of_seeds(nulls, 2, 0)]) if nulls else None
            )
            adjusted = float("nan") if floor is None else found.variation(float(floor))
            yield (
                f"{folder.name + ', ' + task + '/' + metric:56} {len(by_seed):5} "
                f"{found.values.mean():8.4f} {found.sd:8.5f} {found.stderr:8.5f} "
                f"{100 * found.one_seed:7.0f} {100 * found.three_seeds:7.0f} "
                f"{100 * found.variation():6.2f} {100 * adjusted:6.2f}"
            )
