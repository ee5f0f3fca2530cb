"""Gradient of the model's loss at each activation, which some SAEs encode besides x."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from saeval.activations.predictions import predictions
from saeval.activations.protocol import ActivationSource, Batch
from saeval.activations.rows import TokenRows
from saeval.errors import NotApplicable
from saeval.models import LoadedModel

_LOGIT_BYTES = 64 << 20
"""Bytes of logits computed at a time, in float32."""


def next_token_gradient(
    source: ActivationSource, rows: TokenRows, batch: Batch
) -> Float[Tensor, "texts seq d_in"]:
    """D loss / d x in nats per unit of x, in float32; 0 at padding.

    The loss of a row is the sum of its next-token cross-entropies, at every counted token that a
    counted one follows. A sum, so that neither the batch nor a row's length enters.

    Raises:
        NotApplicable: if there is no model with an output head; the SAE reads and
            writes at different sites, since only the write site can be varied; or it writes at
            several sites, since splicing all of them cuts the paths from one to the next.
    """
    model = source.model
    if model is None:
        raise NotApplicable(
            f"The SAE needs the gradient of the model's loss, and '{source.name}' holds stored "
            "activations. Give --model instead."
        )
    if source.sites.read != source.sites.write:
        raise NotApplicable(
            f"The SAE needs the gradient of the model's loss at {source.sites}, but only what is "
            "read and written at the same site can be varied there."
        )
    if source.sites.several:
        raise NotApplicable(
            f"The SAE needs the gradient of the model's loss at several sites ({source.sites}), "
            "which is known at one site only."
        )
    judged = predictions(rows, batch)
    counts, target = judged.counts.to(batch.x.device), judged.target.to(batch.x.device)
    with torch.enable_grad():
        y = batch.y.detach().clone().requires_grad_()
        hidden = source.splice(rows, batch, y)
        slope = _slope(model, hidden.detach()[counts], target[counts])
        hidden_gradient = torch.zeros_like(hidden).index_put((counts,), slope.to(hidden.dtype))
        (gradient,) = torch.autograd.grad(hidden, y, hidden_gradient)
    return gradient.float()


def _slope(
    model: LoadedModel, hidden: Float[Tensor, "tokens d_model"], target: Tensor
) -> Float[Tensor, "tokens d_model"]:
    """Gradient of the summed loss at final hidden states, computed for some tokens at a time."""
    slope = torch.zeros_like(hidden)
    step = max(1, _LOGIT_BYTES // (4 * model.vocab_size))
    for low in range(0, len(hidden), step):
        part = hidden[low : low + step].clone().requires_grad_()
        loss = cross_entropy(model.logits(part), target[low : low + step], reduction="sum")
        (slope[low : low + step],) = torch.autograd.grad(loss, part)
    return slope
