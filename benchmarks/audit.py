"""Which metrics hold? Every figure that decides it, metric by metric, on the lab's own SAEs.

    .venv/bin/python benchmarks/audit.py --seeds 6 --output-path results/audit

scores the lab's SAEs (what is there already is found again) and prints for every metric: how often
equals differ significantly (A/A: halves of one SAE's clusters, and two SAEs' values swapped at
random), how often an interval holds its truth, noise over seeds, separation of architectures,
agreement with both truths of a synthetic world, and the places of oracle and nulls; and last
whether it holds or is a diagnostic, with the reason.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import isnan
from pathlib import Path
from statistics import fmean

import panels
from panels import Seeds
from reseeds import LEAST_SEEDS_FOR_RATES, reseeds
from validity import Clustered, Rate, coverage, halves_rate, swaps_rate

import saeval
from saeval.config.plugin_docs import declared_headline
from saeval.evidence import Evidence, compare
from saeval.results.reading import result_evidence
from saeval.results.score import Score

GRADIENT = ("relu", "topk", "batchtopk", "jumprelu", "gated", "p-anneal", "matryoshka", "abstopk")
NULLS = ("random", "frozen-decoder")
"""Knowing nothing at equal width and L0. Principal components and neurons know something."""
SPLITS = 300
"""A/A comparisons of each kind, and samples for coverage, by default."""
A_A = (0.03, 0.07)
COVERAGE = (0.93, 0.97)
"""Rates that hold, before twice the standard error of so many splits or samples is granted."""
LEAST_RHO = 0.5
"""Spearman's rho with one of the truths that a headline metric reaches at least."""
LEAST_SNR = 4.0
P = 0.05
TRUTHS = ("mcc", "f1")
"""Metrics of `synthetic` that other metrics should agree with."""


@dataclass(frozen=True)
class Panel:
    """SAEs of one place of the lab that are scored on the same tasks."""

    place: str
    tasks: tuple[str, ...]
    trained: tuple[str, ...]
    nulls: tuple[str, ...]
    oracle: str

    @property
    def saes(self) -> tuple[str, ...]:
        """All SAEs, the oracle first."""
        return (self.oracle, *self.trained, *self.nulls)


def text_panel(world: str) -> Panel:
    """The eight architectures at L0 16 on a world of text, with nulls and oracle."""
    place = f"lab/{world}"
    trained = tuple(f"{place}/{method}-16" for method in GRADIENT)
    nulls = tuple(f"{place}/{name}" for name in NULLS)
    return Panel(place, ("core", "probing", "absorption"), trained, nulls, f"{place}/oracle")


def synthetic_panel(world: str) -> Panel:
    """All trained SAEs of a synthetic world: architectures, sparsities and training seeds."""
    place = f"lab/synthetic/{world}"
    trained = tuple(
        f"{place}/{method}-{k}{seed}"
        for method in GRADIENT
        for k in (8, 16)
        for seed in ("", "-s1", "-s2")
    )
    nulls = tuple(f"{place}/{name}" for name in NULLS)
    return Panel(place, ("synthetic", "probing", "core"), trained, nulls, f"{place}/oracle")


def scored(panel: Panel, seeds: int, folder: Path) -> dict[str, dict[str, Seeds]]:
    """Scores of the panel over seeds: metric -> SAE -> seeds."""
    results = saeval.evaluate(
        list(panel.saes),
        list(panel.tasks),
        seeds=list(range(seeds)),
        output_path=folder,
        progress=saeval.progress,
    )
    return panels.by_metric(results.scores)


def evidence_of(folder: Path, score: Score) -> Evidence:
    """The evidence behind a score."""
    (path,) = folder.glob(f"*/{score.task}-{score.result_id}")
    return next(
        entry
        for entry in result_evidence(path)
        if (entry.metric, entry.part) == (score.metric, score.part)
    )


