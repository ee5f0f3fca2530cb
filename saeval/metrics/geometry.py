"""How alike an SAE's own directions are: each latent's nearest neighbour by cosine."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from saeval.errors import DataError

_BLOCK = 2048
# Cosines are computed in blocks of 2,048 by 2,048 (16 MB): full-size matrices of wide SAEs
# would not fit in memory, and smaller blocks slow the matrix product down.


def nearest_cosines(
    directions: Float[Tensor, "d_sae d"], sample: Int[Tensor, " sample"] | None = None
) -> Float[Tensor, " latents"]:
    """Largest cosine of each direction with any other, -1 to 1. A zero vector's cosines are 0.

    Exact, in blocks: all of them cost d_sae^2 d multiply-adds, a sample sample * d_sae * 2 d.

    Args:
        directions: One row per latent; rows need not have unit length.
        sample: Distinct latents to find the nearest neighbour of among all; None means all.

    Raises:
        DataError: if there is no other direction.
    Source: SAEBench, evals/core/main.py (`max_decoder_cosine_sim`).
    """
    if len(directions) < 2:
        raise DataError("An SAE of one latent has no nearest neighbour; it needs two or more.")
    return _among_all(directions) if sample is None else _of_sample(directions, sample)


def _among_all(directions: Float[Tensor, "d_sae d"]) -> Float[Tensor, " d_sae"]:
    """Every pair once: a block's row maxima serve its rows, its column maxima its columns."""
    best = torch.full((len(directions),), -1.0, device=directions.device)
    for low in range(0, len(directions), _BLOCK):
        rows = slice(low, low + _BLOCK)
        unit = _unit(directions[rows])
        for other in range(low, len(directions), _BLOCK):
            columns = slice(other, other + _BLOCK)
            cosines = unit @ (unit if other == low else _unit(directions[columns])).T
            if other == low:
                cosines.fill_diagonal_(-1)
            best[rows] = torch.maximum(best[rows], cosines.amax(1))
            best[columns] = torch.maximum(best[columns], cosines.amax(0))
    return best.clamp_(-1, 1)


def _of_sample(
    directions: Float[Tensor, "d_sae d"], sample: Int[Tensor, " sample"]
) -> Float[Tensor, " sample"]:
    best = torch.full((len(sample),), -1.0, device=directions.device)
    unit = _unit(directions[sample])
    for low in range(0, len(directions), _BLOCK):
        cosines = unit @ _unit(directions[low : low + _BLOCK]).T
        itself = (sample >= low) & (sample < low + cosines.shape[1])
        cosines[itself, sample[itself] - low] = -1
        best = torch.maximum(best, cosines.amax(1))
    return best.clamp_(-1, 1)


def _unit(directions: Float[Tensor, "block d"]) -> Float[Tensor, "block d"]:
    """Rows of length 1 in float32; zero rows stay zero."""
    return normalize(directions.float(), dim=1)
