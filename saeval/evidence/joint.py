"""Numbers that follow from several pieces of evidence, and how they vary with the same clusters.

Evidence over the same units gets the same weights in every replicate, so that whatever is computed
from several pieces, such as a value between two SAEs, or a mean over SAEs, stays paired.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from saeval.errors import ResultError
from saeval.evidence.bootstrap import design
from saeval.evidence.comparison import check_same_question
from saeval.evidence.data import check_equal_data, data_without_seeds
from saeval.evidence.evidence import Evidence
from saeval.evidence.influence import NOTABLE, ROUNDING, influences
from saeval.evidence.intervals import Sampling
from saeval.evidence.replicates import MetricSample, replicated
from saeval.evidence.summary import (
    REPLICATES,
    defined_value,
    no_interval,
    sample_of,
    undefined_replicates,
)
from saeval.evidence.unit_tables import paired_rows


@dataclass(frozen=True)
class Group:
    """Clusters that are resampled together."""

    clusters: int
    informative: int


@dataclass(frozen=True)
class Varying:
    """A number, and how it varies with the clusters of units behind it."""

    value: float
    draws: Float[np.ndarray, " replicates"]
    """Its values under random weights of the clusters."""
    moves: Mapping[Hashable, Float[np.ndarray, " blocks"]]
    """Its derivative by the weight of each cluster, for each group of clusters."""
    groups: Mapping[Hashable, Group]
    reason: str | None = None
    """Why the units give no interval; None where they give one."""

    @property
    def sampling(self) -> Sampling:
        """The same for an interval. Only where there is no `reason`."""
        clusters = sum(group.clusters for group in self.groups.values())
        informative = sum(group.informative for group in self.groups.values())
        flat = np.concatenate(list(self.moves.values()))
        return Sampling(self.value, self.draws, flat, clusters, informative)

    @property
    def differing(self) -> int:
        """Clusters that move it by at least a twentieth of what the largest does."""
        sizes = np.abs(np.concatenate(list(self.moves.values())))
        largest = float(sizes.max(initial=0.0))
        if largest <= ROUNDING * max(1.0, abs(self.value)):
            return 0
        return int((sizes > NOTABLE * largest).sum())


def varying(
    evidence: Sequence[Evidence], *, replicates: int = REPLICATES, seed: int = 0
) -> list[Varying]:
    """The value of each piece of evidence, under weights that equal units share.

    Raises:
        ResultError: if a metric is undefined on its units.
    """
    samples, keys = [], []
    for entry in evidence:
        rows = entry.units.rows(entry.part)
        names = entry.units.cluster_names(rows)
        sample = sample_of(entry, rows, design(names))
        samples.append(sample)
        in_words = not names.iloc[:, -1].astype(str).str.fullmatch(r"\d+").any()
        data = None if in_words else tuple(sorted(data_without_seeds(entry.units).items()))
        keys.append((data, sample.design.digest, sample.design.blocks))
    draws = _draws(samples, keys, replicates, seed)
    return [_varying(*each) for each in zip(evidence, samples, keys, draws, strict=True)]


def _draws(
    samples: Sequence[MetricSample], keys: Sequence[Hashable], replicates: int, seed: int
) -> list[Float[np.ndarray, " replicates"]]:
    """Replicates of each sample.

    Each group of clusters has weights of its own: running numbers name other units in other data.
    """
    drawn: dict[int, Float[np.ndarray, " replicates"]] = {}
    for number, key in enumerate(dict.fromkeys(keys)):
        places = [place for place, own in enumerate(keys) if own == key]
        of_key = replicated([samples[place] for place in places], replicates, seed + number)
        drawn |= dict(zip(places, of_key, strict=True))
    return [drawn[place] for place in range(len(samples))]


def _varying(
    entry: Evidence, sample: MetricSample, key: Hashable, draws: Float[np.ndarray, " replicates"]
) -> Varying:
    reason = no_interval(entry, sample) or undefined_replicates(draws)
    moves = influences(sample)
    group = Group(sample.design.clusters, sample.informative)
    return Varying(defined_value(entry, sample), draws, {key: moves}, {key: group}, reason)


def combined(
    parts: Sequence[Varying],
    slopes: Sequence[float],
    *,
    value: float | None = None,
    draws: Float[np.ndarray, " replicates"] | None = None,
) -> Varying:
    """A number computed from others.

    Args:
        parts: What it is computed from.
        slopes: Its derivative by each of them.
        value: The number; None: the sum of slopes times values, for one that is linear.
        draws: Its replicates; None: likewise.
    """
    moves: dict[Hashable, Float[np.ndarray, " blocks"]] = {}
    groups: dict[Hashable, Group] = {}
    for part, slope in zip(parts, slopes, strict=True):
        for key, own in part.moves.items():
            moves[key] = moves[key] + slope * own if key in moves else slope * own
            known = groups.get(key, part.groups[key])
            least = min(known.informative, part.groups[key].informative)
            groups[key] = Group(known.clusters, least)
    pairs = list(zip(parts, slopes, strict=True))
    return Varying(
        sum(slope * part.value for part, slope in pairs) if value is None else value,
        np.sum([slope * part.draws for part, slope in pairs], axis=0) if draws is None else draws,
        moves,
        groups,
        next((part.reason for part in parts if part.reason), None),
    )


def mean(parts: Sequence[Varying]) -> Varying:
    """Their mean, each counting the same."""
    return parts[0] if len(parts) == 1 else combined(parts, [1 / len(parts)] * len(parts))


def check_pairable(evidence: Sequence[Evidence], *, units: bool = True) -> None:
    """Check that all answer one question over the same units of the same data.

    Args:
        evidence: Of several SAEs.
        units: Whether the units must be the same; False where nothing is sampled.

    Raises:
        ResultError: naming what differs.
    """
    for entry in evidence[1:]:
        check_same_question(evidence[0], entry)
        check_equal_data(evidence[0].units, entry.units)
        if units:
            paired_rows(evidence[0].units, entry.units, entry.part)


def on_curve(places: Sequence[Varying], values: Sequence[Varying], at: float) -> Varying:
    """A number between those of neighbours, linear in the logarithm of their place.

    Places that are equal count as one, with the mean of their numbers.

    Args:
        places: Where each number is known, such as the L0 of an SAE; all above 0.
        values: The number known there.
        at: The place asked for.

    Raises:
        ResultError: if `at` lies outside what the places span.
    """
    by_place: dict[float, list[int]] = {}
    for number, place in enumerate(places):
        by_place.setdefault(place.value, []).append(number)
    nodes = [
        (mean([places[n] for n in numbers]), mean([values[n] for n in numbers]))
        for _, numbers in sorted(by_place.items())
    ]
    lows = [place.value for place, _ in nodes]
    if not 0 < lows[0] <= at <= lows[-1]:
        raise ResultError(f"{at:.4g} lies outside the span {lows[0]:.4g} to {lows[-1]:.4g}")
    if len(nodes) == 1:
        return nodes[0][1]
    left = min(int(np.searchsorted(lows, at, side="right")) - 1, len(nodes) - 2)
    return _between(*nodes[left], *nodes[left + 1], at)


def _between(place_a: Varying, a: Varying, place_b: Varying, b: Varying, at: float) -> Varying:
    """Linear in log place between two neighbours."""
    gap = float(np.log(place_b.value / place_a.value))
    share = float(np.log(at / place_a.value)) / gap
    rise = (b.value - a.value) / gap
    slopes = (-(1 - share) * rise / place_a.value, 1 - share, -share * rise / place_b.value, share)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.log(at / place_a.draws) / np.log(place_b.draws / place_a.draws)
    return combined(
        (place_a, a, place_b, b),
        slopes,
        value=a.value + share * (b.value - a.value),
        draws=a.draws + shares * (b.draws - a.draws),
    )
