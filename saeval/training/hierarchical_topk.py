"""HierarchicalTopK: the largest latent reconstructs, so do the two largest, and so on up to k."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.sae import architectures
from saeval.sae.architectures.sparse import largest
from saeval.training.affine import encoder_input, preactivations, tied_state
from saeval.training.auxk import add_auxk
from saeval.training.method import Setup, State, StepResult, normalise_decoder


@dataclass(frozen=True)
class HierarchicalTopK:
    """Loss: the mean over j = 1..k of the squared error of the j largest latents.

    Source: arXiv 2505.24473.
    """

    name: ClassVar[str] = "hierarchical-topk"

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
        """Gradients of the mean of the squared errors.

        A latent of rank i takes part in the reconstructions from i on, so that it sees the sum of
        their errors. All of them together cost one pass over [tokens, k, d_out].
        """
        w, k = state.weights, state.memory["k"]
        x_in = encoder_input(state, x)
        pre = preactivations(w, x_in)
        values, index = _rank_latents(pre, k)
        directions = w["W_dec"][index]
        errors = (values[:, :, None] * directions).cumsum(1).add_((w["b_dec"] - y)[:, None])
        g_rank = errors.flip(1).cumsum_(1).flip(1).mul_(2 / (k * len(x)))
        g_values = torch.where(values > 0, (g_rank * directions).sum(2), 0)
        g_pre = torch.zeros_like(pre).scatter_(1, index, g_values)
        g_W_dec = torch.zeros_like(w["W_dec"])
        g_W_dec.index_add_(0, index.flatten(), (g_rank * values[:, :, None]).flatten(0, 1))
        gradients = {
            "W_enc": x_in.T @ g_pre,
            "b_enc": g_pre.sum(0),
            "W_dec": g_W_dec,
            "b_dec": g_rank[:, 0].sum(0),
        }
        if state.subtract_b_dec:
            gradients["b_dec"] -= w["W_enc"] @ gradients["b_enc"]
        if self.auxk:
            add_auxk(gradients, state, x_in, pre, errors[:, -1])
        acts = torch.zeros_like(pre).scatter_(1, index, values)
        return StepResult(gradients, errors[:, -1], acts)

    def constrain(self, state: State) -> None:
        """Decoder rows of norm 1."""
        normalise_decoder(state)

    def finish(self, state: State, setup: Setup) -> architectures.HierarchicalTopK:
        """An SAE for every k up to the target; k is set to the target."""
        k = setup.recipe.k
        return architectures.HierarchicalTopK(**state.fields(), k=k, max_k=k)


def _rank_latents(pre: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Acts and latents of the k largest of each token, the largest first."""
    values, index = largest(pre, k)
    values, order = values.sort(dim=1, descending=True, stable=True)
    return values.relu_(), index.gather(1, order)
