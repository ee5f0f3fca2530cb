"""The null 'permuted-decoder': a trained TopK SAE whose latents write each other's directions."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.sae import architectures
from saeval.training.method import Setup, State, StepResult
from saeval.training.nulls import null_origin
from saeval.training.topk import TopK


@dataclass(frozen=True)
class PermutedDecoder:
    """Trained as TopK, then permuted: a score that stays high depends on the encoder alone.

    Source: arXiv 2605.18229.
    """

    name: ClassVar[str] = "permuted-decoder"

    def start(self, setup: Setup) -> State:
        """As TopK."""
        return TopK().start(setup)

    def step(
        self, state: State, x: Float[Tensor, "tokens d_in"], y: Float[Tensor, "tokens d_out"]
    ) -> StepResult:
        """As TopK."""
        return TopK().step(state, x, y)

    def constrain(self, state: State) -> None:
        """As TopK."""
        TopK().constrain(state)

    def finish(self, state: State, setup: Setup) -> architectures.TopK:
        """With all decoder rows permuted; its origin names the null."""
        sae = permuted(TopK().finish(state, setup), setup.recipe.generator("fit"))
        return replace(sae, origin=null_origin(self.name, "topk", setup.recipe))


def permuted(sae: Any, generator: torch.Generator) -> Any:
    """The same SAE with decoder rows permuted in one random cycle, so that none keeps its place."""
    order = torch.randperm(sae.d_sae, generator=generator)
    rows = torch.empty_like(order)
    rows[order] = order.roll(1)
    return replace(sae, W_dec=sae.W_dec[rows.to(sae.W_dec.device)])
