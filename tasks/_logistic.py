"""L2-penalised logistic regression for many problems together, in scikit-learn's convention."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

from saeval.errors import DataError

from ._lbfgs import DECREMENT, STEPS, minimise, penalty_of


@dataclass(frozen=True)
class Probes:
    """Linear probes, in float64 torch tensors on the CPU."""

    coef: Float[Tensor, "problems features"]
    intercept: Float[Tensor, " problems"]

    def scores(self, x: Float[Tensor, "rows features"]) -> Float[Tensor, "rows problems"]:
        """Log-odds of the rows; above 0 means yes."""
        return x.double() @ self.coef.T + self.intercept


def fit_logistic(
    x: Float[Tensor, "rows features"],
    y: Bool[Tensor, "rows problems"],
    c: float | Float[Tensor, " problems"] = 1.0,
    rows: Bool[Tensor, "rows problems"] | None = None,
) -> Probes:
    """Probes that share their features: minimise |w|^2 / 2 + c sum_i log(1 + exp(-y_i s_i)).

    s_i = w x_i + b; the intercept b is not penalised.

    Args:
        x: Features, in any scale and number.
        y: Labels.
        c: Weight of the loss against the penalty, `C` in scikit-learn.
        rows: The rows that each problem learns from; None: all.

    Raises:
        DataError: if the rows of a problem all have one label.
    """
    mean = x.double().mean(0)
    axes, basis = principal_axes(x.double() - mean)
    probes = axes.fit(y, c, rows)
    coef = probes.coef @ basis
    return Probes(coef, probes.intercept - coef @ mean)


def principal_axes(
    z: Float[Tensor, "rows features"],
) -> tuple["Axes", Float[Tensor, "rank features"]]:
    """Rows in coordinates along the principal axes of their span, and those axes.

    An optimal probe lies in the span of its rows, so fewer rows than features mean fewer unknowns.
    """
    if z.shape[1] <= z.shape[0]:
        values, vectors = torch.linalg.eigh(z.T @ z)
        return Axes(z @ vectors, values.clamp(min=0)), vectors.T
    values, vectors = torch.linalg.eigh(z @ z.T)
    spanning = values > values.max().clamp(min=1e-300) * 1e-12
    scale = values[spanning].sqrt()
    return Axes(vectors[:, spanning] * scale, values[spanning]), (
        vectors[:, spanning] / scale
    ).T @ z


@dataclass(frozen=True)
class Axes:
    """Uncorrelated features of some rows, on which many probes are fitted."""

    z: Float[Tensor, "rows rank"]
    """Centred, in float64."""
    moments: Float[Tensor, " rank"]
    """Sum of squares of each feature."""

    def fit(
        self,
        y: Bool[Tensor, "rows problems"],
        c: float | Float[Tensor, " problems"] = 1.0,
        rows: Bool[Tensor, "rows problems"] | None = None,
    ) -> Probes:
        """Probes on these features; see `fit_logistic`.

        L-BFGS over all problems at once. It starts with the largest curvature that the loss can
        have, diagonal along these axes, and takes exact steps along each direction.

        Source: Böhning and Lindsay, "Monotonicity of quadratic-approximation algorithms" (1988),
        for the bound; Nocedal and Wright, "Numerical Optimization" (2006), algorithm 7.4.
        """
        weight = _row_weights(y, rows)
        c_by_problem = torch.as_tensor(c, dtype=torch.float64).expand(y.shape[1])
        z = torch.cat([self.z, torch.ones(len(self.z), 1, dtype=torch.float64)], 1)
        squares = torch.cat([self.moments, torch.tensor([float(len(z))], dtype=torch.float64)])
        share = weight.mean(0) * c_by_problem / 4
        curvature = share[:, None] * squares + penalty_of(z.shape[1])
        w = minimise(z, curvature, y.double() * 2 - 1, weight * c_by_problem)
        return Probes(w[:, :-1], w[:, -1])


def fit_logistic_each(
    x: Float[Tensor, "problems rows features"],
    y: Bool[Tensor, "problems rows"],
    c: float | Float[Tensor, " problems"] = 1.0,
    rows: Bool[Tensor, "problems rows"] | Float[Tensor, "problems rows"] | None = None,
    start: Probes | None = None,
) -> Probes:
    """Probes that each have a few features of their own: Newton's method on all at once.

    The loss, `c` and `rows` are those of `fit_logistic`; here `rows` may also weigh them. Probes
    near the optimum, as `start`, save steps and change nothing else.

    Raises:
        DataError: if the rows of a problem all have one label.
    """
    weight = _row_weights(y.T, None if rows is None else rows.T).T
    mean = x.double().mean(1, keepdim=True)
    z = torch.cat([x.double() - mean, torch.ones(*y.shape, 1, dtype=torch.float64)], 2)
    sign = y.double() * 2 - 1
    c_by_problem = torch.as_tensor(c, dtype=torch.float64).expand(len(y))
    penalty = penalty_of(z.shape[2])
    w = torch.zeros(len(y), z.shape[2], dtype=torch.float64)
    if start is not None:
        w[:, :-1], w[:, -1] = start.coef, start.intercept + (start.coef * mean[:, 0]).sum(1)
    active = torch.arange(len(y))
    for _ in range(STEPS):
        problem = _SeparateProblems(
            z[active], sign[active], weight[active], c_by_problem[active], penalty
        )
        step, gain = problem.newton(w[active])
        w[active] += problem.damped(w[active], step, gain)
        improving = gain > DECREMENT * c_by_problem[active] * weight[active].sum(1)
        active = active[improving]
        if not len(active):
            break
    coef = w[:, :-1]
    return Probes(coef, w[:, -1] - (coef * mean[:, 0]).sum(1))


def _row_weights(
    y: Bool[Tensor, "rows problems"],
    rows: Bool[Tensor, "rows problems"] | Float[Tensor, "rows problems"] | None,
) -> Float[Tensor, "rows problems"]:
    """Weight of each row in each problem, 0 where the problem does not learn from the row."""
    weight = (torch.ones_like(y) if rows is None else rows).double()
    has_weight = weight > 0
    one_sided = ~((y & has_weight).any(0) & (~y & has_weight).any(0))
    if one_sided.any():
        raise DataError(
            f"Problem {int(one_sided.nonzero()[0, 0])} has rows of one label only, so there is "
            "nothing to tell apart. Leave it out."
        )
    return weight


@dataclass(frozen=True)
class _SeparateProblems:
    """Loss of problems with features of their own, and Newton's step on it."""

    z: Float[Tensor, "problems rows features"]
    sign: Float[Tensor, "problems rows"]
    weight: Float[Tensor, "problems rows"]
    c: Float[Tensor, " problems"]
    penalty: Float[Tensor, " features"]

    def newton(
        self, w: Float[Tensor, "problems features"]
    ) -> tuple[Float[Tensor, "problems features"], Float[Tensor, " problems"]]:
        """Newton's step, and the squared decrement: twice what the step should gain."""
        wrong = torch.sigmoid(-self._margin(w))
        residual = -(wrong * self.sign * self.weight * self.c[:, None])
        gradient = (residual[:, None] @ self.z)[:, 0] + self.penalty * w
        bend = wrong * (1 - wrong) * self.weight * self.c[:, None]
        hessian = self.z.mT @ (self.z * bend[..., None]) + torch.diag(self.penalty)
        # The intercept has no penalty, and its curvature is next to 0 where all rows are certain.
        hessian.diagonal(dim1=1, dim2=2)[:, -1] += 1e-12 * self.c * self.weight.sum(1)
        step = -torch.linalg.solve(hessian, gradient)
        return step, -(gradient * step).sum(1)

    def damped(
        self,
        w: Float[Tensor, "problems features"],
        step: Float[Tensor, "problems features"],
        gain: Float[Tensor, " problems"],
    ) -> Float[Tensor, "problems features"]:
        """The step, halved until it gains what it should."""
        before, scale = self._loss(w), torch.ones(len(w), 1, dtype=torch.float64)
        slack = 1e-12 * before.abs()  # what rounding may add to the loss
        for _ in range(40):
            short = self._loss(w + scale * step) > before - 0.25 * scale[:, 0] * gain + slack
            if not short.any():
                break
            scale[short] /= 2
        return scale * step

    def _margin(self, w: Float[Tensor, "problems features"]) -> Float[Tensor, "problems rows"]:
        return (self.z @ w[..., None])[..., 0] * self.sign

    def _loss(self, w: Float[Tensor, "problems features"]) -> Float[Tensor, " problems"]:
        data = (softplus(-self._margin(w)) * self.weight).sum(1) * self.c
        return data + (self.penalty * w * w).sum(1) / 2
