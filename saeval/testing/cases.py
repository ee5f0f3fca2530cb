"""Cases to try a task on: a source, a random SAE, and SAEs that are exact in some sense."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from saeval import lab
from saeval.activations import ActivationSource, Store, array_source, model_source
from saeval.lab.synthetic.source import world_source
from saeval.models import LoadedModel, load_model
from saeval.sae import SAE
from saeval.sae.architectures import Neurons, TopK
from saeval.sae.architectures.random import random_topk
from saeval.sae.architectures.wrapped import wrap
from saeval.sae.loaders import load_folder

LAB_SITE = "layers.1"
"""Where the SAEs of lab/world read."""
LATENTS, ACTIVE = 256, 16
"""Width and L0 of a random SAE."""
VECTOR_POSITIONS = 16
"""Positions that one stored vector counts for, so that a few vectors make several batches."""
VECTORS, DIRECTIONS = 600, 24
"""Stored activations: number of vectors, each a sum of a few of these orthogonal directions."""


class Module(torch.nn.Module):
    """A random TopK SAE as in a user's training: parameters with gradients, in train mode."""

    def __init__(self, b_dec: Float[Tensor, " d_in"]) -> None:
        super().__init__()
        sae = random_topk(b_dec, LATENTS, min(ACTIVE, len(b_dec)), seed=0)
        self.W_dec = torch.nn.Parameter(sae.W_dec.clone())
        self.b_dec = torch.nn.Parameter(b_dec.clone())
        self.k = sae.k
        self.d_in = len(b_dec)

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_sae"]:
        """The k largest latents."""
        value, index = ((x - self.b_dec) @ self.W_dec.T).topk(self.k)
        return torch.zeros(len(x), LATENTS).scatter(1, index, value.relu())

    def decode(self, acts: Float[Tensor, "tokens d_sae"]) -> Float[Tensor, "tokens d_in"]:
        """A sum of directions."""
        return acts @ self.W_dec + self.b_dec


@dataclass(frozen=True)
class Case:
    """A source that a task reads, and SAEs that it scores there."""

    name: str
    """Name in failures."""
    open: Callable[[Path, int], ActivationSource]
    """The source, with a folder for its store and the most positions that a batch may have."""
    random: SAE
    """An SAE with random weights."""
    exact: Sequence[SAE]
    """SAEs of which at least one is right by each metric: one may reconstruct exactly, another know
    the truth. By every metric the best of them must be no worse than the random one."""


def lab_cases() -> tuple[Case, ...]:
    """A model of the lab with texts, a synthetic world, and stored vectors without a model.

    SAEs are made anew per call, since a faulty task may change them.
    """
    return (_world(), _synthetic(), _vectors())


@cache
def _model() -> LoadedModel:
    return load_model("lab://world/model")


def _world() -> Case:
    """The model of lab/world: its neurons reconstruct exactly, its oracle knows the labels."""

    def open_(folder: Path, positions: int) -> ActivationSource:
        store = Store(folder / f"batches-of-{positions}")
        return model_source(_model(), LAB_SITE, store=store, batch_tokens=positions)

    oracle = load_folder(lab.path("world/oracle"))
    neurons = Neurons(torch.zeros(oracle.d_in), oracle.d_in)
    return Case("lab/world", open_, wrap(Module(torch.zeros(oracle.d_in))), (neurons, oracle))


def _synthetic() -> Case:
    """The world lab/synthetic/base, whose every feature is known: its oracle is the dictionary."""

    def open_(folder: Path, positions: int) -> ActivationSource:  # noqa: ARG001, nothing to store
        return replace(world_source("base"), batch_rows=positions // VECTOR_POSITIONS)

    oracle = load_folder(lab.path("synthetic/base/oracle"))
    return Case("lab/synthetic/base", open_, wrap(Module(torch.zeros(oracle.d_in))), (oracle,))


def _vectors() -> Case:
    """Stored vectors, and the dictionary that they were made from."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(DIRECTIONS, DIRECTIONS, generator=generator))[0]
    active = torch.rand(VECTORS, DIRECTIONS, generator=generator) < 3 / DIRECTIONS
    x = (active * (1 + torch.rand(VECTORS, DIRECTIONS, generator=generator))) @ directions

    def open_(folder: Path, positions: int) -> ActivationSource:  # noqa: ARG001, nothing to store
        return array_source(x.numpy(), name="vectors", batch_rows=positions // VECTOR_POSITIONS)

    zeros = torch.zeros(DIRECTIONS)
    exact = TopK(directions.T.contiguous(), zeros - 0.1, directions, zeros, k=DIRECTIONS)
    exact = replace(exact, b_enc=zeros)
    return Case("stored vectors", open_, wrap(Module(zeros)), (exact,))
