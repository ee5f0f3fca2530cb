"""The null 'neurons': the entries of the activation itself, of which only the largest stay."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.sae import Codes, Origin
from saeval.sae.architectures.checks import check_k, check_shapes
from saeval.sae.architectures.sparse import abs_topk_codes, in_batches, largest


@dataclass(frozen=True, eq=False)
class Neurons:
    """Keeps the k entries of x - b_dec with the largest magnitude, with their sign.

    An SAE of the same L0 has to beat it: d_sae = d_in, and each latent is one coordinate.
    """

    signed: ClassVar[bool] = True
    takes_k: ClassVar[bool] = True

    b_dec: Float[Tensor, " d_in"]
    """Mean activation of the training data, as an SAE learns it too; zeros for none."""
    k: int
    """Entries kept per token; the L0 of the SAEs to be compared."""
    origin: Origin = field(default_factory=partial(Origin, architecture="neurons"))

    def __post_init__(self) -> None:
        check_shapes(self)
        check_k(self.k, self.d_sae)

    @property
    def d_in(self) -> int:
        """Width of the activations it reads."""
        return self.b_dec.shape[0]

    @property
    def d_sae(self) -> int:
        """Number of latents: d_in."""
        return self.b_dec.shape[0]

    @property
    def W_enc(self) -> Float[Tensor, "d_in d_in"]:  # noqa: N802, the papers' name
        """The identity."""
        return torch.eye(self.d_in, dtype=self.b_dec.dtype, device=self.b_dec.device)

    @property
    def W_dec(self) -> Float[Tensor, "d_in d_in"]:  # noqa: N802, the papers' name
        """The identity."""
        return self.W_enc

    def with_k(self, k: int) -> "Neurons":
        """The same SAE with at most k latents per token."""
        return replace(self, k=k)

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_in"]:
        """Entries of x - b_dec among the k largest by magnitude, else 0."""
        z = x.to(self.b_dec.dtype) - self.b_dec
        _, index = largest(z.abs(), self.k)
        return torch.zeros_like(z).scatter(1, index, z.gather(1, index))

    def encode_codes(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        """The same, sparse."""
        return in_batches(self._encode_batch, x, self.d_sae)

    def _encode_batch(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        return abs_topk_codes(x.to(self.b_dec.dtype) - self.b_dec, self.k)

    def decode(
        self, acts: Float[Tensor, "tokens d_in"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_in"]:
        """Add b_dec back."""
        return acts + self.b_dec

    def decode_codes(
        self, codes: Codes, x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_in"]:
        """The same from sparse codes."""
        return codes.dense() + self.b_dec
