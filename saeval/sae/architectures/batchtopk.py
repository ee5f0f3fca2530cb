"""BatchTopK at inference: one threshold for all latents, learned in training."""

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.sae import Codes, Origin
from saeval.sae.architectures.checks import check_shapes, check_threshold
from saeval.sae.architectures.linear import preactivations, reconstruct, reconstruct_codes
from saeval.sae.architectures.sparse import in_batches
from saeval.sae.architectures.transforms import IDENTITY, Transform


@dataclass(frozen=True, eq=False)
class BatchTopK:
    """relu(pre) where it is > threshold, so that k holds on average only.

    Source: Bussmann et al. 2024, arXiv 2412.06410.
    """

    signed: ClassVar[bool] = False

    W_enc: Float[Tensor, "d_in d_sae"]
    b_enc: Float[Tensor, " d_sae"]
    W_dec: Float[Tensor, "d_sae d_out"]
    b_dec: Float[Tensor, " d_out"]
    threshold: float
    """In the units of pre, at least 0. Training software writes -1 for one never set."""
    subtract_b_dec: bool = True
    """Whether b_dec is taken off the transformed input before encoding."""
    transform: Transform = IDENTITY
    """Applied to the input first, undone on the reconstruction last."""
    origin: Origin = field(default_factory=partial(Origin, architecture="batchtopk"))

    def __post_init__(self) -> None:
        check_shapes(self)
        check_threshold(self.threshold)

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
        return torch.where(pre > self.threshold, pre, 0)

    def encode_codes(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        """The same, sparse."""
        return in_batches(self._encode_batch, x, self.d_sae)

    def _encode_batch(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        pre = preactivations(self, x, self.b_enc)
        return Codes.from_mask(pre > self.threshold, pre)

    decode = reconstruct
    decode_codes = reconstruct_codes
