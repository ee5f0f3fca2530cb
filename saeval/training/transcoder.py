"""Transcoder: reads one site and predicts another, with another architecture's loss."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.errors import UsageError
from saeval.sae import architectures
from saeval.training.affine import loss_gradient
from saeval.training.hierarchical_topk import HierarchicalTopK
from saeval.training.matryoshka import Matryoshka
from saeval.training.method import Method, Setup, State, StepResult
from saeval.training.relu import ReLU


@dataclass(frozen=True)
class Transcoder:
    """Trained with the inner method on pairs of activations; the paper's is ReLU with L1.

    Source: Dunefsky et al. 2024, arXiv 2406.11944; skip: Paulo et al. 2025, arXiv 2501.18823.
    """

    name: ClassVar[str] = "transcoder"

    inner: Method = field(default_factory=ReLU)
    """How latents are chosen and trained."""
    skip: bool = False
    """Whether a linear map of the input, learned as well, is added to the prediction."""

    def __post_init__(self) -> None:
        if self.skip and isinstance(self.inner, HierarchicalTopK | Matryoshka):
            raise UsageError(
                f"A skip connection has no one error to learn from under {self.inner.name}, which "
                "reconstructs several times. Choose another inner method, such as topk."
            )

    def start(self, setup: Setup) -> State:
        """As the inner method, with a skip connection of zero."""
        state = self.inner.start(setup)
        if self.skip:
            state.weights["W_skip"] = setup.x.new_zeros(setup.x.shape[1], setup.y.shape[1])
        return state

    def step(
        self, state: State, x: Float[Tensor, "tokens d_in"], y: Float[Tensor, "tokens d_out"]
    ) -> StepResult:
        """The inner method's gradients on the target less the skip connection's output."""
        if not self.skip:
            return self.inner.step(state, x, y)
        step = self.inner.step(state, x, torch.addmm(y, x, state.weights["W_skip"], alpha=-1))
        step.gradients["W_skip"] = x.T @ loss_gradient(step.error)
        return step

    def constrain(self, state: State) -> None:
        """As the inner method."""
        self.inner.constrain(state)

    def finish(self, state: State, setup: Setup) -> architectures.Transcoder:
        """The inner method's SAE with the skip connection beside it."""
        W_skip = state.weights.get("W_skip")
        inner_weights = {name: w for name, w in state.weights.items() if name != "W_skip"}
        inner_state = State(inner_weights, state.dead, state.subtract_b_dec, memory=state.memory)
        return architectures.Transcoder(self.inner.finish(inner_state, setup), W_skip)
