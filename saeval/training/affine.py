"""The arithmetic all gradient-trained SAEs share: pre-activations, decoding and their gradients.

Losses are sums over dimensions and means over tokens. In normalised units, where an activation's
variance is d, predicting the mean costs d.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.training.method import Setup, State, Weights, unit_rows


def tied_state(setup: Setup) -> State:
    """Random unit decoder rows, the encoder their transpose, biases zero.

    Source: Gao et al. 2024, arXiv 2406.04093, appendix A.1.
    """
    d_in, d_out, d_sae = setup.x.shape[1], setup.y.shape[1], setup.recipe.d_sae
    device = setup.x.device
    generator = setup.recipe.generator("init")
    W_dec = unit_rows(torch.randn(d_sae, d_out, generator=generator)).to(device)
    if setup.reads_what_it_writes:
        W_enc = W_dec.T.contiguous()
    else:
        W_enc = unit_rows(torch.randn(d_sae, d_in, generator=generator)).T.contiguous().to(device)
    weights = {
        "W_enc": W_enc,
        "b_enc": torch.zeros(d_sae, device=device),
        "W_dec": W_dec,
        "b_dec": torch.zeros(d_out, device=device),
    }
    dead = torch.zeros(d_sae, dtype=torch.bool, device=device)
    return State(weights, dead, subtract_b_dec=setup.reads_what_it_writes)


def encoder_input(state: State, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_in"]:
    """Input less the decoder's bias, if the SAE subtracts it."""
    return x - state.weights["b_dec"] if state.subtract_b_dec else x


def preactivations(
    weights: Weights, x_in: Float[Tensor, "tokens d_in"]
) -> Float[Tensor, "tokens d_sae"]:
    """x_in W_enc + b_enc."""
    return torch.addmm(weights["b_enc"], x_in, weights["W_enc"])


def decode(weights: Weights, acts: Float[Tensor, "tokens d_sae"]) -> Float[Tensor, "tokens d_out"]:
    """Reconstruction: acts W_dec + b_dec."""
    return torch.addmm(weights["b_dec"], acts, weights["W_dec"])


def loss_gradient(error: Float[Tensor, "tokens d_out"]) -> Float[Tensor, "tokens d_out"]:
    """Gradient of the squared error with respect to the reconstruction."""
    return error * (2 / len(error))


def affine_gradients(
    state: State,
    x_in: Float[Tensor, "tokens d_in"],
    acts: Float[Tensor, "tokens d_sae"],
    g_out: Float[Tensor, "tokens d_out"],
    g_pre: Float[Tensor, "tokens d_sae"],
) -> Weights:
    """Gradients of the four weights, from those of reconstruction and pre-activations."""
    g_b_enc = g_pre.sum(0)
    g_b_dec = g_out.sum(0)
    if state.subtract_b_dec:
        g_b_dec -= state.weights["W_enc"] @ g_b_enc
    return {
        "W_enc": x_in.T @ g_pre,
        "b_enc": g_b_enc,
        "W_dec": acts.T @ g_out,
        "b_dec": g_b_dec,
    }
