"""How the sources of a run are opened: the user's options in the form that opening needs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saeval.activations import Store
from saeval.config.configuration import refuse_unnameable
from saeval.errors import UsageError, shown
from saeval.models import LoadedModel


@dataclass(frozen=True, kw_only=True)
class Opening:
    """How sources are opened."""

    model: str | LoadedModel | None = None
    """The user's; None: the one that each SAE names."""
    site: str | None = None
    """Likewise."""
    array: str | Path | np.ndarray | None = None
    """Stored activations, in place of a model."""
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    batch_size: int | None = None
    """Rows of 128 tokens per pass; None: the default."""
    store: Store = field(default_factory=Store)


def as_model(model: Any) -> str | LoadedModel | None:
    """A model as the user may give it: name, folder, `LoadedModel`, or (network, tokenizer).

    Raises:
        UsageError: if it is none of these.
    """
    if isinstance(model, str):
        refuse_unnameable(model, "model")
    if model is None or isinstance(model, str | LoadedModel):
        return model
    if isinstance(model, Path):
        return str(model)
    if isinstance(model, tuple) and len(model) == 2 and isinstance(model[0], torch.nn.Module):
        return _model_in_memory(*model)
    raise UsageError(
        f"{shown(model)} is no model: give a Hugging Face id, a folder, a LoadedModel, or a tuple "
        "of a transformers network and its tokenizer."
    )


def _model_in_memory(net: torch.nn.Module, tokenizer: Any) -> LoadedModel:
    """A network in memory, identified by its weights."""
    from saeval.models.anatomy import dissect
    from saeval.models.memory_digest import network_digest
    from saeval.models.quantised import compute_dtype, refuse_integer_layers

    refuse_integer_layers(net)
    digest = network_digest(net)
    return LoadedModel(
        name=type(net).__name__,
        revision=None,
        net=net,
        tokenizer=tokenizer,
        device=str(next(net.parameters()).device),
        dtype=compute_dtype(net),
        identity=f"local:{digest}",
        parts=dissect(net),
    )
