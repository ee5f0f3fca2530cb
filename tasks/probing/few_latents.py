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
    problems = [
        FewLatentsProblem.of(part, number, k) for part in parts for number in range(len(part.train))
    ]
    order = sorted(range(len(problems)), key=lambda number: problems[number].rows)
    scores = {}
    for block in blocks(len(problems), max(problem.rows for problem in problems) * k):
        numbers = order[block]
        scores |= zip(
            numbers, _scores_of_block([problems[number] for number in numbers]), strict=True
        )
    return [scores[number] for number in range(len(problems))]


@dataclass(frozen=True)
class Learnt:
    """Rows that a probe learns from. Those on which all its latents are silent are put together."""

    x: Float[np.ndarray, "rows k"]
    y: Bool[np.ndarray, " rows"]
    fit: Float[np.ndarray, " rows"]
    """How many fit rows this row stands for."""
    validation: Float[np.ndarray, " rows"]
    """How many validation rows this row stands for."""

    @classmethod
    def of(
        cls,
        x: Float[np.ndarray, "train_rows k"],
        y: Bool[np.ndarray, " train_rows"],
        role: Int[np.ndarray, " train_rows"],
    ) -> "Learnt":
        """Rows where a latent is active, then a row for each label of all others."""
        active = x.any(1)
        label = np.append(y[active], [False, True])
        weights = (
            np.append(has_role[active], [(has_role & ~active & (y == yes)).sum() for yes in (0, 1)])
            for has_role in (role == FIT, role == VALIDATION)
        )
        both = np.concatenate([x[active], np.zeros((2, x.shape[1]), x.dtype)])
        return cls(both, label, *(weight.astype(np.float64) for weight in weights))


@dataclass(frozen=True)
class FewLatentsProblem:
    """One label's rows, with acts of the k latents that its probe reads."""

    choosing: Learnt
    """With latents that the fit rows chose."""
    scored: Learnt
    """With latents that all train rows chose."""
    test: Float[np.ndarray, "test_rows k"]

    @classmethod
    def of(cls, part: FewLatents, number: int, k: int) -> "FewLatentsProblem":
        """The problem of this number in its data set."""
        y = part.y[:, number]
        return cls(
            Learnt.of(part.fit[number, :, :k], y, part.role),
            Learnt.of(part.train[number, :, :k], y, part.role),
            part.test[number, :, :k],
        )

    @property
    def rows(self) -> int:
        """Rows to learn from that must be kept apart."""
        return max(len(self.choosing.y), len(self.scored.y))


def _scores_of_block(
    problems: Sequence[FewLatentsProblem],
) -> list[Float[np.ndarray, " test_rows"]]:
    """The scores of a few problems, fitted together."""
    c = torch.from_numpy(_chosen_c([problem.choosing for problem in problems]))
    learnt = [problem.scored for problem in problems]
    x, y = _padded([rows.x for rows in learnt]), _padded([rows.y for rows in learnt])
    probes = fit_logistic_each(x, y, c, _padded([rows.fit + rows.validation for rows in learnt]))
    test = _log_odds(probes, _padded([problem.test for problem in problems])).numpy()
    return [scores[: len(problem.test)] for scores, problem in zip(test, problems, strict=True)]


def _chosen_c(learnt: Sequence[Learnt]) -> Float[np.ndarray, " problems"]:
    """Regularisation with which probes that learn from fit rows do best on validation rows."""
    x, y = _padded([rows.x for rows in learnt]), _padded([rows.y for rows in learnt])
    fit, validation = (
        _padded([rows.fit for rows in learnt]),
        _padded([rows.validation for rows in learnt]),
    )
    losses, probes = [], None
    for c in C_GRID:  # each fit starts from the one before it
        probes = fit_logistic_each(x, y, c, fit, start=probes)
        scores = _log_odds(probes, x).numpy()
        losses.append(log_loss(scores.T, y.numpy().T, validation.numpy().T))
    return preferred(np.stack(losses))


def _padded(arrays: Sequence[np.ndarray]) -> torch.Tensor:
    """Arrays of several lengths as one tensor, with zeros at the end of the shorter ones."""
    padded = np.zeros((len(arrays), max(map(len, arrays)), *arrays[0].shape[1:]), arrays[0].dtype)
    for place, array in zip(padded, arrays, strict=True):
        place[: len(array)] = array
    return torch.from_numpy(padded)


def _log_odds(
    probes: Probes, x: Float[torch.Tensor, "problems rows k"]
) -> Float[torch.Tensor, "problems rows"]:
    return (x.double() @ probes.coef[..., None])[..., 0] + probes.intercept[:, None]
