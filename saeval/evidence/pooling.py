"""Seeds pooled: what their units, and the seeds themselves, say of a mean over them."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float

from saeval.evidence.bootstrap import design
from saeval.evidence.contrasts import SeedTerm
from saeval.evidence.data import data_without_seeds
from saeval.evidence.evidence import Evidence
from saeval.evidence.influence import ROUNDING, differing, influences
from saeval.evidence.intervals import Sampling
from saeval.evidence.replicates import MetricSample, replicated
from saeval.evidence.summary import defined_value, no_interval, sample_of, undefined_replicates
from saeval.evidence.unit_tables import Units, paired_rows

LEAST_SEEDS = 3
"""Fewest seeds that tell how much the seed moves a score: with two, t has one degree of freedom."""


@dataclass(frozen=True)
class OfSeed:
    """The value or difference of one seed, and how it varies with the clusters of its units."""

    value: float
    keys: tuple[Hashable, ...]
    """What each cluster is called over seeds: equal where two seeds have it in common."""
    sampling: Sampling | None
    """None where the units give no interval."""
    reason: str | None
    differing: int = 0


@dataclass(frozen=True)
class Pooled:
    """Several seeds, and what their units say of the mean of their values."""

    seeds: Sequence[OfSeed]

    @property
    def values(self) -> tuple[float, ...]:
        """Value of each seed."""
        return tuple(seed.value for seed in self.seeds)

    @property
    def mean(self) -> float:
        """Their mean."""
        return float(np.mean(self.values))

    @property
    def reason(self) -> str | None:
        """Why the units of some seed give no interval."""
        return next((seed.reason for seed in self.seeds if seed.sampling is None), None)

    @cached_property
    def samplings(self) -> list[Sampling]:
        """How each value varies with its units; all are there if `reason` is None."""
        return [seed.sampling for seed in self.seeds if seed.sampling is not None]

    @cached_property
    def moves(self) -> Float[np.ndarray, "seeds clusters"]:
        """Influence of each cluster on each seed's value, so that squares sum to its variance."""
        place = {key: number for number, key in enumerate(self.distinct_keys)}
        moves = np.zeros((len(self.seeds), len(place)))
        for row, seed, sampling in zip(moves, self.seeds, self.samplings, strict=True):
            norm = float(np.linalg.norm(sampling.influences))
            if norm > 0:
                columns = [place[key] for key in seed.keys]
                row[columns] = sampling.influences * (sampling.spread / norm)
        return moves

    @cached_property
    def distinct_keys(self) -> list[Hashable]:
        """Clusters of all seeds, each once."""
        return list(dict.fromkeys(key for seed in self.seeds for key in seed.keys))

    @cached_property
    def within(self) -> float:
        """Mean of the squared standard errors of single seeds."""
        return float(np.mean([sampling.spread**2 for sampling in self.samplings]))

    @cached_property
    def shared(self) -> float:
        """Covariance of two seeds' values that comes of the clusters that they have in common."""
        count = len(self.seeds)
        products = self.moves @ self.moves.T
        mean_product = (products.sum() - np.trace(products)) / max(1, count * (count - 1))
        return float(min(max(mean_product, 0.0), self.within))

    @cached_property
    def sampling(self) -> Sampling:
        """How the mean over seeds varies with all clusters of units."""
        informative: dict[tuple[Hashable, ...], int] = {}
        for seed, sampling in zip(self.seeds, self.samplings, strict=True):
            informative[seed.keys] = max(sampling.informative, informative.get(seed.keys, 0))
        clusters = len(self.distinct_keys)
        error = np.sqrt(self.shared + (self.within - self.shared) / len(self.seeds))
        draws = np.mean([sampling.replicates for sampling in self.samplings], axis=0)
        pooled = Sampling(
            self.mean,
            draws,
            self.moves.sum(0) / len(self.seeds),
            max(clusters, min(sampling.clusters for sampling in self.samplings)),
            min(clusters, sum(informative.values())),
        )
        scale = error / pooled.spread if pooled.spread > 0 else 0.0
        resized = self.mean + (draws - self.mean) * scale
        return Sampling(
            pooled.value, resized, pooled.influences, pooled.clusters, pooled.informative
        )

    @property
    def differing(self) -> int:
        """Clusters that differ between two SAEs, those that seeds share counted once."""
        counts: dict[tuple[Hashable, ...], int] = {}
        for seed in self.seeds:
            counts[seed.keys] = max(seed.differing, counts.get(seed.keys, 0))
        return min(sum(counts.values()), len(self.distinct_keys))

    @property
    def term(self) -> SeedTerm | None:
        """What the seeds add; None with fewer than three."""
        if len(self.seeds) < LEAST_SEEDS:
            return None
        between = float(np.var(self.values, ddof=1))
        if np.ptp(self.values) <= ROUNDING * max(1.0, abs(self.mean)):
            between = 0.0
        if self.reason:
            return SeedTerm(len(self.seeds), between, 0.0, 0.0)
        return SeedTerm(len(self.seeds), between, self.shared, self.within - self.shared)

    @property
    def note(self) -> str | None:
        """What fewer than three seeds leave out."""
        count = len(self.seeds)
        if count >= LEAST_SEEDS:
            return None
        return (
            f"{count} seed{'s' * (count > 1)} cannot tell how much the seed moves it; three or "
            "more can"
        )


