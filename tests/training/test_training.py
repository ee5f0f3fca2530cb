"""Trainers: each reaches its L0, learns, obeys its seed, and gives an SAE of raw activations."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from saeval.errors import UsageError
from saeval.lab.synthetic import synthetic_world
from saeval.metrics.recovery import cosines, match
from saeval.sae import content_hash, decode_codes, encode_codes
from saeval.sae.loaders import saeval_format
from saeval.training import METHODS, Recipe, TopK, TrainedSAE, train
from saeval.training.affine import tied_state
from saeval.training.method import Setup

K = 8
RECIPE = Recipe(d_sae=128, k=K, tokens=60_000, batch_size=256, lr=1.6e-2, held_out=800)
LONGER = replace(RECIPE, tokens=130_000, lr=8e-3)
"""For what an L1 penalty first shrinks."""
SHRINKING = {"relu", "p-anneal", "transcoder"}


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    """Activations of the easiest world."""
    return synthetic_world("base").sample(8192, seed=0, split="train").x


NULLS = {"frozen-decoder", "frozen-encoder", "neurons", "pca", "permuted-decoder", "random"}


@pytest.fixture(scope="module")
def trained(x: np.ndarray) -> Callable[[str], TrainedSAE]:
    """Trains by method's name, each once."""

    def recipe(name: str) -> Recipe:
        return LONGER if name in SHRINKING else RECIPE

    return cache(lambda name: train(x, METHODS[name](), recipe(name)))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_is_at_its_l0(name: str, trained: Callable[[str], TrainedSAE]) -> None:
    """On held-out activations L0 is within a tenth of its target."""
    assert trained(name).final.l0 == pytest.approx(K, rel=0.1)


@pytest.mark.parametrize("name", sorted(set(METHODS) - NULLS))
def test_every_method_learns(name: str, trained: Callable[[str], TrainedSAE]) -> None:
    """It explains clearly more variance of held-out activations than directions drawn at random."""
    assert trained(name).final.fvu < trained("random").final.fvu - 0.1
    assert trained(name).sae.d_sae == RECIPE.d_sae


def test_nulls_are_what_they_are_called(trained: Callable[[str], TrainedSAE]) -> None:
    """Frozen weights did not move, permuted rows are a trained SAE's, and each says its name."""
    for name in NULLS:
        assert trained(name).sae.origin.metadata["null"] == name
    row = torch.zeros(1, 128)
    start = tied_state(Setup(RECIPE, row, row)).weights
    assert torch.equal(trained("frozen-decoder").sae.W_dec, start["W_dec"])
    assert torch.equal(trained("frozen-encoder").sae.W_enc, start["W_enc"])
    cosine = (trained("soft-frozen").sae.W_dec * start["W_dec"]).sum(1)
    assert 0.8 - 1e-4 <= float(cosine.min()) < 0.801
    plain, permuted = trained("topk").sae, trained("permuted-decoder").sae
    assert torch.equal(plain.W_enc, permuted.W_enc)
    moved = (permuted.W_dec @ plain.W_dec.T).argmax(1)
    assert sorted(moved.tolist()) == list(range(RECIPE.d_sae))
    assert not bool((moved == torch.arange(RECIPE.d_sae)).any())


@pytest.mark.parametrize("name", sorted(METHODS))
def test_what_was_trained_survives_its_file(
    name: str, trained: Callable[[str], TrainedSAE], tmp_path: Path
) -> None:
    """Saved and loaded it is the same SAE, bit for bit, its origin included."""
    sae = trained(name).sae
    saeval_format.save(sae, tmp_path)
    loaded: Any = saeval_format.load(tmp_path)
    assert content_hash(loaded) == content_hash(sae)
    assert loaded.origin.metadata == sae.origin.metadata
    assert loaded.origin.architecture == sae.origin.architecture


def test_training_beats_no_training(trained: Callable[[str], TrainedSAE]) -> None:
    """A trained TopK SAE finds more of the planted dictionary than random directions."""
    planted = synthetic_world("base").dictionary
    found = [
        match(cosines(trained(name).sae.W_dec.numpy(), planted)).cosine.mean()
        for name in ("random", "topk")
    ]
    assert found[0] < 0.35
    assert found[1] > 0.5


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
    x_hat = decode_codes(moved.sae, encode_codes(moved.sae, raw), raw)
    error = (x_hat - raw).square().sum() / (raw - raw.mean(0)).square().sum()
    assert float(error) < 0.9


def test_a_recipe_that_cannot_be_is_refused() -> None:
    """More latents a token than there are, and lengths of nothing, are named."""
    with pytest.raises(UsageError, match="k = 9"):
        Recipe(d_sae=8, k=9)
    with pytest.raises(UsageError, match="tokens"):
        Recipe(d_sae=8, k=2, tokens=0)
