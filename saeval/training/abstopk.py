"""AbsTopK: the k pre-activations largest by magnitude, with their sign; squared error and AuxK."""

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
from saeval.training.control import annealed_k
from saeval.training.method import Setup, State, StepResult, normalise_decoder
from saeval.training.selection import keep_abs_topk


@dataclass(frozen=True)
class AbsTopK:
    """Source: arXiv 2510.00404."""

    name: ClassVar[str] = "abstopk"

    first_k: float = 4.0
    """k at the beginning, as a multiple of its target."""
    auxk: bool = True
    """Whether dead latents are brought back."""

    def start(self, setup: Setup) -> State:
        """Tied random directions."""
        state = tied_state(setup)
        state.memory["k"] = setup.recipe.k
        return state

    def step(
        self, state: State, x: Float[Tensor, "tokens d_in"], y: Float[Tensor, "tokens d_out"]
    ) -> StepResult:
        """Gradients of the squared error, which reach active latents only."""
        x_in = encoder_input(state, x)
        pre = preactivations(state.weights, x_in)
        acts = keep_abs_topk(pre, round(annealed_k(state, self.first_k)))
        error = decode(state.weights, acts) - y
        g_out = loss_gradient(error)
        g_pre = torch.where(acts != 0, g_out @ state.weights["W_dec"].T, 0)
        gradients = affine_gradients(state, x_in, acts, g_out, g_pre)
        if self.auxk:
            add_auxk(gradients, state, x_in, pre, error, keep=keep_abs_topk)
        return StepResult(gradients, error, acts)

    def constrain(self, state: State) -> None:
        """Decoder rows of norm 1."""
        normalise_decoder(state)

    def finish(self, state: State, setup: Setup) -> architectures.AbsTopK:
        """As it stands: L0 is k by construction."""
        return architectures.AbsTopK(**state.fields(), k=setup.recipe.k)
