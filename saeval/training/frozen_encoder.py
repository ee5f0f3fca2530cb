"""The null 'frozen-encoder': a TopK SAE with fixed random encoder directions."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from saeval.sae import architectures
from saeval.training.initial import set_directions
from saeval.training.method import Setup, State, StepResult, normalise_decoder
from saeval.training.nulls import null_origin
from saeval.training.topk import TopK


@dataclass(frozen=True)
class FrozenEncoder:
    """Decoder and biases are trained; the encoder's directions keep their random values.

    Source: arXiv 2602.14111, "Sanity checks for sparse autoencoders".
    """

    name: ClassVar[str] = "frozen-encoder"

    directions: Literal["iso", "cov"] = "iso"
    """Drawn uniformly on the sphere, or with the activations' covariance."""

    def start(self, setup: Setup) -> State:
        """As TopK, the encoder's directions frozen."""
        state = TopK().start(setup)
        set_directions(state, setup, self.directions)
        state.frozen = frozenset({"W_enc"})
        return state

    def step(
        self, state: State, x: Float[Tensor, "tokens d_in"], y: Float[Tensor, "tokens d_out"]
    ) -> StepResult:
        """As TopK."""
        return TopK().step(state, x, y)

    def constrain(self, state: State) -> None:
        """Decoder rows of norm 1."""
        normalise_decoder(state)

    def finish(self, state: State, setup: Setup) -> architectures.TopK:
        """As TopK; its origin names the null."""
        origin = null_origin(self.name, "topk", setup.recipe)
        return replace(TopK().finish(state, setup), origin=origin)
