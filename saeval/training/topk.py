"""TopK: the k largest pre-activations of each token; squared error and AuxK."""

from dataclasses import dataclass
from typing import ClassVar

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
from saeval.training.selection import keep_topk, where_positive


@dataclass(frozen=True)
class TopK:
    """Source: Gao et al. 2024, arXiv 2406.04093."""

    name: ClassVar[str] = "topk"

    first_k: float = 4.0
    """k at the beginning, as a multiple of its target."""
    auxk: bool = True
    """Whether dead latents are brought back. Without, a few per cent of them stay dead."""

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
        acts = keep_topk(pre, round(annealed_k(state, self.first_k)))
        error = decode(state.weights, acts) - y
        g_out = loss_gradient(error)
        g_pre = where_positive(g_out @ state.weights["W_dec"].T, acts)
        gradients = affine_gradients(state, x_in, acts, g_out, g_pre)
        if self.auxk:
            add_auxk(gradients, state, x_in, pre, error)
        return StepResult(gradients, error, acts)

    def constrain(self, state: State) -> None:
        """Decoder rows of norm 1."""
        normalise_decoder(state)

    def finish(self, state: State, setup: Setup) -> architectures.TopK:
        """As it stands: L0 is k by construction."""
        return architectures.TopK(**state.fields(), k=setup.recipe.k)
