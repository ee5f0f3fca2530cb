"""The protocol of trainers: initial state, one step's gradients, and the finished SAE."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saeval.errors import UsageError
from saeval.sae import SAE
from saeval.training.recipe import Recipe

Weights = dict[str, Tensor]
"""Trained tensors by their names in the papers: W_enc, b_enc, W_dec, b_dec and others."""


@dataclass(frozen=True)
class Setup:
    """What a method gets before the first step. Activations here and in steps are normalised."""

    recipe: Recipe
    x: Float[Tensor, "sample d_in"]
    """A sample of the activations that are read."""
    y: Float[Tensor, "sample d_out"]
    """The activations to reconstruct; the same tensor for an ordinary SAE."""

    @property
    def reads_what_it_writes(self) -> bool:
        """Whether this is an ordinary SAE, not a transcoder."""
        return self.x is self.y


@dataclass
class State:
    """What changes during training."""

    weights: Weights
    dead: Bool[Tensor, " d_sae"]
    """Latents that have not fired for `DEAD_AFTER` of the training."""
    subtract_b_dec: bool
    """Whether b_dec is subtracted from the input before encoding; False for transcoders."""
    share: float = 0.0
    """Share of the steps done, 0 to 1."""
    frozen: frozenset[str] = frozenset()
    """Weights that are not trained."""
    memory: dict[str, Any] = field(default_factory=dict)
    """What the method itself carries from step to step, such as an L0 controller."""

    def fields(self, **changed: Any) -> dict[str, Any]:
        """The state's part of the constructor's arguments, by name; `changed` replaces some."""
        return {**self.weights, "subtract_b_dec": self.subtract_b_dec, **changed}


@dataclass(frozen=True)
class StepResult:
    """Gradients, error and acts of one batch."""

    gradients: Weights
    """Gradients of the loss, by weight."""
    error: Float[Tensor, "tokens d_out"]
    """Reconstruction less target."""
    acts: Float[Tensor, "tokens d_sae"]


@runtime_checkable
class Method(Protocol):
    """One architecture's trainer: a frozen dataclass whose fields are its settings."""

    name: ClassVar[str]

    def start(self, setup: Setup) -> State:
        """Initial weights."""
        ...

    def step(
        self, state: State, x: Float[Tensor, "tokens d_in"], y: Float[Tensor, "tokens d_out"]
    ) -> StepResult:
        """Gradients on one batch, written out by hand."""
        ...

    def constrain(self, state: State) -> None:
        """Bring the weights back to their allowed values, after each update."""
        ...

    def finish(self, state: State, setup: Setup) -> SAE:
        """The SAE, in normalised units, at the target L0 on the setup's sample."""
        ...


@runtime_checkable
class Fit(Protocol):
    """An SAE made from a sample of activations without gradient descent."""

    name: ClassVar[str]

    def fit(self, setup: Setup) -> SAE:
        """The SAE, in normalised units."""
        ...


def unit_rows(W_dec: Float[Tensor, "d_sae d_out"]) -> Float[Tensor, "d_sae d_out"]:
    """Rows of norm 1. A row of zeros stays one."""
    return W_dec / W_dec.norm(dim=1, keepdim=True).clamp(min=1e-12)


def normalise_decoder(state: State) -> None:
    """Give the decoder's rows norm 1 again, in place."""
    W_dec = state.weights["W_dec"]
    W_dec.div_(torch.linalg.vector_norm(W_dec, dim=1, keepdim=True).clamp_(min=1e-12))


def check_same_site(setup: Setup, name: str) -> None:
    """Check that a method that cannot be a transcoder reads and writes at the same site.

    Raises:
        UsageError: if the sites differ.
    """
    if not setup.reads_what_it_writes:
        raise UsageError(
            f"'{name}' reconstructs what it reads and cannot be a transcoder. Leave the write site "
            "away, or choose a method with an encoder of its own, such as topk."
        )


def check_width(setup: Setup, name: str) -> None:
    """Check k of a null that has one latent per dimension of the activations.

    Raises:
        UsageError: if k is larger than their number.
    """
    width = setup.x.shape[1]
    if setup.recipe.k > width:
        raise UsageError(
            f"'{name}' has {width} latents, one a dimension, and cannot keep k = {setup.recipe.k} "
            f"of them. Ask for k of at most {width}."
        )
