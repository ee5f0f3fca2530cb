"""An L0 controller: it moves a sparsity coefficient until the L0 reaches its target."""

import math

from saeval.training.method import State

AVERAGE = 0.9
"""Decay of the running L0."""
INTEGRAL = 0.01
"""Change of the coefficient's logarithm per step, for each unit of log(l0 / target)."""
PROPORTIONAL = 0.5
"""Immediate change of the logarithm, added to that; it damps oscillations."""
ANNEAL = 0.6
"""Share of the training over which the target comes down."""
LARGEST_ERROR = 2.0
"""log(l0 / target) is clipped to this distance from 0."""


class L0Controller:
    """A proportional-integral controller of log(coefficient) on log(l0 / target).

    L0 falls roughly as a power of the coefficient, so that in logarithms one gain serves all
    scales of activations, all targets and all architectures. The target itself starts high and
    comes down evenly in logarithms, so that latents find their directions before they are pruned.
    """

    def __init__(self, target: float, coefficient: float, start: float) -> None:
        """Aim for `target` after `ANNEAL` of the training, for `start` at its beginning."""
        self._target = target
        self._start = max(start, target)
        self._integral = math.log(coefficient)
        self._l0: float | None = None

    def coefficient(self, l0: float, share: float) -> float:
        """Coefficient to use now, given the present batch's L0 and the share of training done."""
        self._l0 = l0 if self._l0 is None else AVERAGE * self._l0 + (1 - AVERAGE) * l0
        target = annealed(self._target, self._start, share)
        error = math.log(max(self._l0, 1e-3) / target)
        error = max(-LARGEST_ERROR, min(LARGEST_ERROR, error))
        self._integral += INTEGRAL * error
        return math.exp(self._integral + PROPORTIONAL * error)

    def scale(self, factor: float) -> None:
        """Multiply the coefficient, to make up for a change in the size of the penalty."""
        self._integral += math.log(factor)


def annealed(target: float, start: float, share: float) -> float:
    """From start to target, evenly in logarithms, over the first `ANNEAL` of the training."""
    return target * (start / target) ** max(0.0, 1 - share / ANNEAL)


def annealed_k(state: State, first: float) -> float:
    """The present k of a TopK-like method: it falls from `first` times its target to the target."""
    k, d_sae = state.memory["k"], len(state.dead)
    return annealed(k, min(first * k, d_sae), state.share)
