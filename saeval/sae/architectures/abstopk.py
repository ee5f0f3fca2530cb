"""AbsTopK: the k pre-activations largest by magnitude, with their sign."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.sae import Codes, Origin
from saeval.sae.architectures.checks import check_k, check_shapes
from saeval.sae.architectures.linear import preactivations, reconstruct, reconstruct_codes
from saeval.sae.architectures.sparse import abs_topk_codes, in_batches, largest
from saeval.sae.architectures.transforms import IDENTITY, Transform


@dataclass(frozen=True, eq=False)
class AbsTopK:
    """pre of the k latents with the largest |pre|; one latent serves two opposite directions.

    Source: arXiv 2510.00404.
    """

    signed: ClassVar[bool] = True
    takes_k: ClassVar[bool] = True

    W_enc: Float[Tensor, "d_in d_sae"]
    b_enc: Float[Tensor, " d_sae"]
    W_dec: Float[Tensor, "d_sae d_out"]
    b_dec: Float[Tensor, " d_out"]
    k: int
    """Latents per token, at most."""
    subtract_b_dec: bool = True
    """Whether b_dec is taken off the transformed input before encoding."""
    transform: Transform = IDENTITY
    """Applied to the input first, undone on the reconstruction last."""
    origin: Origin = field(default_factory=partial(Origin, architecture="abstopk"))

    def __post_init__(self) -> None:
        check_shapes(self)
        check_k(self.k, self.d_sae)

    @property
    def d_in(self) -> int:
        """Width of the activations it reads."""
        return self.W_enc.shape[0]

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        return self.W_enc.shape[1]

    def with_k(self, k: int) -> "AbsTopK":
        """The same SAE with at most k latents per token."""
        return replace(self, k=k)

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_sae"]:
        """Latent activations of raw activations x."""
        pre = preactivations(self, x, self.b_enc)
        _, index = largest(pre.abs(), self.k)
        return torch.zeros_like(pre).scatter(1, index, pre.gather(1, index))

    def encode_codes(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        """The same, sparse."""
        return in_batches(self._encode_batch, x, self.d_sae)

    def _encode_batch(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        return abs_topk_codes(preactivations(self, x, self.b_enc), self.k)

    decode = reconstruct
    decode_codes = reconstruct_codes
