"""Probes on all latents, or on dense features, regularised inside the train rows."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.sparse import csc_matrix

from .._logistic import Axes, principal_axes
from .choosing import BLOCK, spread
from .rows import FIT, VALIDATION, ProbeSet
from .scoring import log_loss

C_WIDE = (1e-4, 1e-3, 1e-2, 1e-1)
"""For all latents, each divided by its spread, from strong to weak regularisation."""
SPANNED = 1e-5
"""Axes with less than this share of the largest sum of squares are rounding."""


def wide_scores(z: csc_matrix, one: ProbeSet) -> Float[np.ndarray, "rows classes"]:
    """Log-odds of every row by probes on all latents, each divided by its spread."""
    live = np.flatnonzero(np.diff(z[one.train].indptr))
    if not len(live):
        return np.zeros(one.y.shape)
    columns = z[:, live]
    if len(live) <= one.train.sum():
        return dense_scores(_standardised(columns, one.train), one, C_WIDE)
    x, axes = _span(_products(columns, one.train, len(live)), one.train)
    return _regularised(axes, x, one, C_WIDE)


def dense_scores(
    x: Float[np.ndarray, "rows features"], one: ProbeSet, grid: Sequence[float]
) -> Float[np.ndarray, "rows classes"]:
    """Log-odds of every row by probes on features that are centred over the train rows."""
    features = torch.from_numpy(x).double()
    axes, basis = principal_axes(features[torch.from_numpy(one.train)])
    return _regularised(axes, features @ basis.T, one, grid)


def _regularised(
    axes: Axes,
    x: Float[torch.Tensor, "rows rank"],
    one: ProbeSet,
    grid: Sequence[float],
) -> Float[np.ndarray, "rows classes"]:
    """Log-odds by probes with, of a grid, the regularisation that validation rows prefer.

    Of equally good ones the strongest. The probe is then fitted anew on all train rows.
    """
    train, held = torch.from_numpy(one.train), one.role == VALIDATION
    y, fit = torch.from_numpy(one.y)[train], torch.from_numpy(one.role == FIT)[train]
    count, problems = len(grid), y.shape[1]
    values = torch.tensor(grid, dtype=torch.float64)
    tried = axes.fit(
        y.repeat(1, count),
        values.repeat_interleave(problems),
        fit[:, None].expand(-1, count * problems),
    ).scores(x[torch.from_numpy(held)])
    label = np.tile(one.y[held], (1, count))
    losses = log_loss(tried.numpy(), label, np.ones_like(label)).reshape(count, problems)
    best = torch.from_numpy(losses.argmin(0))
    return axes.fit(y, values[best]).scores(x).numpy()


def _standardised(
    columns: csc_matrix, train: Bool[np.ndarray, " rows"]
) -> Float[np.ndarray, "rows some"]:
    """Latents less their mean over the train rows, over their spread there."""
    dense = columns.toarray().astype(np.float32, copy=False)
    known = dense[train]
    dense -= known.mean(0, dtype=np.float64).astype(np.float32)
    dense /= spread(known)
    return dense


def _products(
    columns: csc_matrix, train: Bool[np.ndarray, " rows"], latents: int
) -> Float[np.ndarray, "rows train_rows"]:
    """Inner products of all rows with the train rows.

    Summed over blocks of latents, so that no array is as wide as the SAE.
    """
    rows = len(train)
    found = np.zeros((rows, int(train.sum())), dtype=np.float32)
    step = max(1, BLOCK // rows)
    for start in range(0, latents, step):
        block = _standardised(columns[:, start : start + step], train)
        found += block @ block[train].T
    return found


def _span(
    products: Float[np.ndarray, "rows train_rows"], train: Bool[np.ndarray, " rows"]
) -> tuple[Float[torch.Tensor, "rows rank"], Axes]:
    """Rows along the principal axes of what the train rows span, which is all a probe can use."""
    values, vectors = torch.linalg.eigh(torch.from_numpy(products[train]))
    kept = values > values.max() * SPANNED
    moments = values[kept].double()
    x = (torch.from_numpy(products) @ vectors[:, kept]).double().div_(moments.sqrt())
    return x, Axes(x[torch.from_numpy(train)], moments)
