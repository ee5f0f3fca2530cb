"""Probes fitted together equal those that scikit-learn fits one by one."""

import numpy as np
import pytest
import torch
from saeval_tasks._logistic import Probes, fit_logistic, fit_logistic_each
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from saeval.errors import DataError


def drawn(rows: int, features: int, problems: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features of unequal scale, far from zero; noisy labels; rows of each problem."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, features, generator=generator) * torch.logspace(-1, 1, features)
    w = torch.randn(features, problems, generator=generator) / features**0.5
    y = x @ w + torch.randn(rows, problems, generator=generator) * 2 > 0.5
    return x + 3, y, torch.rand(rows, problems, generator=generator) < 0.7


def theirs(x: Tensor, y: Tensor, c: float) -> np.ndarray:
    """Coefficients and intercept of scikit-learn."""
    fit = LogisticRegression(C=c, tol=1e-8, max_iter=20_000).fit(x.double().numpy(), y.numpy())
    return np.concatenate([fit.coef_[0], fit.intercept_])


def distance(ours: np.ndarray, reference: np.ndarray, x: Tensor) -> float:
    """Largest difference of log-odds, in standard deviations of them."""
    full = np.concatenate([x.double().numpy(), np.ones((len(x), 1))], 1)
    return float(np.abs(full @ (ours - reference)).max() / (full @ reference).std())


@pytest.mark.parametrize("rows, features", [(300, 20), (40, 90)])
@pytest.mark.parametrize("c", [0.01, 1.0])
def test_shared_features_equal_scikit_learn(rows: int, features: int, c: float) -> None:
    """With more rows than features and with fewer, under any penalty, on rows of its own."""
    x, y, used = drawn(rows, features, 3)
    probes = fit_logistic(x, y, c, used)
    assert probes.coef.shape == (3, features)
    for j in range(3):
        ours = np.append(probes.coef[j].numpy(), probes.intercept[j])
        assert distance(ours, theirs(x[used[:, j]], y[used[:, j], j], c), x) < 1e-3


@pytest.mark.parametrize("c", [0.01, 1.0, 1e4])
def test_own_features_equal_scikit_learn(c: float) -> None:
    """A few features a problem, each problem with its own and rows of its own."""
    x, y, used = drawn(200, 12, 4)
    each = torch.stack([x[:, 3 * j : 3 * j + 3] for j in range(4)])
    probes = fit_logistic_each(each, y.T, c, used.T)
    for j in range(4):
        ours = np.append(probes.coef[j].numpy(), probes.intercept[j])
        own = used[:, j]
        assert distance(ours, theirs(each[j][own], y[own, j], c), each[j]) < 1e-3


def test_every_problem_may_have_a_penalty_of_its_own() -> None:
    """A tensor of `c` gives what each value gives alone."""
    x, y, _ = drawn(100, 8, 3)
    c = torch.tensor([0.1, 10.0, 0.1])
    together = fit_logistic(x, y, c)
    each = fit_logistic_each(x.expand(3, -1, -1), y.T, c)
    for j, value in enumerate(c.tolist()):
        alone = fit_logistic(x, y[:, j : j + 1], value)
        slack = 1e-3 * float(alone.coef[0].norm())
        assert torch.allclose(together.coef[j], alone.coef[0], rtol=0, atol=slack)
        assert torch.allclose(each.coef[j], alone.coef[0], rtol=0, atol=slack)


def test_separable_problems_stay_finite() -> None:
    """Labels that a line separates have a finite probe, which separates them."""
    x = torch.linspace(-1, 1, 50)[:, None]
    y = x > 0.1
    for probes in (fit_logistic(x, y, 1e5), fit_logistic_each(x[None], y.T, 1e5)):
        assert torch.isfinite(probes.coef).all()
        assert ((probes.scores(x) > 0) == y).all()


def test_features_that_say_nothing_leave_the_base_rate() -> None:
    """Constant features get coefficient 0 and the intercept the log-odds of yes."""
    y = torch.arange(8)[:, None] < 2
    for probes in (fit_logistic(torch.ones(8, 2), y), fit_logistic_each(torch.ones(1, 8, 2), y.T)):
        assert torch.allclose(probes.coef, torch.zeros(1, 2).double(), atol=1e-6)
        assert probes.intercept.item() == pytest.approx(np.log(2 / 6), abs=1e-4)


def test_one_label_is_refused() -> None:
    """A problem whose rows all say yes has no probe; the error names it."""
    x, y, used = drawn(30, 3, 3)
    y[used[:, 2], 2] = True
    with pytest.raises(DataError, match="Problem 2"):
        fit_logistic(x, y, 1.0, used)


def test_scores_are_log_odds() -> None:
    """By hand: 2 * 3 - 1 * 1 + 0.5."""
    probes = Probes(torch.tensor([[2.0, -1.0]]).double(), torch.tensor([0.5]).double())
    assert probes.scores(torch.tensor([[3.0, 1.0]])).item() == 5.5
