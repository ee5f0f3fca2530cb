"""Figures of a training: FVU, L0 and dead latents, in its course and at the end."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.metrics import squared_deviation, squared_error
from saeval.sae import SAE, decode_codes, encode_codes

CHUNK = 4096
"""Activations encoded at a time."""


@dataclass(frozen=True)
class Figures:
    """State of a training, on the batches since the last figures or on held-out activations."""

    tokens: int
    """Activations seen in training so far."""
    fvu: float
    """Fraction of variance unexplained; 0 is exact, 1 the mean."""
    l0: float
    """Active latents per token."""
    dead: float
    """Share of the latents that did not fire: recently, or on any held-out activation."""
    seconds: float
    """Seconds since training began."""
    share: float = 1.0
    """Share of the training that is done."""


def held_out_figures(
    sae: SAE,
    x: Float[Tensor, "tokens d_in"],
    y: Float[Tensor, "tokens d_out"],
    *,
    tokens: int,
    seconds: float,
) -> Figures:
    """Figures of a finished SAE on raw activations it was not trained on."""
    centre = y.double().mean(0)
    error = deviation = active = 0.0
    fired = torch.zeros(sae.d_sae, dtype=torch.bool, device=x.device)
    for part, target in zip(x.split(CHUNK), y.split(CHUNK), strict=True):
        codes = encode_codes(sae, part)
        x_hat = decode_codes(sae, codes, part)
        error += float(squared_error(target.double(), x_hat.double()).sum())
        deviation += float(squared_deviation(target.double(), centre).sum())
        active += len(codes.value)
        fired[codes.index] = True
    dead = 1 - float(fired.double().mean())
    return Figures(tokens, error / deviation, active / len(x), dead, seconds)
