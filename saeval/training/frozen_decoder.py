"""The null 'frozen-decoder': a TopK SAE with fixed random decoder directions."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from saeval.sae import architectures
from saeval.training.initial import set_directions
from saeval.training.method import Setup, State, StepResult
from saeval.training.nulls import null_origin
from saeval.training.topk import TopK


@dataclass(frozen=True)
class FrozenDecoder:
    """Encoder and biases are trained; the decoder keeps its random values.

    Source: arXiv 2602.14111, "Sanity checks for sparse autoencoders".
    """

    name: ClassVar[str] = "frozen-decoder"

    directions: Literal["iso", "cov"] = "iso"
    """Drawn uniformly on the sphere, or with the activations' covariance."""

    def start(self, setup: Setup) -> State:
        """As TopK, the decoder frozen."""
        state = TopK().start(setup)
        set_directions(state, setup, self.directions)
        state.frozen = frozenset({"W_dec"})
        return state

    def step(
        self, state: State, x: Float[Tensor, "tokens d_in"], y: Float[Tensor, "tokens d_out"]
    ) -> StepResult:
        """As TopK."""
        return TopK().step(state, x, y)

    def constrain(self, state: State) -> None:
        """Nothing to do: the decoder does not change."""

    def finish(self, state: State, setup: Setup) -> architectures.TopK:
        """As TopK; its origin names the null."""
        origin = null_origin(self.name, "topk", setup.recipe)
        return replace(TopK().finish(state, setup), origin=origin)
