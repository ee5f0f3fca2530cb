"""Training SAEs: one file per architecture's loss and schedule, one streaming loop for all."""

from collections.abc import Callable
from typing import Any

from saeval.training.abstopk import AbsTopK
from saeval.training.batchtopk import BatchTopK
from saeval.training.figures import Figures
from saeval.training.frozen_decoder import FrozenDecoder
from saeval.training.frozen_encoder import FrozenEncoder
from saeval.training.gated import Gated
from saeval.training.hierarchical_topk import HierarchicalTopK
from saeval.training.itda import ITDA
from saeval.training.jumprelu import JumpReLU
from saeval.training.loop import TrainedSAE, train
from saeval.training.matryoshka import Matryoshka
from saeval.training.method import Fit, Method
from saeval.training.neurons import Neurons
from saeval.training.p_anneal import PAnneal
from saeval.training.pca import PCA
from saeval.training.permuted_decoder import PermutedDecoder
from saeval.training.random import Random
from saeval.training.recipe import Recipe
from saeval.training.relu import ReLU
from saeval.training.soft_frozen import SoftFrozen
from saeval.training.stream import Source
from saeval.training.topk import TopK
from saeval.training.transcoder import Transcoder

METHODS: dict[str, Callable[..., Any]] = {
    method.name: method
    for method in (
        *(AbsTopK, BatchTopK, Gated, HierarchicalTopK, ITDA, JumpReLU, Matryoshka, PAnneal),
        *(ReLU, TopK, Transcoder),
        *(FrozenDecoder, FrozenEncoder, Neurons, PCA, PermutedDecoder, Random, SoftFrozen),
    )
}
"""Trainers by architecture id, nulls last."""

__all__ = [
    "ITDA",
    "METHODS",
    "PCA",
    "AbsTopK",
    "BatchTopK",
    "Figures",
    "Fit",
    "FrozenDecoder",
    "FrozenEncoder",
    "Gated",
    "HierarchicalTopK",
    "JumpReLU",
    "Matryoshka",
    "Method",
    "Neurons",
    "PAnneal",
    "PermutedDecoder",
    "Random",
    "ReLU",
    "Recipe",
    "SoftFrozen",
    "Source",
    "TopK",
    "TrainedSAE",
    "Transcoder",
    "train",
]
