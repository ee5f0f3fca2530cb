"""ReLU with an L1 penalty whose coefficient an L0 controller moves."""

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
from saeval.training.control import L0Controller
from saeval.training.method import Setup, State, StepResult, normalise_decoder
from saeval.training.selection import bias_excess, where_positive


@dataclass(frozen=True)
class ReLU:
    """Decoder rows keep norm 1, so that the penalty on acts cannot be evaded by scale.

    Source: Bricken et al. 2023, "Towards Monosemanticity".
    """

    name: ClassVar[str] = "relu"

    coefficient: float = 0.01
    """Initial weight of the sum of acts beside the squared error, in normalised units."""

    def start(self, setup: Setup) -> State:
        """Tied random directions."""
        state = tied_state(setup)
        state.memory["controller"] = L0Controller(
            setup.recipe.k, self.coefficient, setup.recipe.d_sae / 2
        )
        return state

    def step(
        self, state: State, x: Float[Tensor, "tokens d_in"], y: Float[Tensor, "tokens d_out"]
    ) -> StepResult:
        """Gradients of squared error and penalty."""
        x_in = encoder_input(state, x)
        acts = preactivations(state.weights, x_in).relu_()
        error = decode(state.weights, acts) - y
        l0 = float(acts.count_nonzero()) / len(acts)
        penalty = state.memory["controller"].coefficient(l0, state.share) / len(acts)
        g_out = loss_gradient(error)
        g_acts = (g_out @ state.weights["W_dec"].T).add_(penalty)
        gradients = affine_gradients(state, x_in, acts, g_out, where_positive(g_acts, acts))
        return StepResult(gradients, error, acts)

    def constrain(self, state: State) -> None:
        """Decoder rows of norm 1."""
        normalise_decoder(state)

    def finish(self, state: State, setup: Setup) -> architectures.ReLU:
        """With all encoder biases shifted by one amount, so that the sample's L0 is the target."""
        pre = preactivations(state.weights, encoder_input(state, setup.x))
        b_enc = state.weights["b_enc"] - bias_excess(pre, setup.recipe.k)
        return architectures.ReLU(**state.fields(b_enc=b_enc))
