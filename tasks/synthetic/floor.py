"""Floors: how well random SAEs of the same shape recover a synthetic world."""

from functools import lru_cache

import torch

from saeval.lab.synthetic import evaluation_sample, synthetic_world
from saeval.sae import encode_codes
from saeval.sae.architectures.random import random_topk

from .tables import RecoveryTables, recovery_tables

DRAWS = 4
"""Random SAEs whose scores are averaged."""
PRE_ACTIVATIONS = 2**22
"""Tokens times latents for each of them: 16,384 tokens for 256 latents. So the cost is the same for
every width."""
LEAST_TOKENS = 1024
SEED = 0xF1008
"""Seed of the first random SAE; fixed, so that floors do not vary with the run's seed."""


@lru_cache(maxsize=64)
def random_tables(world: str, d_sae: int, k: int, least: float) -> tuple[RecoveryTables, ...]:
    """Tables of random TopK SAEs of equal width and L0, whose bias is the mean activation."""
    planted, sample = synthetic_world(world), evaluation_sample(world)
    tokens = max(LEAST_TOKENS, PRE_ACTIVATIONS // d_sae)
    x, truth = torch.from_numpy(sample.x[:tokens]), sample.truth[:tokens]
    tables = []
    for draw in range(DRAWS):
        sae = random_topk(x.mean(0), d_sae, k, SEED + draw)
        pairs = [(encode_codes(sae, x), truth)]
        tables.append(recovery_tables(sae.W_dec.double().numpy(), pairs, planted, least))
    return tuple(tables)
