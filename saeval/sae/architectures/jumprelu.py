"""JumpReLU: a pre-activation counts only above its latent's own threshold."""

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.sae import Codes, Origin
from saeval.sae.architectures.checks import check_shapes
from saeval.sae.architectures.linear import preactivations, reconstruct, reconstruct_codes
from saeval.sae.architectures.sparse import in_batches
from saeval.sae.architectures.transforms import IDENTITY, Transform


@dataclass(frozen=True, eq=False)
class JumpReLU:
    """relu(pre) where pre > threshold, else 0; at the threshold itself 0.

    Source: Rajamanoharan et al. 2024, arXiv 2407.14435.
    """

    signed: ClassVar[bool] = False

    W_enc: Float[Tensor, "d_in d_sae"]
    b_enc: Float[Tensor, " d_sae"]
    W_dec: Float[Tensor, "d_sae d_out"]
    b_dec: Float[Tensor, " d_out"]
    threshold: Float[Tensor, " d_sae"]
    """In the units of pre. Below 0 it has no effect."""
    subtract_b_dec: bool = True
    """Whether b_dec is taken off the transformed input before encoding."""
    transform: Transform = IDENTITY
    """Applied to the input first, undone on the reconstruction last."""
    origin: Origin = field(default_factory=partial(Origin, architecture="jumprelu"))

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
        pre = preactivations(self, x, self.b_enc)
        return torch.where(pre > self.floor, pre, 0)

    def encode_codes(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        """The same, sparse."""
        return in_batches(self._encode_batch, x, self.d_sae)

    def _encode_batch(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        pre = preactivations(self, x, self.b_enc)
        return Codes.from_mask(pre > self.floor, pre)

    decode = reconstruct
    decode_codes = reconstruct_codes

    @property
    def floor(self) -> Float[Tensor, " d_sae"]:
        """What pre must exceed: the threshold, and 0."""
        return self.threshold.clamp(min=0)
