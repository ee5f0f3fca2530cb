"""Vectors and codes of a row's counted tokens, pooled into one: their mean, or their maximum."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csr_matrix
from torch import Tensor

from saeval.activations.protocol import Batch
from saeval.errors import UsageError
from saeval.sae import Codes

POOLS = ("mean", "max")
"""Ways to pool."""


def check_pool(how: str) -> None:
    """Check the name of a way to pool.

    Raises:
        UsageError: if it is unknown.
    """
    if how not in POOLS:
        raise UsageError(f"Rows are pooled by mean or max, not by '{how}'.")


def pooled_x(batch: Batch, how: str) -> Float[Tensor, "texts d_in"]:
    """Activations of each row of a batch; 0 for a row without counted tokens. A mean is float64."""
    counted = batch.mask[..., None]
    if how == "mean":
        sums = batch.x.cpu().double().mul_(counted.cpu()).sum(1)
        return sums / counted.cpu().sum(1).clamp(min=1)
    largest = batch.x.masked_fill(~counted, -torch.inf).amax(1)
    return largest.masked_fill(~counted.any(1), 0)


def pooled_codes(batch: Batch, codes: Codes, how: str) -> csr_matrix:
    """Acts [texts, d_sae] of each row of a batch; 0 for a row without counted tokens."""
    pool: Callable[[Batch, Codes], csr_matrix] = _mean if how == "mean" else _max
    return pool(batch, codes)


def _mean(batch: Batch, codes: Codes) -> csr_matrix:
    """Mean over counted tokens, summed in float64."""
    row = (batch.row_of_token - batch.rows.start).cpu().numpy()
    counts = np.maximum(np.bincount(row, minlength=len(batch.mask)), 1)
    average = csr_matrix(
        (1.0 / counts[row], (row, np.arange(len(row)))), shape=(len(batch.mask), len(row))
    )
    mean = csr_matrix(average @ codes.csr().astype(np.float64), dtype=np.float32)
    mean.eliminate_zeros()
    mean.sort_indices()
    return mean


def _max(batch: Batch, codes: Codes) -> csr_matrix:
    """Largest value over counted tokens; a latent counts as 0 on tokens where it is inactive."""
    row = (batch.row_of_token - batch.rows.start).cpu().numpy()
    counts = np.bincount(row, minlength=len(batch.mask))
    entry = row[codes.token.cpu().numpy()].astype(np.int64) * codes.d_sae
    entry += codes.index.cpu().numpy()
    # Codes hold active latents only: sorted by row and latent, each run is one latent's values.
    order = np.argsort(entry, kind="stable")
    entries, starts, active = np.unique(entry[order], return_index=True, return_counts=True)
    values = codes.value.float().cpu().numpy()[order]
    largest = np.maximum.reduceat(values, starts) if len(starts) else values
    rows, latents = np.divmod(entries, codes.d_sae)
    largest = np.where(active < counts[rows], np.maximum(largest, 0), largest)
    nonzero = largest != 0
    return csr_matrix(
        (largest[nonzero], (rows[nonzero], latents[nonzero])), shape=(len(batch.mask), codes.d_sae)
    )
