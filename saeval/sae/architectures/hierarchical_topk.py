"""HierarchicalTopK: one TopK SAE trained for every k up to its largest."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.errors import LoadError
from saeval.sae import Codes, Origin
from saeval.sae.architectures.checks import check_k, check_shapes
from saeval.sae.architectures.linear import preactivations, reconstruct, reconstruct_codes
from saeval.sae.architectures.sparse import in_batches, largest, topk_codes
from saeval.sae.architectures.transforms import IDENTITY, Transform


@dataclass(frozen=True, eq=False)
class HierarchicalTopK:
    """relu(pre) of the k latents with the largest pre, for any k up to max_k.

    Source: arXiv 2505.24473.
    """

    signed: ClassVar[bool] = False
    takes_k: ClassVar[bool] = True

    W_enc: Float[Tensor, "d_in d_sae"]
    b_enc: Float[Tensor, " d_sae"]
    W_dec: Float[Tensor, "d_sae d_out"]
    b_dec: Float[Tensor, " d_out"]
    k: int
    """Latents per token, at most, in this use of it."""
    max_k: int
    """Largest k it was trained for."""
    subtract_b_dec: bool = True
    """Whether b_dec is taken off the transformed input before encoding."""
    transform: Transform = IDENTITY
    """Applied to the input first, undone on the reconstruction last."""
    origin: Origin = field(default_factory=partial(Origin, architecture="hierarchical_topk"))

    def __post_init__(self) -> None:
        check_shapes(self)
        check_k(self.max_k, self.d_sae)
        if not 1 <= self.k <= self.max_k:
            raise LoadError(
                f"k is {self.k}, but this SAE was trained for k from 1 to {self.max_k}."
            )

    @property
    def d_in(self) -> int:
        """Width of the activations it reads."""
        return self.W_enc.shape[0]

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        return self.W_enc.shape[1]

    def with_k(self, k: int) -> "HierarchicalTopK":
        """The same SAE with at most k latents per token."""
        return replace(self, k=k)

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_sae"]:
        """Latent activations of raw activations x."""
        pre = preactivations(self, x, self.b_enc)
        values, index = largest(pre, self.k)
        return torch.zeros_like(pre).scatter(1, index, values.relu())

    def encode_codes(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        """The same, sparse."""
        return in_batches(self._encode_batch, x, self.d_sae)

    def _encode_batch(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        return topk_codes(preactivations(self, x, self.b_enc), self.k)

    decode = reconstruct
    decode_codes = reconstruct_codes
