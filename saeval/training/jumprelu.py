"""JumpReLU: thresholds learned through a straight-through kernel, L0 penalty under control."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.sae import architectures
from saeval.training.affine import (
    affine_gradients,
    decode,
    encoder_input,
    loss_gradient,
    preactivations,
    tied_state,
)
from saeval.training.auxk import add_auxk
from saeval.training.control import L0Controller
from saeval.training.method import Setup, State, StepResult, normalise_decoder
from saeval.training.selection import batch_threshold


@dataclass(frozen=True)
class JumpReLU:
    """Source: Rajamanoharan et al. 2024, arXiv 2407.14435."""

    name: ClassVar[str] = "jumprelu"

    bandwidth: float = 0.4
    """Width of the rectangle kernel, as a share of the size that acts have when k of them carry
    the whole variance. The paper's 0.001 serves billions of tokens; fewer need a wider one."""
    coefficient: float = 0.01
    """Initial weight of the L0 beside the squared error, in normalised units."""
    auxk: bool = True
    """Whether dead latents are brought back."""
    initial_l0: float = 4.0
    """L0 of the initial thresholds, as a multiple of the target."""

    def start(self, setup: Setup) -> State:
        """Tied random directions, one threshold for all."""
        state = tied_state(setup)
        recipe = setup.recipe
        pre = preactivations(state.weights, encoder_input(state, setup.x))
        l0 = min(self.initial_l0 * recipe.k, recipe.d_sae / 2)
        start = max(1e-3, batch_threshold(pre, l0))
        state.weights["log_threshold"] = torch.full_like(state.weights["b_enc"], math.log(start))
        state.memory["controller"] = L0Controller(
            recipe.k, self.coefficient, self.initial_l0 * recipe.k
        )
        state.memory["bandwidth"] = self.bandwidth * math.sqrt(setup.y.shape[1] / recipe.k)
        return state

    def step(
        self, state: State, x: Float[Tensor, "tokens d_in"], y: Float[Tensor, "tokens d_out"]
    ) -> StepResult:
        """Gradients of squared error and L0; the kernel stands for the step function's slope.

        Near its threshold a latent's act jumps by the threshold, and the L0 by 1. The penalty
        moves pre-activations as well as thresholds.
        """
        width = state.memory["bandwidth"]
        cut = state.weights["log_threshold"].exp()
        x_in = encoder_input(state, x)
        pre = preactivations(state.weights, x_in)
        active = pre > cut
        acts = torch.where(active, pre, 0)
        error = decode(state.weights, acts) - y
        l0 = float(active.count_nonzero()) / len(x)
        penalty = state.memory["controller"].coefficient(l0, state.share) / len(x)
        g_out = loss_gradient(error)
        g_acts = g_out @ state.weights["W_dec"].T
        near = (pre - cut).abs_() < width / 2
        slope = torch.where(near, (g_acts * cut).add_(penalty), 0).div_(width)
        g_pre = torch.where(active, g_acts, 0)
        gradients = affine_gradients(state, x_in, acts, g_out, g_pre)
        gradients["log_threshold"] = -slope.sum(0) * cut
        if self.auxk:
            add_auxk(gradients, state, x_in, pre, error)
        return StepResult(gradients, error, acts)

    def constrain(self, state: State) -> None:
        """Decoder rows of norm 1."""
        normalise_decoder(state)

    def finish(self, state: State, setup: Setup) -> architectures.JumpReLU:
        """With all thresholds multiplied by one factor, so that the sample's L0 is the target."""
        cut = state.weights["log_threshold"].exp()
        pre = preactivations(state.weights, encoder_input(state, setup.x))
        threshold = cut * max(0.0, batch_threshold(pre / cut, setup.recipe.k))
        fields = state.fields(threshold=threshold)
        del fields["log_threshold"]
        return architectures.JumpReLU(**fields)
