"""Probes on a few latents of each problem, all problems of all data sets together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csc_matrix

from .._logistic import fit_logistic_each
from .choosing import Labels, spread
from .rows import FIT, VALIDATION, ProbeSet
from .scoring import log_loss

C_SPARSE = (0.01, 1.0)
"""For a few standardised latents, from strong to weak regularisation."""


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
    dense /= spread(dense[one.train])
    return Few(dense[:, where.reshape(latents.shape)].transpose(1, 0, 2), y, one.role)


@dataclass(frozen=True)
class Padded:
    """Problems of all data sets with a few latents each, padded to the longest."""

    x: Float[torch.Tensor, "problems rows k"]
    y: Bool[torch.Tensor, "problems rows"]
    role: Int[torch.Tensor, "problems rows"]
    """-1 at padding."""


def padded(parts: Sequence[Few]) -> Padded:
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
    return Padded(torch.from_numpy(x), torch.from_numpy(label), torch.from_numpy(role))


def sparse_scores(fit: Padded, train: Padded, k: int) -> Float[np.ndarray, "problems rows"]:
    """Log-odds of every row by probes on the k best latents of each problem.

    Args:
        fit: With the latents that the fit rows chose.
        train: With those that all train rows chose.
        k: How many of them.
    """
    best = np.stack([_validated(fit, k, value) for value in C_SPARSE]).argmin(0)
    return plain_scores(train, k, torch.tensor(np.array(C_SPARSE)[best]))


def plain_scores(
    train: Padded, k: int, c: float | Float[torch.Tensor, " problems"]
) -> Float[np.ndarray, "problems rows"]:
    """Log-odds of every row by probes on the k best latents, regularised as told."""
    learn = (train.role == FIT) | (train.role == VALIDATION)
    probes = fit_logistic_each(train.x[..., :k], train.y, c, learn)
    return _apply(probes.coef, probes.intercept, train.x[..., :k]).numpy()


def _validated(fit: Padded, k: int, c: float) -> Float[np.ndarray, " problems"]:
    """Log-loss on the validation rows."""
    probes = fit_logistic_each(fit.x[..., :k], fit.y, c, fit.role == FIT)
    scores = _apply(probes.coef, probes.intercept, fit.x[..., :k]).numpy()
    return log_loss(scores.T, fit.y.numpy().T, (fit.role == VALIDATION).numpy().T)


def _apply(coef: torch.Tensor, intercept: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return (x @ coef[..., None])[..., 0] + intercept[:, None]
