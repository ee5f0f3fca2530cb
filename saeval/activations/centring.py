"""Centred activations: without their mean over d_model, as TransformerLens has them."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.errors import ModelError
from saeval.models import LoadedModel
from saeval.sae import Site


def centre(
    x: Float[Tensor, "*rows d"],
) -> tuple[Float[Tensor, "*rows d"], Float[Tensor, "*rows 1"]]:
    """Vectors minus their mean over d, and that mean."""
    mean = x.mean(-1, keepdim=True)
    return x - mean, mean


def centre_each(
    x: Float[Tensor, "*rows d"], widths: Sequence[int]
) -> tuple[Float[Tensor, "*rows d"], Float[Tensor, "*rows _"]]:
    """Vectors of several sites side by side, each minus its own mean, and what was subtracted.

    The latter has one column for a single site, else as many columns as the vectors.
    """
    if len(widths) == 1:
        return centre(x)
    means = [part.mean(-1, keepdim=True).expand_as(part) for part in x.split([*widths], -1)]
    shift = torch.cat(means, -1)
    return x - shift, shift


def check_centring(model: LoadedModel, site: Site) -> None:
    """Check by trial that the mean over d_model at a site changes nothing after it.

    TransformerLens centres all weights that write to the residual stream of a model with layer
    norms, which remove the mean again. So its activations are the model's own minus their
    mean, and a reconstruction gets the mean back before it is spliced in.

    Raises:
        ModelError: if the mean matters: the model normalises by RMS, or the site does not write
            to the stream.
    """
    ids = torch.arange(8).reshape(1, 8) % model.vocab_size
    attention = torch.ones_like(ids, dtype=torch.bool)
    activations, clean = model.clean([site], ids, attention)
    shifted = model.run_from(
        site, ids, attention, activations[site] + activations[site].abs().max()
    )
    # A shift as large as the activations themselves costs a layer norm some digits.
    tolerance = 1000 * torch.finfo(model.dtype).eps * float(clean.abs().max())
    if float((shifted - clean).abs().max()) > tolerance:
        raise ModelError(
            f"Activations at '{site}' of {model.name} cannot be centred: their mean over d_model "
            "matters behind it. Only what is written to the residual stream of a model with layer "
            "norms can be. TransformerLens centres nothing else, so read it with centred: false."
        )
