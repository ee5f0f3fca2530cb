"""The latents that follow a label best, each judged alone."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix

BLOCK = 1 << 20
"""Numbers in a dense block of latents at most, so that no array is as wide as the SAE."""
ROUNDING = 1e-12
"""Variance below this share of the mean square is what rounding makes of a constant."""

Labels = Bool[np.ndarray, "rows problems"]


def correlations(
    z: csr_matrix, y: Bool[np.ndarray, "rows problems"]
) -> Float[np.ndarray, "problems d_sae"]:
    """Pearson correlation of each latent with each label; 0 for a constant one.

    The difference of the two means in units of the latent's own spread: SAEs that differ only in
    the scale of a latent choose alike.
    """
    n, width = z.get_shape()
    label = y.astype(np.float64)
    label -= label.mean(0)
    values = z.data.astype(np.float64)
    mean, square = (
        np.bincount(z.indices, numbers, minlength=width) / n for numbers in (values, values**2)
    )
    variance = square - mean**2
    varying = variance > ROUNDING * square
    deviation = np.sqrt(np.where(varying, variance, 1.0))
    covariance = np.asarray((z.T @ label).T) / n
    scale = np.where(label.any(0), label.std(0), 1.0)
    return np.where(varying, covariance / deviation / scale[:, None], 0.0)


def blocks(problems: int, width: int) -> Iterator[slice]:
    """Slices of problems, so that an array [slice, width] has at most `BLOCK` numbers."""
    step = max(1, BLOCK // max(1, width))
    return (slice(start, start + step) for start in range(0, problems, step))


def strongest(score: Float[np.ndarray, "problems d_sae"], k: int) -> Int[np.ndarray, "problems k"]:
    """Indices of the k highest scores of each row, highest first; among equals the first."""
    k = min(k, score.shape[1])
    index = np.argpartition(-score, k - 1, axis=1)[:, :k]
    index.sort(axis=1)
    order = np.argsort(-np.take_along_axis(score, index, 1), axis=1, kind="stable")
    return np.take_along_axis(index, order, 1)


def strongest_latents(z: csr_matrix, y: Labels, k: int) -> Int[np.ndarray, "problems k"]:
    """The k latents with the strongest correlation, of either sign, with each label on the rows."""
    parts = [
        strongest(np.abs(correlations(z, y[:, block])), k)
        for block in blocks(y.shape[1], z.get_shape()[1])
    ]
    return np.vstack(parts)


def spread(train: Float[np.ndarray, "rows some"]) -> Float[np.ndarray, " some"]:
    """Standard deviation of each feature; 1 for a constant, rounding aside."""
    deviation = train.std(0, dtype=np.float64)
    constant = deviation**2 <= ROUNDING * np.square(train).mean(0)
    return np.where(constant, 1.0, deviation).astype(train.dtype)
