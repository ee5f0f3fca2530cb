"""Training SAEs: one architecture's loss and schedule a file, one streaming loop for all."""

from collections.abc import Callable
from typing import Any

from saeval.training.batchtopk import BatchTopK
from saeval.training.figures import Figures
from saeval.training.gated import Gated
from saeval.training.jumprelu import JumpReLU
from saeval.training.loop import TrainedSAE, train
from saeval.training.matryoshka import Matryoshka
from saeval.training.method import Fit, Method
from saeval.training.recipe import Recipe
from saeval.training.relu import ReLU
from saeval.training.stream import Source
from saeval.training.topk import TopK

METHODS: dict[str, Callable[..., Any]] = {
    one.name: one for one in (BatchTopK, Gated, JumpReLU, Matryoshka, ReLU, TopK)
}
"""Trainers by architecture id."""

__all__ = [
    "METHODS",
    "BatchTopK",
    "Figures",
    "Fit",
    "Gated",
    "JumpReLU",
    "Matryoshka",
    "Method",
    "ReLU",
    "Recipe",
    "Source",
    "TopK",
    "TrainedSAE",
    "train",
]
