"""Gated: one affine map decides which latents are active, a rescaled one how much."""

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from saeval.sae import Codes, Origin
from saeval.sae.architectures.checks import check_shapes
from saeval.sae.architectures.linear import encoder_input, reconstruct, reconstruct_codes
from saeval.sae.architectures.sparse import in_batches
from saeval.sae.architectures.transforms import IDENTITY, Transform


@dataclass(frozen=True, eq=False)
class Gated:
    """relu(exp(r_mag) h + b_mag) where h + b_gate > 0, with h = (transform(x) - b_dec) W_enc.

    SAELens scales W_enc by exp(r_mag) instead of h, which is the same.

    Source: Rajamanoharan et al. 2024, arXiv 2404.16014.
    """

    signed: ClassVar[bool] = False

    W_enc: Float[Tensor, "d_in d_sae"]
    b_gate: Float[Tensor, " d_sae"]
    b_mag: Float[Tensor, " d_sae"]
    r_mag: Float[Tensor, " d_sae"]
    """Logarithm of the magnitude path's scale."""
    W_dec: Float[Tensor, "d_sae d_out"]
    b_dec: Float[Tensor, " d_out"]
    subtract_b_dec: bool = True
    """Whether b_dec is taken off the transformed input before encoding."""
    transform: Transform = IDENTITY
    """Applied to the input first, undone on the reconstruction last."""
    origin: Origin = field(default_factory=partial(Origin, architecture="gated"))

    def __post_init__(self) -> None:
        check_shapes(self)

    @property
    def d_in(self) -> int:
        """Width of the activations it reads."""
        return self.W_enc.shape[0]

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        return self.W_enc.shape[1]

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_sae"]:
        """Latent activations of raw activations x."""
        active, magnitude = self._gate_and_magnitude(x)
        return torch.where(active, magnitude, 0)

    def encode_codes(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        """The same, sparse."""
        return in_batches(self._encode_batch, x, self.d_sae)

    def _encode_batch(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        return Codes.from_mask(*self._gate_and_magnitude(x))

    decode = reconstruct
    decode_codes = reconstruct_codes

    def _gate_and_magnitude(
        self, x: Float[Tensor, "tokens d_in"]
    ) -> tuple[Bool[Tensor, "tokens d_sae"], Float[Tensor, "tokens d_sae"]]:
        """Which latents are active, and the value that each has if it is."""
        h = encoder_input(self, x) @ self.W_enc
        magnitude = torch.addcmul(self.b_mag, h, self.r_mag.exp())
        return (h + self.b_gate > 0) & (magnitude > 0), magnitude
