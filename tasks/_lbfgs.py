"""L-BFGS over the losses of many logistic probes together, which share their features.

Source: Nocedal and Wright, "Numerical Optimization" (2006), algorithm 7.4.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

CLOSE = 3e-4
"""Coefficients are this close to the optimum, relative to their length: the penalty's curvature
is 1, so the length of the gradient bounds the distance."""
DECREMENT = 1e-14
"""A step that would lower the loss by less than this share of it is lost in rounding."""
STEPS = 500
MEMORY = 10
"""Steps, with the changes of the gradient, that L-BFGS remembers."""


def penalty_of(features: int) -> Float[Tensor, " features"]:
    """1 for coefficients, 0 for the intercept, which comes last."""
    penalty = torch.ones(features, dtype=torch.float64)
    penalty[-1] = 0
    return penalty


def minimise(
    z: Float[Tensor, "rows features"],
    curvature: Float[Tensor, "problems features"],
    sign: Float[Tensor, "rows problems"],
    weight: Float[Tensor, "rows problems"],
) -> Float[Tensor, "problems features"]:
    """Probes by L-BFGS: minimise along one direction after another until all problems converge.

    A problem that has converged is set aside, so that later steps cost only the slow ones.

    Args:
        z: Features; the last is the constant 1, whose coefficient is the intercept.
        curvature: The largest that each problem's loss can have along each feature.
        sign: 1 where the label is yes, -1 where it is no.
        weight: Of each row's loss, 0 where a problem does not learn from it.
    """
    finished = torch.zeros_like(curvature)
    number = torch.arange(len(curvature))
    descent = Descent.start(z, curvature, sign, weight)
    for _ in range(STEPS):
        step = descent.direction()
        moving = descent.is_moving(step)
        finished[number] = descent.w
        if not moving.any():
            break
        if not moving.all():
            number, step, descent = number[moving], step[moving], descent.take(moving)
        descent = descent.step_along(step)
    return finished


@dataclass(frozen=True)
class Descent:
    """The state of L-BFGS for the problems that have not converged."""

    z: Float[Tensor, "rows features"]
    """Shared by all problems."""
    curvature: Float[Tensor, "problems features"]
    sign: Float[Tensor, "rows problems"]
    slope: Float[Tensor, "rows problems"]
    """Weight times sign: the loss's slope by a row's log-odds where the prediction is all wrong."""
    w: Float[Tensor, "problems features"]
    """The probes so far."""
    logits: Float[Tensor, "rows problems"]
    """Log-odds of the probes so far: z times w."""
    gradient: Float[Tensor, "problems features"]
    """Gradient of the loss and penalty at w."""
    past: "Past"

    @classmethod
    def start(
        cls,
        z: Float[Tensor, "rows features"],
        curvature: Float[Tensor, "problems features"],
        sign: Float[Tensor, "rows problems"],
        weight: Float[Tensor, "rows problems"],
    ) -> "Descent":
        """At w = 0, where all log-odds are 0 and every row is half wrong."""
        slope, w = weight * sign, torch.zeros_like(curvature)
        gradient = -(slope.T / 2) @ z
        return cls(z, curvature, sign, slope, w, torch.zeros_like(sign), gradient, Past.empty())

    def direction(self) -> Float[Tensor, "problems features"]:
        """The step to the minimum of a parabola with the curvature that the past suggests."""
        return -self.past.newton(self.gradient, self.curvature)

    def is_moving(self, step: Float[Tensor, "problems features"]) -> Bool[Tensor, " problems"]:
        """Which problems are neither close to their optimum nor at the limit of rounding."""
        gain = -(self.gradient * step).sum(1)
        far = self.gradient.norm(dim=1) > CLOSE * self.w[:, :-1].norm(dim=1)
        return far & (gain > DECREMENT * self.slope.abs().sum(0))

    def take(self, selection: Bool[Tensor, " problems"]) -> "Descent":
        """The state of some of the problems."""
        return Descent(
            self.z,
            self.curvature[selection],
            self.sign[:, selection],
            self.slope[:, selection],
            self.w[selection],
            self.logits[:, selection],
            self.gradient[selection],
            self.past.take(selection),
        )

    def step_along(self, step: Float[Tensor, "problems features"]) -> "Descent":
        """At the minimum along a direction."""
        penalty, rise = penalty_of(self.z.shape[1]), self.z @ step.T
        length = self._step_length(step, rise, penalty)
        w = self.w + length[:, None] * step
        logits = self.logits + length * rise
        pull = -self.slope * torch.sigmoid(-self.sign * logits)
        gradient = pull.T @ self.z + penalty * w
        past = self.past.add(length[:, None] * step, gradient - self.gradient)
        return replace(self, w=w, logits=logits, gradient=gradient, past=past)

    def _step_length(
        self,
        step: Float[Tensor, "problems features"],
        rise: Float[Tensor, "rows problems"],
        penalty: Float[Tensor, " features"],
    ) -> Float[Tensor, " problems"]:
        """Step length along each direction: to its minimum, by Newton's method in a bracket.

        The bracket is halved, or opened further, where Newton's step would leave it. A tenth of
        the first slope is flat enough: the next direction starts anew from there.

        Args:
            step: The directions.
            rise: How the log-odds change with a step: z times step.
            penalty: 1 for coefficients, 0 for the intercept.
        """
        linear, square = (penalty * self.w * step).sum(1), (penalty * step * step).sum(1)
        at_start = torch.sigmoid(-self.sign * self.logits)
        steepest = ((self.slope * rise * at_start).sum(0) - linear).abs()
        length = torch.ones(len(step), dtype=torch.float64)
        low, high = torch.zeros_like(length), torch.full_like(length, torch.inf)
        for _ in range(20):
            wrong = torch.sigmoid(-self.sign * (self.logits + length * rise))
            first = -(self.slope * rise * wrong).sum(0) + linear + length * square
            second = (self.slope * self.sign * rise.square() * wrong * (1 - wrong)).sum(0) + square
            if (first.abs() <= 0.1 * steepest).all():
                break
            low, high = torch.where(first < 0, length, low), torch.where(first > 0, length, high)
            newton = length - first / second.clamp(min=1e-300)
            middle = torch.where(high.isinf(), 2 * low + 1, (low + high) / 2)
            inside = (newton > low) & (newton < high) & (newton < 10 * length + 1)
            length = torch.where(inside, newton, middle)
        return length


@dataclass(frozen=True)
class Past:
    """The last steps of each problem and how its gradient changed with them."""

    steps: tuple[Float[Tensor, "problems features"], ...]
    changes: tuple[Float[Tensor, "problems features"], ...]

    @classmethod
    def empty(cls) -> "Past":
        return cls((), ())

    def add(
        self, step: Float[Tensor, "problems features"], change: Float[Tensor, "problems features"]
    ) -> "Past":
        return Past((*self.steps, step)[-MEMORY:], (*self.changes, change)[-MEMORY:])

    def take(self, selection: Bool[Tensor, " problems"]) -> "Past":
        return Past(
            tuple(step[selection] for step in self.steps),
            tuple(change[selection] for change in self.changes),
        )

    def newton(
        self,
        gradient: Float[Tensor, "problems features"],
        curvature: Float[Tensor, "problems features"],
    ) -> Float[Tensor, "problems features"]:
        """The gradient times the inverse curvature that the past suggests: the two-loop recursion.

        The clamp keeps a problem whose step or gradient did not change from dividing by 0.
        """
        product, shares = gradient, []
        for step, change in zip(reversed(self.steps), reversed(self.changes), strict=True):
            inverse = 1 / (step * change).sum(1, keepdim=True).clamp(min=1e-300)
            share = inverse * (step * product).sum(1, keepdim=True)
            product = product - share * change
            shares.append((share, inverse))
        product = product / curvature
        for step, change in zip(self.steps, self.changes, strict=True):
            share, inverse = shares.pop()
            product = product + step * (share - inverse * (change * product).sum(1, keepdim=True))
        return product
