"""P-anneal: a ReLU SAE whose penalty goes from L1 towards L0 in the course of training."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from saeval.errors import UsageError
from saeval.sae import Origin, architectures
from saeval.training.affine import (
    affine_gradients,
    decode,
    encoder_input,
    loss_gradient,
    preactivations,
)
from saeval.training.method import Setup, State, StepResult, normalise_decoder
from saeval.training.relu import ReLU
from saeval.training.selection import where_positive

SOFTENING = 0.02
"""Added to acts inside the power, as a share of the size that acts have when k of them carry the
whole variance: without it the slope at 0 would be infinite for p < 1."""


@dataclass(frozen=True)
class PAnneal:
    """Penalty sum of (act + softening)^p, with p falling from 1 step by step.

    Whenever p falls, the coefficient is multiplied so that the penalty of the present batch stays
    the same.

    Source: Karvonen et al. 2024, arXiv 2408.00113.
    """

    name: ClassVar[str] = "p-anneal"

    coefficient: float = 0.01
    """Initial weight of the sum of acts beside the squared error, in normalised units."""
    begin: float = 0.2
    """Share of the training in which p stays 1."""
    updates: int = 10
    """Times that p falls, evenly spread over the rest of the training."""
    last_p: float = 0.1
    """p in the end; at 0 the penalty would teach nothing."""

    def __post_init__(self) -> None:
        if self.updates < 1 or not 0 <= self.begin < 1 or not 0 < self.last_p <= 1:
            raise UsageError(
                f"p cannot fall {self.updates} times to {self.last_p} after {self.begin} of the "
                "training. Give p-anneal updates of at least 1, begin in [0, 1), last_p in (0, 1]."
            )

    def exponent(self, share: float) -> float:
        """P after a share of the training."""
        if share < self.begin:
            return 1.0
        falls = 1 + math.floor(self.updates * (share - self.begin) / (1 - self.begin))
        return 1 - (1 - self.last_p) * min(falls, self.updates) / self.updates

    def start(self, setup: Setup) -> State:
        """As a ReLU SAE."""
        state = self._relu.start(setup)
        state.memory["p"] = 1.0
        state.memory["softening"] = SOFTENING * math.sqrt(setup.y.shape[1] / setup.recipe.k)
        return state

    def step(
        self, state: State, x: Float[Tensor, "tokens d_in"], y: Float[Tensor, "tokens d_out"]
    ) -> StepResult:
        """Gradients of squared error and penalty."""
        x_in = encoder_input(state, x)
        acts = preactivations(state.weights, x_in).relu_()
        error = decode(state.weights, acts) - y
        l0 = float(acts.count_nonzero()) / len(acts)
        p = self._anneal(state, acts)
        penalty = state.memory["controller"].coefficient(l0, state.share) / len(acts)
        g_out = loss_gradient(error)
        slope = (acts + state.memory["softening"]).pow_(p - 1).mul_(p * penalty)
        g_acts = slope.addmm_(g_out, state.weights["W_dec"].T)
        gradients = affine_gradients(state, x_in, acts, g_out, where_positive(g_acts, acts))
        return StepResult(gradients, error, acts)

    def _anneal(self, state: State, acts: Float[Tensor, "tokens d_sae"]) -> float:
        """The present p. If it has just fallen, the coefficient is adjusted."""
        old_p, p = state.memory["p"], self.exponent(state.share)
        active = acts[acts > 0] + state.memory["softening"]
        if p != old_p and len(active):
            ratio = float(active.pow(old_p).sum() / active.pow(p).sum())
            state.memory["controller"].scale(ratio)
        state.memory["p"] = p
        return p

    def constrain(self, state: State) -> None:
        """Decoder rows of norm 1."""
        normalise_decoder(state)

    def finish(self, state: State, setup: Setup) -> architectures.ReLU:
        """As a ReLU SAE; its origin says how it was trained."""
        origin = Origin(architecture="relu", metadata={"method": self.name})
        return replace(self._relu.finish(state, setup), origin=origin)

    @property
    def _relu(self) -> ReLU:
        return ReLU(coefficient=self.coefficient)
