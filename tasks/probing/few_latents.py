"""Probes on a few latents per problem, fitted for all problems of all data sets together."""

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
class FewLatents:
    """A data set's rows, with the acts of a few latents for each problem."""

    x: Float[np.ndarray, "problems rows k"]
    """Each latent divided by its spread over the train rows."""
    y: Labels
    role: Int[np.ndarray, " rows"]


def few_latents(
    z: csc_matrix, probe_set: ProbeSet, y: Labels, latents: Int[np.ndarray, "problems k"]
) -> FewLatents:
    """The given latents of every problem."""
    distinct, column = np.unique(latents, return_inverse=True)
    dense = z[:, distinct].toarray().astype(np.float64)
    dense /= spread(dense[probe_set.train])
    return FewLatents(dense[:, column.reshape(latents.shape)].transpose(1, 0, 2), y, probe_set.role)


@dataclass(frozen=True)
class PaddedProblems:
    """Problems of all data sets with a few latents each, padded to the longest."""

    x: Float[torch.Tensor, "problems rows k"]
    y: Bool[torch.Tensor, "problems rows"]
    role: Int[torch.Tensor, "problems rows"]
    """-1 at padding."""


def pad_problems(parts: Sequence[FewLatents]) -> PaddedProblems:
    """Join the problems of data sets, with rows of zeros and role -1 as padding."""
    shapes = np.array([part.x.shape for part in parts])
    problems, rows, k = shapes[:, 0].sum(), shapes[:, 1].max(), shapes[:, 2].max()
    x, role = np.zeros((problems, rows, k)), np.full((problems, rows), -1)
    label = np.zeros((problems, rows), dtype=bool)
    start = 0
    for part in parts:
        block = slice(start, start + len(part.x)), slice(0, len(part.y))
        x[block], role[block], label[block] = part.x, part.role, part.y.T
        start += len(part.x)
    return PaddedProblems(torch.from_numpy(x), torch.from_numpy(label), torch.from_numpy(role))


def sparse_scores(
    fit: PaddedProblems, train: PaddedProblems, k: int
) -> Float[np.ndarray, "problems rows"]:
    """Log-odds of every row from probes on the k best latents of each problem.

    Args:
        fit: Problems with the latents that the fit rows chose.
        train: Problems with the latents that all train rows chose.
        k: How many of these latents probes use.
    """
    best = np.stack([_validation_loss(fit, k, value) for value in C_SPARSE]).argmin(0)
    return fixed_c_scores(train, k, torch.tensor(np.array(C_SPARSE)[best]))


def fixed_c_scores(
    train: PaddedProblems, k: int, c: float | Float[torch.Tensor, " problems"]
) -> Float[np.ndarray, "problems rows"]:
    """Log-odds of every row from probes on the k best latents, with the given regularisation."""
    train_rows = (train.role == FIT) | (train.role == VALIDATION)
    probes = fit_logistic_each(train.x[..., :k], train.y, c, train_rows)
    return _log_odds(probes.coef, probes.intercept, train.x[..., :k]).numpy()


def _validation_loss(fit: PaddedProblems, k: int, c: float) -> Float[np.ndarray, " problems"]:
    """Log-loss on the validation rows of probes that learn from the fit rows."""
    probes = fit_logistic_each(fit.x[..., :k], fit.y, c, fit.role == FIT)
    scores = _log_odds(probes.coef, probes.intercept, fit.x[..., :k]).numpy()
    return log_loss(scores.T, fit.y.numpy().T, (fit.role == VALIDATION).numpy().T)


def _log_odds(coef: torch.Tensor, intercept: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return (x @ coef[..., None])[..., 0] + intercept[:, None]
