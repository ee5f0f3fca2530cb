"""Probes on all latents, or on dense features, regularised inside the train rows."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.sparse import csc_matrix

from .._logistic import Axes, principal_axes
from .choosing import BLOCK, spread
from .regularisation import C_GRID, preferred
from .rows import FIT, VALIDATION, ProbeSet
from .scoring import log_loss

SPANNED = 1e-5
"""Axes with less than this share of the largest sum of squares are rounding."""


def wide_scores(z: csc_matrix, probe_set: ProbeSet) -> Float[np.ndarray, "rows classes"]:
    """Log-odds of every row by probes on all latents, each divided by its spread."""
    active_latents = np.flatnonzero(np.diff(z[probe_set.train].indptr))
    if not len(active_latents):
        return np.zeros(probe_set.y.shape)
    columns = z[:, active_latents]
    if len(active_latents) <= probe_set.train.sum():
        return dense_scores(_standardise(columns, probe_set.train), probe_set)
    x, axes = _span_axes(
        _inner_products(columns, probe_set.train, len(active_latents)), probe_set.train
    )
    return _fit_scores(axes, x, probe_set)


def dense_scores(
    x: Float[np.ndarray, "rows features"], probe_set: ProbeSet
) -> Float[np.ndarray, "rows classes"]:
    """Log-odds of every row by probes on features that are centred over the train rows."""
    features = torch.from_numpy(x).double()
    axes, basis = principal_axes(features[torch.from_numpy(probe_set.train)])
    return _fit_scores(axes, features @ basis.T, probe_set)


def _fit_scores(
    axes: Axes,
    x: Float[torch.Tensor, "rows rank"],
    probe_set: ProbeSet,
) -> Float[np.ndarray, "rows classes"]:
    """Log-odds by probes with the regularisation that validation rows prefer.

    The probe is then fitted anew on all train rows.
    """
    train, validation = torch.from_numpy(probe_set.train), probe_set.role == VALIDATION
    y, fit = torch.from_numpy(probe_set.y)[train], torch.from_numpy(probe_set.role == FIT)[train]
    count, problems = len(C_GRID), y.shape[1]
    values = torch.tensor(C_GRID, dtype=torch.float64)
    grid_scores = axes.fit(
        y.repeat(1, count),
        values.repeat_interleave(problems),
        fit[:, None].expand(-1, count * problems),
    ).scores(x[torch.from_numpy(validation)])
    label = np.tile(probe_set.y[validation], (1, count))
    losses = log_loss(grid_scores.numpy(), label, np.ones_like(label)).reshape(count, problems)
    return axes.fit(y, torch.from_numpy(preferred(losses))).scores(x).numpy()


def _standardise(
    columns: csc_matrix, train: Bool[np.ndarray, " rows"]
) -> Float[np.ndarray, "rows some"]:
    """Latents less their mean over the train rows, over their spread there."""
    dense = columns.toarray().astype(np.float32, copy=False)
    train_values = dense[train]
    dense -= train_values.mean(0, dtype=np.float64).astype(np.float32)
    dense /= spread(train_values)
    return dense


def _inner_products(
    columns: csc_matrix, train: Bool[np.ndarray, " rows"], latents: int
) -> Float[np.ndarray, "rows train_rows"]:
    """Inner products of all rows with the train rows.

    Summed over blocks of latents, so that no array is as wide as the SAE.
    """
    rows = len(train)
    products = np.zeros((rows, int(train.sum())), dtype=np.float32)
    step = max(1, BLOCK // rows)
    for start in range(0, latents, step):
        block = _standardise(columns[:, start : start + step], train)
        products += block @ block[train].T
    return products


def _span_axes(
    products: Float[np.ndarray, "rows train_rows"], train: Bool[np.ndarray, " rows"]
) -> tuple[Float[torch.Tensor, "rows rank"], Axes]:
    """Rows along the principal axes of the train rows' span, outside of which no probe learns."""
    values, vectors = torch.linalg.eigh(torch.from_numpy(products[train]))
    spanning = values > values.max() * SPANNED
    moments = values[spanning].double()
    x = (torch.from_numpy(products) @ vectors[:, spanning]).double().div_(moments.sqrt())
    return x, Axes(x[torch.from_numpy(train)], moments)