def pairs_apart(evidence: Sequence[Evidence]) -> tuple[int, int]:
    """How many pairs of SAEs differ significantly, paired over equal units, of how many."""
    pairs = list(combinations(evidence, 2))
    apart = sum((compare(a, b, replicates=400).p or 1.0) < P for a, b in pairs)
    return apart, len(pairs)


@dataclass(frozen=True)
class Record:
    """All figures of one metric on one panel; NaN or None where a figure does not apply."""

    task: str
    metric: str
    better: panels.Better
    headline: bool
    halves: Rate
    """A/A comparisons of halves of one SAE's clusters that reject."""
    swaps: Rate
    """A/A comparisons of two SAEs with exchanged values that reject."""
    coverage: Rate
    """Intervals of resampled clusters that hold the value of all."""
    one_seed: float
    """Share of seeds whose interval holds the mean of the others."""
    three_seeds: float
    """The same of intervals of three seeds, which have a seed term."""
    cv: float
    """Standard deviation over seeds by the mean; below, by the distance from the best null."""
    cv_above_null: float
    signal_to_noise: float
    apart: tuple[int, int]
    """Pairs of architectures that differ significantly, of how many."""
    oracle: int | None
    """Rank of the oracle, 1 for the first."""
    above_nulls: float
    """Share of trained SAEs above the best null."""
    rho: Mapping[str, float] = field(default_factory=dict)
    """Spearman's rho with each truth over trained SAEs of a synthetic world."""

    @property
    def faults(self) -> list[str]:
        """Why the metric is a diagnostic; empty where it holds.

        A metric may say that no interval is valid; it then rejects nothing and covers nothing.
        """
        if self.better == "none":
            return ["no direction"]
        faults = [
            *_misses("halves", self.halves, A_A),
            *_misses("swaps", self.swaps, A_A),
            *_misses("coverage", self.coverage, COVERAGE),
        ]
        if not self.above_nulls >= 1:
            faults.append("nulls not last")
        if self.oracle != 1 and self.task != "core":  # an oracle need not reconstruct
            faults.append(f"oracle {self.oracle}")
        if not self.signal_to_noise >= LEAST_SNR:
            faults.append(f"SNR {self.signal_to_noise:.1f}")
        if self.task != "core" and self.rho and not max(self.rho.values()) >= LEAST_RHO:
            faults.append(f"rho {max(self.rho.values()):.2f}")
        return faults

    def __str__(self) -> str:
        """One line of the table."""
        apart = "{}/{}".format(*self.apart)
        verdict = "holds" if not self.faults else "diagnostic: " + ", ".join(self.faults)
        shares = (
            self.halves.share, self.swaps.share, self.coverage.share, self.one_seed,
            self.three_seeds, self.cv, self.cv_above_null,
        )  # fmt: skip
        rho = " ".join(f"{self.rho.get(truth, float('nan')):5.2f}" for truth in TRUTHS)
        arrow = {"higher": "^", "lower": "v"}.get(self.better, " ")
        return (
            f"{'*' if self.headline else ' '}{self.task + '/' + self.metric:40.40} {arrow} "
            f"{' '.join(map(_percent, shares))} {self.signal_to_noise:6.1f} {apart:>6} "
            f"{self.oracle or '-':>3} {_percent(self.above_nulls)} {rho}  {verdict}"
        )


HEAD = (
    f"{'% but SNR, pairs, rank and rho':41}   {'A/A':>5} {'swap':>5} {'cover':>5} {'seed':>5} "
    f"{'seeds':>5} {'CV':>5} {'CVadj':>5} {'SNR':>6} {'apart':>6} {'orc':>3} {'>null':>5} "
    f"{'MCC':>5} {'F1':>5}  verdict"
)


def _misses(name: str, rate: Rate, limits: tuple[float, float]) -> list[str]:
    """The fault of a rate beyond its limits by more than chance.

    Where some splits have no interval a rate of rejections may be as low as it likes.
    """
    if isnan(rate.share):
        return []
    low, high = (
        limit + sign * 2 * (limit * (1 - limit) / rate.base) ** 0.5
        for limit, sign in zip(limits, (-1, 1), strict=True)
    )
    is_free = rate.without > 0 and limits == A_A
    return [] if (low <= rate.share or is_free) and rate.share <= high else [f"{name} {rate}"]


