"""WeightedTopK: latents compete by what they would write, not by their activation alone."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.sae import Codes, Origin
from saeval.sae.architectures.checks import check_k, check_shapes
from saeval.sae.architectures.linear import preactivations, reconstruct, reconstruct_codes
from saeval.sae.architectures.sparse import compact, in_batches, largest
from saeval.sae.architectures.transforms import IDENTITY, Transform


@dataclass(frozen=True, eq=False)
class WeightedTopK:
    """relu(pre) of the k latents with the largest pre times weight; a token may have fewer.

    With weight = |W_dec| these are the k latents that contribute most to the reconstruction,
    while acts stay in the units of pre.

    Source: He et al. 2024, arXiv 2410.20526, section 2 (Llama Scope); llamascopium, `sae.py`,
    `sparsity_include_decoder_norm`.
    """

    signed: ClassVar[bool] = False
    takes_k: ClassVar[bool] = True

    W_enc: Float[Tensor, "d_in d_sae"]
    b_enc: Float[Tensor, " d_sae"]
    W_dec: Float[Tensor, "d_sae d_out"]
    b_dec: Float[Tensor, " d_out"]
    weight: Float[Tensor, " d_sae"]
    """Factor of each latent's pre in the choice of the k largest."""
    k: int
    """Latents per token, at most."""
    subtract_b_dec: bool = True
    """Whether b_dec is taken off the transformed input before encoding."""
    transform: Transform = IDENTITY
    """Applied to the input first, undone on the reconstruction last."""
    origin: Origin = field(default_factory=partial(Origin, architecture="weighted_topk"))

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

    def with_k(self, k: int) -> "WeightedTopK":
        """The same SAE with at most k latents per token."""
        return replace(self, k=k)

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_sae"]:
        """Latent activations of raw activations x."""
        pre = preactivations(self, x, self.b_enc)
        scores, index = largest(pre * self.weight, self.k)
        values = torch.where(scores > 0, pre.gather(1, index), 0)
        return torch.zeros_like(pre).scatter(1, index, values)

    def encode_codes(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        """The same, sparse."""
        return in_batches(self._encode_batch, x, self.d_sae)

    def _encode_batch(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        pre = preactivations(self, x, self.b_enc)
        scores, index = largest(pre * self.weight, self.k)
        return compact(index, pre.gather(1, index), scores > 0, pre.shape[1])

    decode = reconstruct
    decode_codes = reconstruct_codes