def values_of_seeds(evidence: Sequence[Evidence], replicates: int, seed: int) -> list[OfSeed]:
    """The value of each seed; seeds over equal units share the weights of their replicates."""
    rows = [entry.units.rows(entry.part) for entry in evidence]
    names = [e.units.cluster_names(place) for e, place in zip(evidence, rows, strict=True)]
    samples = [
        sample_of(entry, place, design(name))
        for entry, place, name in zip(evidence, rows, names, strict=True)
    ]
    draws = replicated(samples, replicates, seed)
    return [
        OfSeed(
            defined_value(entry, sample),
            cluster_keys(name, entry.units, sample),
            *_sampling(
                no_interval(entry, sample) or undefined_replicates(drawn),
                defined_value(entry, sample),
                drawn,
                [sample],
            ),
        )
        for entry, name, sample, drawn in zip(evidence, names, samples, draws, strict=True)
    ]


def difference_of_seed(a: Evidence, b: Evidence, replicates: int, seed: int) -> OfSeed:
    """The paired difference of one seed."""
    rows_a, rows_b = paired_rows(a.units, b.units, a.part)
    names = a.units.cluster_names(rows_a)
    common = design(names)
    samples = (sample_of(a, rows_a, common), sample_of(b, rows_b, common))
    delta = defined_value(a, samples[0]) - defined_value(b, samples[1])
    draws = np.subtract(*replicated(samples, replicates, seed))
    reason = no_interval(a, samples[0]) or no_interval(b, samples[1])
    reason = reason or undefined_replicates(draws)
    return OfSeed(
        delta,
        cluster_keys(names, a.units, samples[0]),
        *_sampling(reason, delta, draws, samples),
        differing=differing(*samples),
    )


def _sampling(
    reason: str | None,
    value: float,
    draws: Float[np.ndarray, " replicates"],
    samples: Sequence[MetricSample],
) -> tuple[Sampling | None, str | None]:
    """How a value, or the difference of two samples, varies with its clusters; else why not."""
    if reason:
        return None, reason
    first, *second = map(influences, samples)
    moves = first - second[0] if second else first
    informative = min(sample.informative for sample in samples)
    return Sampling(value, draws, moves, samples[0].design.clusters, informative), None


def cluster_keys(names: pd.DataFrame, table: Units, sample: MetricSample) -> tuple[Hashable, ...]:
    """What the clusters, or blocks of them, are called over seeds, in the order of the design.

    Clusters named in words, such as letters, are the same in every seed. A running number is the
    same unit only in the same data.
    """
    data = tuple(sorted(data_without_seeds(table).items()))
    if sample.design.blocks < sample.design.clusters:
        return tuple((data, sample.design.digest, block) for block in range(sample.design.blocks))
    ordered = names.drop_duplicates().sort_values(list(names.columns))
    rows = [tuple(row) for row in ordered.to_numpy(object)]
    in_words = all(isinstance(row[-1], str) and not row[-1].isdigit() for row in rows)
    return tuple((None if in_words else data, *row) for row in rows)
