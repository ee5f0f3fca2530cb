"""Which latents follow a label best, each judged alone."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix

BLOCK = 1 << 20
"""Numbers of a dense block of latents, so that no array is as wide as the SAE."""
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
        np.bincount(z.indices, each, minlength=width) / n for each in (values, values**2)
    )
    variance = square - mean**2
    live = variance > ROUNDING * square
    deviation = np.sqrt(np.where(live, variance, 1.0))
    together = np.asarray((z.T @ label).T) / n
    scale = np.where(label.any(0), label.std(0), 1.0)
    return np.where(live, together / deviation / scale[:, None], 0.0)


def blocks(problems: int, width: int) -> Iterator[slice]:
    """Some problems after the others, so that an array [some, width] is no larger than `BLOCK`."""
    step = max(1, BLOCK // max(1, width))
    return (slice(start, start + step) for start in range(0, problems, step))


def strongest(score: Float[np.ndarray, "problems d_sae"], k: int) -> Int[np.ndarray, "problems k"]:
    """The k highest of each row, highest first; of equals the first."""
    k = min(k, score.shape[1])
    some = np.argpartition(-score, k - 1, axis=1)[:, :k]
    some.sort(axis=1)
    order = np.argsort(-np.take_along_axis(score, some, 1), axis=1, kind="stable")
    return np.take_along_axis(some, order, 1)


def chosen(z: csr_matrix, y: Labels, k: int) -> Int[np.ndarray, "problems k"]:
    """The k latents whose correlation with each label, of either sign, is strongest on the rows."""
    found = [
        strongest(np.abs(correlations(z, y[:, some])), k)
        for some in blocks(y.shape[1], z.get_shape()[1])
    ]
    return np.vstack(found)


def spread(train: Float[np.ndarray, "rows some"]) -> Float[np.ndarray, " some"]:
    """Standard deviation of each feature; 1 for a constant, rounding aside."""
    deviation = train.std(0, dtype=np.float64)
    constant = deviation**2 <= ROUNDING * np.square(train).mean(0)
    return np.where(constant, 1.0, deviation).astype(train.dtype)
