"""AuxK: dead latents are trained to reconstruct the rest of the error, which revives them."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.training.affine import loss_gradient
from saeval.training.method import State, Weights
from saeval.training.selection import keep_topk

AUX_COEFFICIENT = 1 / 32
"""Weight of AuxK beside the normalised squared error. Source: arXiv 2406.04093, appendix A.2."""


def add_auxk(
    gradients: Weights,
    state: State,
    x_in: Float[Tensor, "tokens d_in"],
    pre: Float[Tensor, "tokens d_sae"],
    error: Float[Tensor, "tokens d_out"],
    keep: Callable[[Tensor, int], Tensor] = keep_topk,
) -> None:
    """Add the gradients of AuxK: the d/2 most active dead latents reconstruct the error.

    The loss is the squared error of that reconstruction, divided by the SAE's own squared error,
    so that its weight does not depend on how good the SAE is already. `keep` selects the most
    active of the pre-activations.

    Source: Gao et al. 2024, arXiv 2406.04093, appendix A.2.
    """
    dead = state.dead.nonzero()[:, 0]
    if not len(dead):
        return
    W_dec = state.weights["W_dec"][dead]
    acts = keep(pre[:, dead], max(1, error.shape[1] // 2))
    missing = error.square().mean().clamp(min=1e-12)
    g_out = loss_gradient(acts @ W_dec + error) * (AUX_COEFFICIENT / missing)
    g_pre = torch.where(acts != 0, g_out @ W_dec.T, 0)
    gradients["W_dec"].index_add_(0, dead, acts.T @ g_out)
    gradients["W_enc"].index_add_(1, dead, x_in.T @ g_pre)
    gradients["b_enc"].index_add_(0, dead, g_pre.sum(0))
