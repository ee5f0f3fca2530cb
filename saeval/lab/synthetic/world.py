"""A synthetic world: activations whose every feature is known, drawn in any number."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate, count, pairwise
from statistics import NormalDist

import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saeval.lab.synthetic.dictionary import plant_dictionary, plant_hierarchy
from saeval.lab.worlds import WorldSpec, world_spec

VERSION = 1
"""Raised whenever the same spec might give other activations."""
SPLITS = ("train", "validation", "test")
"""Independent streams of samples."""
CHUNK = 8192
"""Activations drawn at a time. Another chunk size would give other activations for a seed."""
MEASURED = 200_000
"""Activations that rates are measured on."""
HIGHEST_RATE = 0.5
"""No feature fires more often than this, nominally."""
LEAST_MAGNITUDE = 0.1
"""An active feature has at least this share of its mean magnitude."""

_SPAWN_KEY = 0x3081D
"""First spawn key of all draws here, so that no SAE trained with an equal seed shares any."""
_PLANT, _SAMPLE = 0, 1


@dataclass(frozen=True)
class WorldSample:
    """Activations and the truth about them."""

    x: Float[np.ndarray, "tokens d"]
    truth: sp.csr_matrix
    """[tokens, features] float32: magnitude of each active feature."""


@dataclass(frozen=True)
class SyntheticWorld:
    """x = truth @ dictionary + bias + noise, after SynthSAEBench's generative model.

    Features without parents fire together through a Gaussian copula; a child fires only with its
    parent, and siblings exclude each other. All of it follows from the spec.

    Source: Chanin et al. 2026, arXiv 2602.14687, for the model; the figures are our own.
    """

    spec: WorldSpec

    @cached_property
    def parent(self) -> Int[np.ndarray, " features"]:
        """Parent of each feature, -1 for none; a parent comes before its children."""
        return plant_hierarchy(self.spec)

    @cached_property
    def kind(self) -> tuple[str, ...]:
        """Each feature's kind: `parent` with children, `child` with only a parent, else `other`."""
        parents = set(self.parent.tolist())
        return tuple(
            "parent" if feature in parents else "child" if parent >= 0 else "other"
            for feature, parent in enumerate(self.parent)
        )

    @cached_property
    def dictionary(self) -> Float[np.ndarray, "features d"]:
        """The planted directions, of norm 1."""
        return plant_dictionary(self.spec, self.parent, self._rng(_PLANT, 0))

    @cached_property
    def bias(self) -> Float[np.ndarray, " d"]:
        """Constant part of all activations."""
        direction = self._rng(_PLANT, 1).standard_normal(self.spec.d)
        return (direction * (self.spec.bias / np.linalg.norm(direction))).astype(np.float32)

    @cached_property
    def rates(self) -> Float[np.ndarray, " features"]:
        """How often each feature fires, measured on `MEASURED` activations drawn for this alone."""
        sums = np.zeros(self.spec.features)
        for chunk in range(-(-MEASURED // CHUNK)):
            truth = self._draw_truth(self._rng(_PLANT, 2, chunk))
            sums += np.bincount(truth.indices, minlength=self.spec.features)
        return sums / (-(-MEASURED // CHUNK) * CHUNK)

    def sample(self, tokens: int, *, seed: int = 0, split: str = "train") -> WorldSample:
        """Activations and truth. A shorter sample is the beginning of a longer one."""
        parts = [self.chunk(split, seed, i) for i in range(-(-tokens // CHUNK))]
        x = np.concatenate([part.x for part in parts])[:tokens]
        truth = sp.csr_matrix(sp.vstack([part.truth for part in parts]))
        return WorldSample(x, truth[:tokens])

    def stream(self, *, seed: int = 0) -> "WorldStream":
        """An endless stream of training activations, none of them twice."""
        return WorldStream(self, seed)

    def chunk(self, split: str, seed: int, index: int) -> WorldSample:
        """The index-th `CHUNK` activations of a sample."""
        rng = self._rng(_SAMPLE, SPLITS.index(split), seed, index)
        truth = self._draw_truth(rng)
        noise = rng.standard_normal((CHUNK, self.spec.d), np.float32)
        noise *= self.spec.noise
        return WorldSample(truth @ self.dictionary + self.bias + noise, truth)

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(
            np.random.SeedSequence(self.spec.seed, spawn_key=(_SPAWN_KEY, *key))
        )

    def _draw_truth(self, rng: np.random.Generator) -> sp.csr_matrix:
        """Magnitude of each active feature for one chunk."""
        fires = self._draw_fires(rng)
        token, feature = np.divmod(np.flatnonzero(fires), self.spec.features)
        truth = np.zeros(fires.shape, np.float32)
        truth[token, feature] = self._draw_magnitudes(feature, rng)
        for low, high in self._levels[1:]:
            in_level = (feature >= low) & (feature < high)
            row, child = token[in_level], feature[in_level]
            parent = self.parent[child]
            truth[row, child] *= truth[row, parent] / self._mean_magnitude[parent]
        starts = np.searchsorted(token, np.arange(CHUNK + 1))
        return sp.csr_matrix((truth[token, feature], feature, starts), shape=truth.shape)

    def _draw_fires(self, rng: np.random.Generator) -> Bool[np.ndarray, "tokens features"]:
        """Which features fire: those without parents by the copula, others with their parents."""
        spec = self.spec
        z = rng.standard_normal((CHUNK, spec.features), np.float32)
        shared = rng.standard_normal((CHUNK, spec.groups), np.float32)
        # A child's own draw takes no part in the copula: it follows its parent.
        z *= np.where(self.parent < 0, (1 - spec.correlation) ** 0.5, 1).astype(np.float32)
        z += shared @ self._loading
        fires = z > self._threshold
        for (parent_low, _), (low, high) in pairwise(self._levels):
            broods = z[:, low:high].reshape(CHUNK, -1, spec.children)
            is_largest = broods == broods.max(2, keepdims=True)
            parents = fires[:, parent_low : parent_low + broods.shape[1], None]
            fires[:, low:high] &= (is_largest & parents).reshape(CHUNK, -1)
        return fires

    def _draw_magnitudes(
        self, feature: Int[np.ndarray, " active"], rng: np.random.Generator
    ) -> Float[np.ndarray, " active"]:
        """Magnitudes of active features, before a child's is multiplied by its parent's."""
        z = rng.standard_normal(len(feature), np.float32)
        mean, spread = self._mean_magnitude[feature], self._spread[feature]
        if self.spec.heavy_tail:
            return mean * np.exp(spread * z - spread**2 / 2)
        return np.maximum(mean * (1 + spread * z), LEAST_MAGNITUDE * mean)

    @cached_property
    def _levels(self) -> list[tuple[int, int]]:
        """First feature of each level of the hierarchy, and the one after its last."""
        sizes = [self.spec.roots * self.spec.children**i for i in range(self.spec.depth)]
        return list(pairwise([0, *accumulate(sizes)]))

    @cached_property
    def _rank(self) -> Int[np.ndarray, " features"]:
        """Rank of each parentless feature by falling rate, from 0; a child has its root's rank.

        Roots take every second place from the first, so that their children are not too rare.
        """
        spec, parent = self.spec, self.parent
        order = self._rng(_PLANT, 3).permutation(np.arange(spec.hierarchical, spec.features))
        early = min(spec.roots, len(order))
        rank = np.zeros(spec.features, np.int64)
        rank[: spec.roots] = 2 * np.arange(spec.roots)
        rank[order[:early]] = 2 * np.arange(early) + 1
        rank[order[early:]] = np.arange(2 * early, spec.roots + len(order))
        for child in np.flatnonzero(parent >= 0):
            rank[child] = rank[parent[child]]
        return rank

    @cached_property
    def _threshold(self) -> Float[np.ndarray, " features"]:
        """What a feature's normal draw must exceed for it to fire."""
        spec = self.spec
        parentless = self.parent < 0
        some_child = 1 - (1 - spec.child_rate) ** spec.children
        family = sum(some_child**level for level in range(spec.depth))
        weight = (1.0 + self._rank) ** -spec.zipf
        weight *= np.where(parentless, 1.0, 0.0)
        size = np.where(np.arange(spec.features) < spec.roots, family, 1.0)
        rate = np.where(parentless, _scaled_rates(weight, size, spec.l0), spec.child_rate)
        return np.array([NormalDist().inv_cdf(1 - chance) for chance in rate], np.float32)

    @cached_property
    def _loading(self) -> Float[np.ndarray, "groups features"]:
        """Weight of each group's shared draw in the draws of its features."""
        group = self._rng(_PLANT, 4).integers(0, self.spec.groups, self.spec.features)
        member = (group == np.arange(self.spec.groups)[:, None]) & (self.parent < 0)
        return np.where(member, self.spec.correlation**0.5, 0).astype(np.float32)

    @cached_property
    def _mean_magnitude(self) -> Float[np.ndarray, " features"]:
        rarity = self._rank / max(1, self._rank.max())
        return (self.spec.magnitude * (1.25 - 0.25 * rarity)).astype(np.float32)

    @cached_property
    def _spread(self) -> Float[np.ndarray, " features"]:
        factor = self._rng(_PLANT, 5).uniform(0.5, 1.5, self.spec.features)
        return (self.spec.spread * factor).astype(np.float32)


@dataclass(frozen=True)
class WorldStream:
    """Batches of activations of the split `train`, as trainers read them."""

    world: SyntheticWorld
    seed: int

    def __iter__(self) -> Iterator[Tensor]:
        for index in count():
            yield torch.from_numpy(self.world.chunk("train", self.seed, index).x)


def _scaled_rates(
    weight: Float[np.ndarray, " features"], size: Float[np.ndarray, " features"], l0: float
) -> Float[np.ndarray, " features"]:
    """Rates in proportion to weight, at most `HIGHEST_RATE`, with the expected L0 `l0`.

    `size` is the expected number of features that fire when one of these does: a root's family.
    """
    scale = 0.0
    for _ in range(50):
        rate = np.minimum(weight * scale, HIGHEST_RATE)
        scale = 1e-3 if scale == 0 else scale * l0 / (rate * size).sum()
    return np.minimum(weight * scale, HIGHEST_RATE)


@cache
def synthetic_world(name: str) -> SyntheticWorld:
    """The named world.

    Raises:
        UsageError: if there is none of that name.
    """
    return SyntheticWorld(world_spec(name))
