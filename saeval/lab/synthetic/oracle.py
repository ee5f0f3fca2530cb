"""The planted dictionary itself as an SAE: the upper bound of all scores against the truth."""

import torch

from saeval.lab.synthetic.source import SITE, world_model
from saeval.lab.synthetic.world import synthetic_world
from saeval.sae import Origin
from saeval.sae.architectures import MatchingPursuit

MOST_STEPS = 128
"""Latents a token at most, above the number of features that ever fire together."""
_TOKENS = 2048
"""Activations on which the L0 is set."""
_HALVINGS = 10


def oracle(name: str) -> MatchingPursuit:
    """Matching pursuit over the planted directions, with the true bias, at the world's own L0.

    Linear encoders see each feature through the interference of all others; pursuit takes the
    strongest off before it looks for the next, so that it misses and invents fewer. A token is
    done once its residual is so short that the mean L0 is right.

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
