"""Activations brought to mean 0 and variance 1 a dimension for training, and SAEs brought back."""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.errors import DataError
from saeval.sae.architectures import Transcoder


@dataclass(frozen=True)
class Scaling:
    """(x - mean) * factor, one factor for all dimensions, so that directions do not change."""

    mean: Float[Tensor, " d"]
    factor: float

    def apply(self, x: Float[Tensor, "tokens d"]) -> Float[Tensor, "tokens d"]:
        """Normalised activations."""
        return (x - self.mean) * self.factor


def measure_scaling(x: Float[Tensor, "tokens d"]) -> Scaling:
    """Scaling that gives these activations mean 0 and, on average over dimensions, variance 1.

    Raises:
        DataError: if they are not finite, or all equal.
    """
    if not bool(torch.isfinite(x).all()):
        raise DataError("The activations hold NaN or infinity. Find out where they come from.")
    mean = x.double().mean(0)
    variance = float((x.double() - mean).square().mean())
    if not variance > 0:
        raise DataError(f"All {len(x)} activations are equal: there is nothing to learn.")
    return Scaling(mean.float(), variance**-0.5)


_IN_UNITS_OF_ACTS = ("b_enc", "b_gate", "b_mag", "threshold")
"""Weights that scale as acts do."""


def to_raw_units(sae: Any, read: Scaling, write: Scaling) -> Any:
    """The SAE of normalised activations as one of raw activations, with equal decoder rows.

    Acts come out in raw units: they are divided by the factor of the write site, like everything
    that is added up to a reconstruction.
    """
    if isinstance(sae, Transcoder):
        return _transcoder_to_raw_units(sae, read, write)
    names = {field.name for field in fields(sae)}
    raw: dict[str, Any] = {
        name: getattr(sae, name) / write.factor for name in _IN_UNITS_OF_ACTS if name in names
    }
    raw["b_dec"] = write.mean + sae.b_dec / write.factor
    if "W_enc" in names and not sae.subtract_b_dec:
        # A transcoder: the mean of what it reads goes into the bias. For other SAEs it is in b_dec.
        raw["W_enc"] = sae.W_enc * (read.factor / write.factor)
        for name in ("b_enc", "b_gate"):
            if name in names:
                raw[name] = raw[name] - read.mean @ raw["W_enc"]
        if "b_mag" in names:
            shift = (read.mean @ raw["W_enc"]) * sae.r_mag.exp()
            raw["b_mag"] = raw["b_mag"] - shift
    return replace(sae, **raw)


def _transcoder_to_raw_units(sae: Transcoder, read: Scaling, write: Scaling) -> Transcoder:
    """The inner SAE as any other; the skip connection reads activations with their mean."""
    inner: Any = to_raw_units(sae.inner, read, write)
    if sae.W_skip is None:
        return replace(sae, inner=inner)
    W_skip = sae.W_skip * (read.factor / write.factor)
    inner = replace(inner, b_dec=inner.b_dec - read.mean @ W_skip)
    return replace(sae, inner=inner, W_skip=W_skip)
