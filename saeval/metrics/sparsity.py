"""How many latents are active, how strongly, and how often: all from sparse codes."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saeval.errors import DataError
from saeval.sae import Codes

DENSITY_BINS: Mapping[str, tuple[float, float]] = {
    "dead": (0.0, 0.0),
    "below 1e-4": (0.0, 1e-4),
    "1e-4 to 1e-3": (1e-4, 1e-3),
    "1e-3 to 0.01": (1e-3, 1e-2),
    "0.01 to 0.1": (1e-2, 1e-1),
    "0.1 to 1": (1e-1, 1.0),
}
"""Bins of a latent's density, its share of active tokens: above low, up to high."""


def token_l0(codes: Codes) -> Int[Tensor, " tokens"]:
    """Number of active latents (acts != 0) of each token."""
    return codes.l0


def token_l1(codes: Codes) -> Float[Tensor, " tokens"]:
    """Sum of |acts| of each token, in the units of the library that wrote the SAE."""
    return token_sums(codes, codes.value.abs())


def token_sums(codes: Codes, value: Float[Tensor, " nnz"]) -> Float[Tensor, " tokens"]:
    """Sum of one value per entry over each token's entries, in at least float32."""
    wide = torch.promote_types(value.dtype, torch.float32)
    sums = torch.zeros(codes.tokens, dtype=wide, device=value.device)
    return sums.index_add_(0, codes.token, value.to(wide))


def active_counts(codes: Codes) -> Int[Tensor, " d_sae"]:
    """On how many of the tokens each latent is active (acts != 0)."""
    return torch.bincount(codes.index, minlength=codes.d_sae)


def is_alive(counts: Int[np.ndarray, " d_sae"]) -> Bool[np.ndarray, " d_sae"]:
    """Whether each latent is active on at least one token. More tokens find more of them.

    Args:
        counts: Tokens on which each latent is active.
    """
    return counts > 0


def is_denser(
    counts: Int[np.ndarray, " d_sae"], tokens: int, share: float
) -> Bool[np.ndarray, " d_sae"]:
    """Whether each latent is active on more than `share` of the tokens.

    Raises:
        DataError: if no token was seen.
    Source: SAEBench, evals/core/main.py (`freq_over_1_percent`, `freq_over_10_percent`).
    """
    return _density(counts, tokens) > share


def density_histogram(counts: Int[np.ndarray, " d_sae"], tokens: int) -> dict[str, int]:
    """Number of latents in each of `DENSITY_BINS`; the bins cover all latents once.

    Raises:
        DataError: if no token was seen.
    """
    density = _density(counts, tokens)
    histogram = {
        name: int(np.count_nonzero((density > low) & (density <= high)))
        for name, (low, high) in DENSITY_BINS.items()
    }
    return histogram | {"dead": int(np.count_nonzero(density == 0))}


def _density(counts: Int[np.ndarray, " d_sae"], tokens: int) -> Float[np.ndarray, " d_sae"]:
    if tokens < 1:
        raise DataError("No token was counted, so latents have no density. Pass some text.")
    return counts / tokens
