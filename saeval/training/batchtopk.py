"""BatchTopK: the largest pre-activations of a batch, k per token on average."""

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from saeval.sae import architectures
from saeval.training.matryoshka import Matryoshka, final_threshold
from saeval.training.method import Setup, State, StepResult, normalise_decoder


@dataclass(frozen=True)
class BatchTopK:
    """Trained as a Matryoshka SAE with one prefix, which is the same arithmetic.

    Source: Bussmann et al. 2024, arXiv 2412.06410.
    """

    name: ClassVar[str] = "batchtopk"

    first_k: float = 4.0
    """k at the beginning, as a multiple of its target."""
    auxk: bool = True
    """Whether dead latents are brought back."""

    def start(self, setup: Setup) -> State:
        """Tied random directions."""
        return self._matryoshka.start(setup)

    def step(
        self, state: State, x: Float[Tensor, "tokens d_in"], y: Float[Tensor, "tokens d_out"]
    ) -> StepResult:
        """Gradients of the squared error."""
        return self._matryoshka.step(state, x, y)

    def constrain(self, state: State) -> None:
        """Decoder rows of norm 1."""
        normalise_decoder(state)

    def finish(self, state: State, setup: Setup) -> architectures.BatchTopK:
        """With the threshold at which the sample's L0 is k."""
        return architectures.BatchTopK(**state.fields(), threshold=final_threshold(state, setup))

    @property
    def _matryoshka(self) -> Matryoshka:
        return Matryoshka(shares=(1.0,), first_k=self.first_k, auxk=self.auxk)
