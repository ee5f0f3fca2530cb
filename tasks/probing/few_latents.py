"""Probes on a few latents per problem, fitted for all problems of all data sets together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csc_matrix, csr_matrix

from .._logistic import Probes, fit_logistic_each
from .choosing import Labels, blocks, spread, strongest_latents
from .regularisation import C_GRID, preferred
from .rows import FIT, VALIDATION, ProbeSet
from .scoring import log_loss


@dataclass(frozen=True)
class FewLatents:
    """What probes on a few latents of a data set's problems learn from and are scored on.

    Acts are divided by each latent's spread over the train rows.
    """

    fit: Float[np.ndarray, "problems train_rows k"]
    """Latents that the fit rows chose: regularisation is chosen with these."""
    train: Float[np.ndarray, "problems train_rows k"]
    """Latents that all train rows chose, for the probe that is scored."""
    test: Float[np.ndarray, "problems test_rows k"]
    """The same latents on the test rows."""
    y: Bool[np.ndarray, "train_rows problems"]
    role: Int[np.ndarray, " train_rows"]
    """`FIT` or `VALIDATION`."""


def few_latents(z: csr_matrix, probe_set: ProbeSet, y: Labels, k: int) -> FewLatents:
    """The k latents that correlate best with each label on the fit rows, and on all train rows.

    Args:
        z: Acts of all rows of the data set.
        probe_set: Roles of these rows.
        y: Labels of all rows; those of test rows are not looked at.
        k: How many latents, or all if there are fewer.
    """
    columns = csc_matrix(z)
    train, fit = probe_set.train, probe_set.role == FIT
    on_fit, _ = _scaled(columns, strongest_latents(z[fit], y[fit], k), train)
    on_train = _scaled(columns, strongest_latents(z[train], y[train], k), train)
    return FewLatents(on_fit, *on_train, y[train], probe_set.role[train])


def _scaled(
    z: csc_matrix, latents: Int[np.ndarray, "problems k"], train: Bool[np.ndarray, " rows"]
) -> tuple[Float[np.ndarray, "problems train k"], Float[np.ndarray, "problems test k"]]:
    """The given latents of every problem, each divided by its spread over the train rows."""
    distinct, column = np.unique(latents, return_inverse=True)
    dense = z[:, distinct].toarray().astype(np.float32, copy=False)
    dense /= spread(dense[train])
    on_train, on_test = (
        dense[rows][:, column.reshape(latents.shape)].transpose(1, 0, 2) for rows in (train, ~train)
    )
    return on_train, on_test


def sparse_scores(parts: Sequence[FewLatents], k: int) -> list[Float[np.ndarray, " test_rows"]]:
    """Log-odds of the test rows of every problem, by probes on its k best latents.

    Regularisation is chosen on validation rows, by probes that the fit rows chose latents for and
    were fitted on. The probe that is scored is then fitted on all train rows.
    """
    problems = [(part, number) for part in parts for number in range(len(part.train))]
    rows = max(len(part.role) for part in parts)
    scores = []
    for block in blocks(len(problems), rows * k):
        scores += _scores_of_block(problems[block], k)
    return scores


def _scores_of_block(
    problems: Sequence[tuple[FewLatents, int]], k: int
) -> list[Float[np.ndarray, " test_rows"]]:
    """The scores of a few problems, each a data set and a number in it."""
    y = _padded([part.y[:, number] for part, number in problems], fill=False)
    role = _padded([part.role for part, _ in problems], fill=-1)
    c = _chosen_c(_padded([part.fit[number, :, :k] for part, number in problems]), y, role)
    train = _padded([part.train[number, :, :k] for part, number in problems])
    probes = fit_logistic_each(train, y, torch.from_numpy(c), role >= 0)
    test = _padded([part.test[number, :, :k] for part, number in problems])
    log_odds = _log_odds(probes, test).numpy()
    return [
        scores[: part.test.shape[1]] for scores, (part, _) in zip(log_odds, problems, strict=True)
    ]


def _chosen_c(
    x: Float[torch.Tensor, "problems rows k"],
    y: Bool[torch.Tensor, "problems rows"],
    role: Int[torch.Tensor, "problems rows"],
) -> Float[np.ndarray, " problems"]:
    """Regularisation with which probes that learn from fit rows do best on validation rows."""
    used, losses, probes = (role == VALIDATION).numpy().T, [], None
    for c in C_GRID:  # each fit starts from the one before it
        probes = fit_logistic_each(x, y, c, role == FIT, start=probes)
        losses.append(log_loss(_log_odds(probes, x).numpy().T, y.numpy().T, used))
    return preferred(np.stack(losses))


def _padded(arrays: Sequence[np.ndarray], fill: float = 0.0) -> torch.Tensor:
    """Arrays of several lengths as one tensor, with `fill` at the end of the shorter ones."""
    shape = np.max([array.shape for array in arrays], axis=0)
    padded = np.full((len(arrays), *shape), fill, dtype=arrays[0].dtype)
    for place, array in zip(padded, arrays, strict=True):
        place[tuple(slice(0, size) for size in array.shape)] = array
    return torch.from_numpy(padded)


def _log_odds(
    probes: Probes, x: Float[torch.Tensor, "problems rows k"]
) -> Float[torch.Tensor, "problems rows"]:
    return (x.double() @ probes.coef[..., None])[..., 0] + probes.intercept[:, None]
