"""The null 'soft-frozen': a TopK SAE whose decoder directions stay near their random start."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.errors import UsageError
from saeval.sae import architectures
from saeval.training.initial import set_directions
from saeval.training.method import Setup, State, StepResult, normalise_decoder, unit_rows
from saeval.training.nulls import null_origin
from saeval.training.topk import TopK


@dataclass(frozen=True)
class SoftFrozen:
    """After every step each decoder row is brought back to a least cosine with its start.

    At 0.8 this is hardly a null: inside the cap a row still reaches cosine 0.6 with any direction
    orthogonal to its start. At 0.9, 0.95 and 0.99 that is 0.44, 0.31 and 0.14.

    Source: arXiv 2602.14111, "Sanity checks for sparse autoencoders".
    """

    name: ClassVar[str] = "soft-frozen"

    cosine: float = 0.8
    """Least cosine of a row with its start."""
    directions: Literal["iso", "cov"] = "iso"
    """Drawn uniformly on the sphere, or with the activations' covariance."""

    def __post_init__(self) -> None:
        if not 0 < self.cosine <= 1:
            raise UsageError(f"The cosine {self.cosine} of soft-frozen must lie in (0, 1].")

    def start(self, setup: Setup) -> State:
        """As TopK; the decoder's start is remembered."""
        state = TopK().start(setup)
        set_directions(state, setup, self.directions)
        state.memory["start"] = state.weights["W_dec"].clone()
        return state

    def step(
        self, state: State, x: Float[Tensor, "tokens d_in"], y: Float[Tensor, "tokens d_out"]
    ) -> StepResult:
        """As TopK."""
        return TopK().step(state, x, y)

    def constrain(self, state: State) -> None:
        """Give rows norm 1; a row that left the cap around its start moves to the nearest point."""
        normalise_decoder(state)
        W_dec, start = state.weights["W_dec"], state.memory["start"]
        cosine = (W_dec * start).sum(1, keepdim=True)
        sideways = unit_rows(W_dec - cosine * start)
        rim = self.cosine * start + math.sqrt(1 - self.cosine**2) * sideways
        W_dec.copy_(torch.where(cosine < self.cosine, rim, W_dec))

    def finish(self, state: State, setup: Setup) -> architectures.TopK:
        """As TopK; its origin names the null."""
        origin = null_origin(self.name, "topk", setup.recipe)
        metadata = {**origin.metadata, "cosine": self.cosine}
        return replace(TopK().finish(state, setup), origin=replace(origin, metadata=metadata))