def _percent(share: float) -> str:
    return "    -" if isnan(share) else f"{100 * share:5.1f}"


def agreement(
    scores: Mapping[str, Mapping[str, Seeds]], trained: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Spearman's rho of every metric with both truths of a synthetic world, trained SAEs only."""
    means = {
        metric: {sae: seeds.mean for sae, seeds in of_metric.items() if sae in trained}
        for metric, of_metric in scores.items()
    }
    return {
        metric: {truth: panels.rank_correlation(values, means[truth]) for truth in TRUTHS}
        for metric, values in means.items()
    }


def record(panel: Panel, of_metric: Mapping[str, Seeds], folder: Path, splits: int) -> Record:
    """All figures of one metric but its agreement with truths.

    Args:
        panel: The SAEs.
        of_metric: Their scores on the metric; some SAEs may have none.
        folder: Where their results lie.
        splits: Of A/A comparisons, and samples for coverage.
    """
    first = next(iter(of_metric.values())).scores[0]
    better = first.better or "none"
    trained = {name: of_metric[name] for name in panel.trained if name in of_metric}
    means = {name: seeds.mean for name, seeds in of_metric.items()}
    nulls = {name: means[name] for name in panel.nulls if name in means}
    best_null = nulls[panels.ordered(nulls, better)[0]] if nulls else float("nan")
    evidence = [evidence_of(folder, seeds.scores[0]) for seeds in trained.values()]
    sides = [Clustered(entry) for entry in evidence[:2]]
    over_seeds = [
        reseeds([evidence_of(folder, score) for score in seeds.scores])
        for seeds in list(trained.values())[:2]
        if len(seeds.scores) >= LEAST_SEEDS_FOR_RATES
    ]
    ranked = better != "none" and panel.oracle in means
    return Record(
        task=first.task,
        metric=str(first.metric),
        better=better,
        headline=first.metric in declared_headline(first.task),
        halves=halves_rate(sides[0], splits),
        swaps=swaps_rate(sides[0], sides[1], splits),
        coverage=coverage(sides[0], sides[0].count, splits),
        one_seed=_mean([found.one_seed for found in over_seeds]),
        three_seeds=_mean([found.three_seeds for found in over_seeds]),
        cv=panels.reseed_cv(list(trained.values())),
        cv_above_null=panels.reseed_cv(list(trained.values()), best_null),
        signal_to_noise=panels.signal_to_noise(list(trained.values())),
        apart=pairs_apart(evidence),
        oracle=panels.ordered(means, better).index(panel.oracle) + 1 if ranked else None,
        above_nulls=panels.share_above(
            [means[name] for name in trained], list(nulls.values()), better
        ),
    )


def _mean(shares: Sequence[float]) -> float:
    return fmean(shares) if shares else float("nan")


def main() -> None:
    """Print the record of every metric of the text panel, with truths of the synthetic one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", default="world", help="world of text: world or town")
    parser.add_argument("--synthetic", default="base", help="synthetic world")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--splits", type=int, default=SPLITS)
    parser.add_argument("--metric", action="append", help="only this one")
    parser.add_argument("--output-path", type=Path, default=Path("results/audit"))
    options = parser.parse_args()
    planted, text = synthetic_panel(options.synthetic), text_panel(options.world)
    rho = agreement(scored(planted, 1, options.output_path / options.synthetic), planted.trained)
    folder = options.output_path / options.world
    scores = scored(text, options.seeds, folder)
    print(HEAD)
    for metric, of_metric in scores.items():
        has_interval = any(seeds.scores[0].ci_low is not None for seeds in of_metric.values())
        if has_interval and (not options.metric or metric in options.metric):
            line = record(text, of_metric, folder, options.splits)
            print(replace(line, rho=rho.get(metric, {})), flush=True)


if __name__ == "__main__":
    main()
