"""Matryoshka BatchTopK: every prefix of the latents reconstructs. With one it is BatchTopK."""

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import threshold

from saeval.errors import UsageError
from saeval.sae import architectures
from saeval.training.affine import (
    encoder_input,
    loss_gradient,
    preactivations,
    tied_state,
)
from saeval.training.auxk import add_auxk
from saeval.training.control import annealed_k
from saeval.training.method import Setup, State, StepResult, normalise_decoder
from saeval.training.selection import batch_threshold, where_positive


@dataclass(frozen=True)
class Matryoshka:
    """Source: Bussmann et al. 2025, arXiv 2503.17547."""

    name: ClassVar[str] = "matryoshka"

    shares: tuple[float, ...] = (1 / 8, 1 / 8, 1 / 4, 1 / 2)
    """Share of the latents that each prefix adds to the one before; together 1."""
    first_k: float = 1.0
    """k at the beginning, as a multiple of its target."""
    auxk: bool = True
    """Whether dead latents are brought back."""

    def __post_init__(self) -> None:
        if not self.shares or min(self.shares) <= 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise UsageError(f"Matryoshka shares {self.shares} must be positive and add up to 1.")

    def prefixes(self, d_sae: int) -> tuple[int, ...]:
        """Latents of each prefix, the last all of them.

        Raises:
            UsageError: if there are too few latents for so many prefixes.
        """
        sizes = [round(d_sae * total) for total in accumulate(self.shares)]
        if any(low >= high for low, high in pairwise([0, *sizes])):
            raise UsageError(f"{d_sae} latents cannot be split in shares {self.shares}.")
        return tuple(sizes)

    def start(self, setup: Setup) -> State:
        """Tied random directions."""
        state = tied_state(setup)
        state.memory["k"] = setup.recipe.k
        state.memory["prefixes"] = self.prefixes(setup.recipe.d_sae)
        state.memory["threshold"] = 0.0
        return state

    def step(
        self, state: State, x: Float[Tensor, "tokens d_in"], y: Float[Tensor, "tokens d_out"]
    ) -> StepResult:
        """Gradients of the mean of the prefixes' squared errors."""
        x_in = encoder_input(state, x)
        pre = preactivations(state.weights, x_in)
        cut = max(
            0.0, batch_threshold(pre, annealed_k(state, self.first_k), state.memory["threshold"])
        )
        state.memory["threshold"] = cut
        acts = threshold(pre, cut, 0.0)
        gradients, error, g_acts = self._decoder_gradients(state, acts, y)
        g_pre = where_positive(g_acts, acts)
        gradients["W_enc"] = x_in.T @ g_pre
        gradients["b_enc"] = g_pre.sum(0)
        if state.subtract_b_dec:
            gradients["b_dec"] -= state.weights["W_enc"] @ gradients["b_enc"]
        if self.auxk:
            add_auxk(gradients, state, x_in, pre, error)
        return StepResult(gradients, error, acts)

    def _decoder_gradients(
        self,
        state: State,
        acts: Float[Tensor, "tokens d_sae"],
        y: Float[Tensor, "tokens d_out"],
    ) -> tuple[dict[str, Tensor], Float[Tensor, "tokens d_out"], Float[Tensor, "tokens d_sae"]]:
        """Gradients of W_dec and b_dec, the error of all latents, the gradient of acts.

        A latent serves its own prefix and all longer ones, so that it sees the sum of their
        errors. All prefixes together cost as much as one decoding.
        """
        W_dec, prefixes = state.weights["W_dec"], state.memory["prefixes"]
        blocks = list(pairwise([0, *prefixes]))
        error = state.weights["b_dec"] - y
        errors = []
        for low, high in blocks:
            error = torch.addmm(error, acts[:, low:high], W_dec[low:high])
            errors.append(error)
        g_acts, g_W_dec = torch.empty_like(acts), torch.empty_like(W_dec)
        g_out = torch.zeros_like(error)
        for (low, high), part in zip(reversed(blocks), reversed(errors), strict=True):
            g_out = g_out + loss_gradient(part) / len(blocks)
            torch.mm(g_out, W_dec[low:high].T, out=g_acts[:, low:high])
            torch.mm(acts[:, low:high].T, g_out, out=g_W_dec[low:high])
        return {"W_dec": g_W_dec, "b_dec": g_out.sum(0)}, error, g_acts

    def constrain(self, state: State) -> None:
        """Decoder rows of norm 1."""
        normalise_decoder(state)

    def finish(self, state: State, setup: Setup) -> architectures.Matryoshka:
        """With the threshold at which the sample's L0 is k."""
        return architectures.Matryoshka(
            **state.fields(),
            threshold=final_threshold(state, setup),
            prefixes=state.memory["prefixes"],
        )


def final_threshold(state: State, setup: Setup) -> float:
    """The one threshold at which the sample's L0 is the target.

    Measured with the final weights, since the thresholds of training lag behind them.
    """
    pre = preactivations(state.weights, encoder_input(state, setup.x))
    return max(0.0, batch_threshold(pre, setup.recipe.k))
