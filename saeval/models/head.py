"""Logits from hidden states, by the model's own code."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.errors import ModelError
from saeval.models.anatomy import Anatomy
from saeval.models.execution import agree, shadowed


@dataclass(frozen=True)
class Head:
    """How to get logits from hidden states: run the network with a base that only returns them."""

    base: str
    """The module whose output the head reads."""
    form: type
    """Type of that output."""


def head_logits(
    parts: Anatomy, head: Head, hidden: Float[Tensor, "tokens d_model"]
) -> Float[Tensor, "tokens vocab"]:
    """Logits by the model's own code, capping and scaling included."""
    ids = torch.zeros(1, len(hidden), dtype=torch.int64, device=hidden.device)
    output = head.form(last_hidden_state=hidden[None])
    with shadowed(parts.module(head.base), lambda *_, **__: output):
        return parts.net(input_ids=ids, use_cache=False).logits[0]


def find_head(parts: Anatomy) -> Head:
    """The head, checked: its logits equal the model's own on a row.

    Raises:
        ModelError: if they differ, so that no logits can be had from hidden states.
    """
    device = parts.device
    ids = torch.arange(4, device=device)[None] % parts.vocab_size
    with torch.no_grad():
        expected = parts.net(input_ids=ids, use_cache=False).logits[0]
        for path in dict.fromkeys([parts.base, parts.decoder]):
            output = parts.module(path)(input_ids=ids, use_cache=False)
            head = Head(path, type(output))
            if agree(head_logits(parts, head, output.last_hidden_state[0]), expected):
                return head
    raise ModelError(
        f"The logits of {type(parts.net).__name__} do not follow from its final hidden states, "
        "so neither CE nor KL can be computed. Choose tasks without logits."
    )
