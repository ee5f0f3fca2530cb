"""The planted dictionary itself as an SAE: the upper bound of all scores against the truth."""

import torch

from saeval.lab.synthetic.source import SITE, world_model
from saeval.lab.synthetic.world import synthetic_world
from saeval.sae import Origin
from saeval.sae.architectures import MatchingPursuit

MOST_STEPS = 128
"""Most latents per token: more than the features that ever fire together."""
_TOKENS = 2048
"""Activations on which the residual norm that gives the L0 is searched."""
_HALVINGS = 10
"""Steps of the bisection for it."""


def oracle(name: str) -> MatchingPursuit:
    """Matching pursuit over the planted directions, with the true bias, at the world's own L0.

    A linear encoder sees each feature with the interference of all others. Pursuit subtracts the
    strongest feature before it looks for the next, so it makes fewer errors. It stops at a
    residual norm that is chosen so that the mean L0 is the world's.

    Raises:
        UsageError: if there is no such world.
    """
    world = synthetic_world(name)
    sample = world.sample(_TOKENS, split="validation")
    x = torch.from_numpy(sample.x)
    low, high = 0.0, float(x.norm(dim=1).mean())
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        active = int(_pursuit(name, middle).encode(x).count_nonzero())
        low, high = (middle, high) if active > sample.truth.nnz else (low, middle)
    return _pursuit(name, (low + high) / 2)


def _pursuit(name: str, residual_norm: float) -> MatchingPursuit:
    world = synthetic_world(name)
    origin = Origin(
        architecture="matching_pursuit",
        model=world_model(name),
        read_site=SITE,
        metadata={"upper bound": "oracle"},
    )
    return MatchingPursuit(
        torch.from_numpy(world.dictionary),
        torch.from_numpy(world.bias),
        MOST_STEPS,
        residual_norm,
        origin=origin,
    )
