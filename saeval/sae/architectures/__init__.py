"""Architectures by id: frozen dataclasses that encode and decode, one per file."""

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from saeval.sae.architectures.abstopk import AbsTopK
from saeval.sae.architectures.batchtopk import BatchTopK
from saeval.sae.architectures.checks import check_fields
from saeval.sae.architectures.gated import Gated
from saeval.sae.architectures.groupmax import GroupMax
from saeval.sae.architectures.hierarchical_topk import HierarchicalTopK
from saeval.sae.architectures.itda import ITDA
from saeval.sae.architectures.jumprelu import JumpReLU
from saeval.sae.architectures.matching_pursuit import MatchingPursuit
from saeval.sae.architectures.matryoshka import Matryoshka
from saeval.sae.architectures.neurons import Neurons
from saeval.sae.architectures.pca import PCA
from saeval.sae.architectures.relu import ReLU
from saeval.sae.architectures.topk import TopK
from saeval.sae.architectures.transcoder import Transcoder
from saeval.sae.architectures.weighted_topk import WeightedTopK
from saeval.sae.short_repr import short_repr

ARCHITECTURES: dict[str, type] = {
    "abstopk": AbsTopK,
    "batchtopk": BatchTopK,
    "gated": Gated,
    "groupmax": GroupMax,
    "hierarchical_topk": HierarchicalTopK,
    "itda": ITDA,
    "jumprelu": JumpReLU,
    "matching_pursuit": MatchingPursuit,
    "matryoshka": Matryoshka,
    "neurons": Neurons,
    "pca": PCA,
    "relu": ReLU,
    "topk": TopK,
    "transcoder": Transcoder,
    "weighted_topk": WeightedTopK,
}
"""Every architecture by the id that `Origin.architecture` and saeval's own format use."""

for _architecture in ARCHITECTURES.values():
    # A dataclass's own repr prints its tensors. Set here, so that no architecture can forget it.
    setattr(_architecture, "__repr__", short_repr)  # noqa: B010  its type is that of any class

T = TypeVar("T")


def build(architecture: type[T], **values: Any) -> T:
    """An architecture from the tensors and parameters of a file, after a check that they fit it.

    Raises:
        LoadError: if a tensor's shape or a parameter's type is another than the architecture's,
            or a parameter is out of its range.
    """
    check_fields(architecture, values)
    return architecture(**values)


def moved(
    sae: Any, *, device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> Any:
    """The same SAE with its tensors on another device, in another dtype, or both."""
    replacements = {}
    for item in fields(sae):
        value = getattr(sae, item.name)
        if isinstance(value, Tensor):
            replacements[item.name] = value.to(device=device, dtype=dtype)
        elif type(value) in ARCHITECTURES.values() and is_dataclass(value):
            replacements[item.name] = moved(value, device=device, dtype=dtype)
    return replace(sae, **replacements)
