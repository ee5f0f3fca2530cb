"""What a random SAE of the same shape finds of a synthetic world."""

from functools import lru_cache

import torch

from saeval.lab.synthetic import evaluation_sample, synthetic_world
from saeval.sae import encode_codes
from saeval.sae.architectures.random import random_topk

from .tables import Tables, find

DRAWS = 4
"""Random SAEs whose scores are averaged."""
PRE_ACTIVATIONS = 2**22
"""Tokens times latents that each is looked at on: 16,384 tokens for 256 latents."""
LEAST_TOKENS = 1024
SEED = 0xF1008
"""Of the first of them."""


@lru_cache(maxsize=64)
def random_tables(world: str, d_sae: int, k: int, least: float) -> tuple[Tables, ...]:
    """Tables of random TopK SAEs of equal width and L0, whose bias is the mean activation."""
    planted, sample = synthetic_world(world), evaluation_sample(world)
    tokens = max(LEAST_TOKENS, PRE_ACTIVATIONS // d_sae)
    x, truth = torch.from_numpy(sample.x[:tokens]), sample.truth[:tokens]
    found = []
    for draw in range(DRAWS):
        sae = random_topk(x.mean(0), d_sae, k, SEED + draw)
        pairs = [(encode_codes(sae, x), truth)]
        found.append(find(sae.W_dec.double().numpy(), pairs, planted, least))
    return tuple(found)
