"""Probes on an SAE's latents: a few chosen ones, or all of them; regularised inside train rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csc_matrix, csr_matrix

from .._logistic import Axes, fit_logistic_each, principal_axes
from .rows import FIT, VALIDATION, ProbeSet

C_SPARSE = (0.01, 1.0)
"""For a few standardised latents, from strong to weak regularisation."""
C_WIDE = (1e-4, 1e-3, 1e-2, 1e-1)
"""For all of them."""
BLOCK = 1 << 20
"""Numbers of a dense block of latents."""

SPANNED = 1e-5
"""Axes with less than this share of the largest sum of squares are rounding."""

ROUNDING = 1e-12
"""Variance below this share of the mean square is what float32 makes of a constant."""

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
    spread = np.sqrt(np.where(live, variance, 1.0))
    together = np.asarray((z.T @ label).T) / n
    scale = np.where(label.any(0), label.std(0), 1.0)
    return np.where(live, together / spread / scale[:, None], 0.0)


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


def auc_components(
    score: Float[np.ndarray, " rows"], y: Bool[np.ndarray, " rows"]
) -> Float[np.ndarray, " rows"]:
    """What each row adds to the AUC: numbers whose mean is the AUC, whose spread its error.

    A row's number is the AUC plus the row's influence on it: its placement (the share of rows of
    the other label that it stands on the right side of, ties half) less the AUC, over the share
    of rows with its own label.

    Source: DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated
    receiver operating characteristic curves" (1988), for the placements.
    """
    ones, zeros = np.sort(score[y]), np.sort(score[~y])
    below = np.searchsorted(zeros, score) + np.searchsorted(zeros, score, side="right")
    above = 2 * len(ones) - np.searchsorted(ones, score) - np.searchsorted(ones, score, "right")
    placement = np.where(y, below / (2 * max(1, len(zeros))), above / (2 * max(1, len(ones))))
    value = placement[y].mean()
    return value + (placement - value) / np.where(y, y.mean(), 1 - y.mean())


@dataclass(frozen=True)
class Few:
    """A data set's rows in a few latents of each problem."""

    x: Float[np.ndarray, "problems rows k"]
    """Each latent divided by its spread over the train rows."""
    y: Labels
    role: Int[np.ndarray, " rows"]


def few(z: csc_matrix, one: ProbeSet, y: Labels, latents: Int[np.ndarray, "problems k"]) -> Few:
    """The given latents of every problem."""
    distinct, where = np.unique(latents, return_inverse=True)
    dense = z[:, distinct].toarray().astype(np.float64)
    spread = dense[one.train].std(0)
    dense /= np.where(spread > 0, spread, 1.0)
    return Few(dense[:, where.reshape(latents.shape)].transpose(1, 0, 2), y, one.role)


@dataclass(frozen=True)
class Batch:
    """Problems of all data sets with a few latents each, padded to the longest."""

    x: Float[torch.Tensor, "problems rows k"]
    y: Bool[torch.Tensor, "problems rows"]
    role: Int[torch.Tensor, "problems rows"]
    """-1 at padding."""


def batch(parts: Sequence[Few]) -> Batch:
    """Data sets together."""
    shapes = np.array([one.x.shape for one in parts])
    problems, rows, k = shapes[:, 0].sum(), shapes[:, 1].max(), shapes[:, 2].max()
    x, role = np.zeros((problems, rows, k)), np.full((problems, rows), -1)
    label = np.zeros((problems, rows), dtype=bool)
    at = 0
    for one in parts:
        places = slice(at, at + len(one.x)), slice(0, len(one.y))
        x[places], role[places], label[places] = one.x, one.role, one.y.T
        at += len(one.x)
    return Batch(torch.from_numpy(x), torch.from_numpy(label), torch.from_numpy(role))


def sparse_scores(fit: Batch, train: Batch, k: int) -> Float[np.ndarray, "problems rows"]:
    """Log-odds of every row by probes on the k best latents of each problem.

    Args:
        fit: With the latents that the fit rows chose.
        train: With those that all train rows chose.
        k: How many of them.
    """
    best = np.stack([_validated(fit, k, value) for value in C_SPARSE]).argmin(0)
    return plain_scores(train, k, torch.tensor(np.array(C_SPARSE)[best]))


def plain_scores(
    train: Batch, k: int, c: float | Float[torch.Tensor, " problems"]
) -> Float[np.ndarray, "problems rows"]:
    """Log-odds of every row by probes on the k best latents, regularised as told."""
    learn = (train.role == FIT) | (train.role == VALIDATION)
    probes = fit_logistic_each(train.x[..., :k], train.y, c, learn)
    return _apply(probes.coef, probes.intercept, train.x[..., :k]).numpy()


def _validated(fit: Batch, k: int, c: float) -> Float[np.ndarray, " problems"]:
    """Log-loss on the validation rows."""
    probes = fit_logistic_each(fit.x[..., :k], fit.y, c, fit.role == FIT)
    scores = _apply(probes.coef, probes.intercept, fit.x[..., :k]).numpy()
    return log_loss(scores.T, fit.y.numpy().T, (fit.role == VALIDATION).numpy().T)


def log_loss(
    scores: Float[np.ndarray, "rows problems"], y: Labels, used: Labels
) -> Float[np.ndarray, " problems"]:
    """Mean of -log p(label) over the used rows, to six digits so that rounding decides nothing.

    In nats; log 2 for log-odds of 0, 0 for certainty that is right.
    """
    loss = np.logaddexp(0, np.where(y, -scores, scores))
    return np.round((loss * used).sum(0) / used.sum(0), 6)


def _apply(coef: torch.Tensor, intercept: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return (x @ coef[..., None])[..., 0] + intercept[:, None]


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
    dense -= dense[train].mean(0)
    spread = dense[train].std(0)
    dense /= np.where(spread > 0, spread, 1.0).astype(np.float32)
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
