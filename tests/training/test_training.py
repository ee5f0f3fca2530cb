"""Trainers: each reaches its L0, learns, obeys its seed, and gives an SAE of raw activations."""

import numpy as np
import pytest
import torch

from saeval.errors import UsageError
from saeval.lab.synthetic import synthetic_world
from saeval.recovery import cosines, mcc
from saeval.sae import content_hash
from saeval.training import METHODS, Recipe, TopK, train

RECIPE = Recipe(d_sae=256, k=8, tokens=250_000, batch_size=512, lr=3e-3, held_out=1000)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    """Activations of the easiest world."""
    return synthetic_world("base").sample(12_000, seed=0, split="train").x


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_architecture_learns_at_its_l0(name: str, x: np.ndarray) -> None:
    """On held-out activations L0 is within a tenth of its target, and variance is explained."""
    trained = train(x, METHODS[name](), RECIPE)
    assert trained.final.l0 == pytest.approx(8, rel=0.1)
    assert trained.final.fvu < 0.7
    assert trained.sae.d_sae == 256


def test_training_beats_no_training(x: np.ndarray) -> None:
    """A trained TopK SAE finds more of the planted dictionary than one trained for a moment."""
    planted = synthetic_world("base").dictionary
    found = [
        mcc(cosines(train(x, TopK(), recipe).sae.W_dec.numpy(), planted))
        for recipe in (Recipe(256, 8, tokens=512, batch_size=512, held_out=1000), RECIPE)
    ]
    assert found[0] < 0.4 < found[1]


def test_equal_seeds_give_equal_bits(x: np.ndarray) -> None:
    """The seed alone decides among runs of one recipe."""
    short = Recipe(64, 4, tokens=4000, batch_size=500, held_out=500)
    other = Recipe(64, 4, tokens=4000, batch_size=500, held_out=500, seed=1)
    first, again, differs = (train(x, TopK(), recipe).sae for recipe in (short, short, other))
    assert content_hash(first) == content_hash(again) != content_hash(differs)


def test_scale_and_offset_of_the_data_are_folded_in(x: np.ndarray) -> None:
    """Moved and magnified activations are reconstructed as well as the original ones."""
    recipe = Recipe(128, 8, tokens=10_000, batch_size=500, lr=3e-3, held_out=1000)
    plain, moved = train(x, TopK(), recipe), train(x * 50 + 20, TopK(), recipe)
    assert moved.final.fvu == pytest.approx(plain.final.fvu, abs=0.03)
    raw = torch.from_numpy(x[:256] * 50 + 20)
    x_hat = moved.sae.decode(moved.sae.encode(raw), raw)
    error = (x_hat - raw).square().sum() / (raw - raw.mean(0)).square().sum()
    assert float(error) < 0.9


def test_a_recipe_that_cannot_be_is_refused() -> None:
    """More latents a token than there are, and lengths of nothing, are named."""
    with pytest.raises(UsageError, match="k = 9"):
        Recipe(d_sae=8, k=9)
    with pytest.raises(UsageError, match="tokens"):
        Recipe(d_sae=8, k=2, tokens=0)
