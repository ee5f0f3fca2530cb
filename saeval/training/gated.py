"""Gated: an L1-trained gate and unpenalised magnitudes; the gate also reconstructs on its own."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.sae import architectures
from saeval.training.affine import (
    decode,
    encoder_input,
    loss_gradient,
    tied_state,
)
from saeval.training.control import L0Controller
from saeval.training.method import Setup, State, StepResult, normalise_decoder
from saeval.training.selection import bias_excess, where_positive


@dataclass(frozen=True)
class Gated:
    """Source: Rajamanoharan et al. 2024, arXiv 2404.16014."""

    name: ClassVar[str] = "gated"

    coefficient: float = 0.01
    """Initial weight of the sum of gates beside the squared error, in normalised units."""

    def start(self, setup: Setup) -> State:
        """Tied random directions, gate and magnitude alike."""
        state = tied_state(setup)
        zeros = state.weights.pop("b_enc")
        for name in ("b_gate", "b_mag", "r_mag"):
            state.weights[name] = zeros.clone()
        state.memory["controller"] = L0Controller(
            setup.recipe.k, self.coefficient, setup.recipe.d_sae / 2
        )
        return state

    def step(
        self, state: State, x: Float[Tensor, "tokens d_in"], y: Float[Tensor, "tokens d_out"]
    ) -> StepResult:
        """Gradients of three losses: squared error, penalty, and the gate's own squared error.

        The last takes the decoder as constant. Without it the gate would get no gradient from the
        reconstruction.
        """
        w = state.weights
        x_in = encoder_input(state, x)
        h = x_in @ w["W_enc"]
        scale = w["r_mag"].exp()
        gate = (h + w["b_gate"]).relu_()
        magnitude = torch.addcmul(w["b_mag"], h, scale).relu_()
        acts = torch.where(gate > 0, magnitude, 0)
        error = decode(w, acts) - y
        l0 = float(acts.count_nonzero()) / len(x)
        penalty = state.memory["controller"].coefficient(l0, state.share) / len(x)
        g_out = loss_gradient(error)
        g_magnitude = where_positive(g_out @ w["W_dec"].T, acts)
        g_gate = (loss_gradient(decode(w, gate) - y) @ w["W_dec"].T).add_(penalty)
        g_gate = where_positive(g_gate, gate)
        g_h = torch.addcmul(g_gate, g_magnitude, scale)
        gradients = {
            "W_enc": x_in.T @ g_h,
            "b_gate": g_gate.sum(0),
            "b_mag": g_magnitude.sum(0),
            "r_mag": (g_magnitude * h).sum(0) * scale,
            "W_dec": acts.T @ g_out,
            "b_dec": g_out.sum(0),
        }
        if state.subtract_b_dec:
            gradients["b_dec"] -= w["W_enc"] @ g_h.sum(0)
        return StepResult(gradients, error, acts)

    def constrain(self, state: State) -> None:
        """Decoder rows of norm 1."""
        normalise_decoder(state)

    def finish(self, state: State, setup: Setup) -> architectures.Gated:
        """With all gate biases shifted by one amount, so that the sample's L0 is the target."""
        w = state.weights
        h = encoder_input(state, setup.x) @ w["W_enc"]
        open_anyway = torch.addcmul(w["b_mag"], h, w["r_mag"].exp()) > 0
        gate = torch.where(open_anyway, h + w["b_gate"], float("-inf"))
        b_gate = w["b_gate"] - bias_excess(gate, setup.recipe.k)
        return architectures.Gated(**state.fields(b_gate=b_gate))
