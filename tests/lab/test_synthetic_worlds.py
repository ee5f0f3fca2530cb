"""Worlds are what their specs say, as measured on samples."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from saeval.errors import UsageError
from saeval.lab.synthetic import WORLDS, SyntheticWorld, WorldSample, synthetic_world
from saeval.metrics.recovery import cosines, match
from saeval.training import Recipe

TOKENS = 8192


def _sample(name: str) -> WorldSample:
    return synthetic_world(name).sample(TOKENS, split="validation")


def _fires(sample: WorldSample) -> np.ndarray:
    return sample.truth.toarray() != 0


def _together(world: SyntheticWorld, fires: np.ndarray) -> tuple[float, float]:
    """Mean correlation of the firing of parentless features in one group, and across groups."""
    correlated = synthetic_world("correlated" if world.spec.groups == 8 else "base")
    free = np.flatnonzero(correlated.parent < 0)
    group = correlated._loading.argmax(0)[free]
    correlation = np.corrcoef(fires[:, free].T.astype(float))
    same = group[:, None] == group[None, :]
    off = ~np.eye(len(free), dtype=bool)
    return float(correlation[same & off].mean()), float(correlation[~same].mean())


@pytest.mark.parametrize("name", sorted(WORLDS))
def test_each_world_has_its_l0_and_its_superposition(name: str) -> None:
    """Features outnumber dimensions, none is too close to another, and L0 is what was asked for."""
    world, sample = synthetic_world(name), _sample(name)
    spec = world.spec
    assert sample.truth.nnz / TOKENS == pytest.approx(spec.l0, rel=0.05)
    assert spec.features >= 2 * spec.d
    assert spec.about
    cosine = np.abs(world.dictionary @ world.dictionary.T) - np.eye(spec.features)
    assert cosine.max() <= max(spec.max_cosine, spec.child_cosine + 0.01) + 1e-6


def test_activations_are_features_bias_and_noise() -> None:
    """What truth and bias leave of an activation is noise of the stated size."""
    for name in ("base", "noisy"):
        world, sample = synthetic_world(name), _sample(name)
        rest = sample.x - sample.truth @ world.dictionary - world.bias
        assert rest.std() == pytest.approx(world.spec.noise, rel=0.01)
        assert np.linalg.norm(world.bias) == pytest.approx(world.spec.bias, rel=1e-5)


def test_rates_are_measured() -> None:
    """Rates agree with those of other samples, and differ from the nominal: none is copied."""
    world, fires = synthetic_world("base"), _fires(_sample("base"))
    error = np.sqrt(world.rates * (1 - world.rates) / TOKENS)
    assert np.abs((fires.mean(0) - world.rates) / error).max() < 4.5
    assert world.rates.sum() == pytest.approx(world.spec.l0, rel=0.02)
    assert len(np.unique(world.rates)) > 200


def test_rates_fall_as_zipf_says() -> None:
    """The slope of log rate over log rank is the exponent, 0 where all fire alike."""
    for name in ("base", "rare", "flat"):
        world, fires = synthetic_world(name), _fires(_sample(name))
        alone = np.array(world.kind) == "other"
        rate = fires.mean(0)
        kept = alone & (rate < 0.3) & (rate > 0.003)
        slope = np.polyfit(np.log(1 + world._rank[kept]), np.log(rate[kept]), 1)[0]
        assert slope == pytest.approx(-world.spec.zipf, abs=0.06)


def test_features_of_a_group_fire_together() -> None:
    """Correlation is within groups alone, the more the copula has; without one there is none."""
    inside = {}
    for name in ("flat", "base", "correlated"):
        world = synthetic_world(name)
        inside[name], across = _together(world, _fires(_sample(name)))
        assert abs(across) < 0.01
    assert abs(inside["flat"]) < 0.01
    assert 0.05 < inside["base"] < inside["correlated"]


@pytest.mark.parametrize("name", ["base", "deep"])
def test_children_need_their_parent_and_exclude_each_other(name: str) -> None:
    """No child ever fires without its parent, or with a sibling; each does fire, and not always."""
    world, fires = synthetic_world(name), _fires(_sample(name))
    children = np.flatnonzero(world.parent >= 0)
    parents = world.parent[children]
    assert not (fires[:, children] & ~fires[:, parents]).any()
    for parent in np.unique(parents):
        brood = fires[:, world.parent == parent]
        assert brood.sum(1).max() == 1
        assert 0.3 < brood.any(1).sum() / fires[:, parent].sum() < 0.95
    levels = {"base": {"parent": 16, "child": 64}, "deep": {"parent": 40, "child": 128}}
    assert {kind: world.kind.count(kind) for kind in ("parent", "child")} == levels[name]


def test_a_childs_direction_overlaps_where_asked() -> None:
    """In `overlapping` a child is half its parent; elsewhere they are as far apart as others."""
    for name, cosine in (("overlapping", 0.5), ("base", 0.0)):
        world = synthetic_world(name)
        child = np.flatnonzero(world.parent >= 0)
        found = (world.dictionary[child] * world.dictionary[world.parent[child]]).sum(1)
        assert found.mean() == pytest.approx(cosine, abs=0.03)


def test_magnitudes_have_the_tail_asked_for() -> None:
    """Magnitudes are positive, and log-normal ones reach far beyond normal ones."""
    plain, heavy = _sample("base").truth.data, _sample("heavy-tail").truth.data
    assert min(plain.min(), heavy.min()) > 0
    assert plain.max() < 4
    assert heavy.max() > 10


def test_samples_are_streams_of_their_own() -> None:
    """A longer sample begins as a shorter one; splits and seeds share nothing."""
    world = synthetic_world("base")
    long, short = world.sample(9000), world.sample(100)
    assert np.array_equal(long.x[:100], short.x)
    assert (long.truth[:100] != short.truth).nnz == 0
    first = next(iter(world.stream(seed=3))).numpy()
    assert np.array_equal(first[:100], world.sample(100, seed=3).x)
    others = [first[:100], *(world.sample(100, split=name).x for name in ("validation", "test"))]
    assert all(not np.isclose(short.x, other).any(1).all() for other in others)


def test_a_world_shares_no_numbers_with_an_equal_seed_elsewhere() -> None:
    """Directions that trainers and plain generators draw with the world's seed are no better."""
    spec = replace(WORLDS["base"], name="tiny", d=32, features=48, max_cosine=0.6, roots=2, seed=7)
    planted = SyntheticWorld(spec).dictionary
    drawn = Recipe(d_sae=48, k=4, seed=7).generator("init")
    rivals = {
        "recipe": torch.randn(48, 32, generator=drawn).numpy(),
        "torch": torch.randn(48, 32, generator=torch.Generator().manual_seed(7)).numpy(),
        "numpy": np.random.default_rng(7).standard_normal((48, 32)),
    }
    unrelated = match(
        cosines(np.random.default_rng(99).standard_normal((48, 32)), planted)
    ).cosine.mean()
    for rival in rivals.values():
        assert match(cosines(rival, planted)).cosine.mean() == pytest.approx(unrelated, abs=0.05)


def test_an_unknown_world_and_an_impossible_one_are_refused() -> None:
    """The error names the worlds there are, or what does not fit."""
    with pytest.raises(UsageError, match="overlapping"):
        synthetic_world("bse")
    with pytest.raises(UsageError, match="hierarchy"):
        replace(WORLDS["base"], features=10)
    crowded = replace(WORLDS["base"], d=4, max_cosine=0.1)
    with pytest.raises(UsageError, match="do not fit"):
        _ = SyntheticWorld(crowded).dictionary
