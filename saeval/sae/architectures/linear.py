"""The affine parts that almost all architectures share: pre-activations and reconstruction."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.sae import Codes
from saeval.sae.architectures.transforms import Transform


@runtime_checkable
class Decoder(Protocol):
    """What decoding needs of an architecture."""

    @property
    def W_dec(self) -> Tensor:  # noqa: N802, the papers' name
        """[d_sae, d_out]."""
        ...

    @property
    def b_dec(self) -> Tensor:
        """[d_out]."""
        ...

    @property
    def transform(self) -> Transform:
        """Applied to the input before all else, undone after all else."""
        ...


@runtime_checkable
class Affine(Decoder, Protocol):
    """What encoding needs of an architecture, besides what decoding needs."""

    @property
    def W_enc(self) -> Tensor:  # noqa: N802, the papers' name
        """[d_in, d_sae]."""
        ...

    @property
    def subtract_b_dec(self) -> bool:
        """Whether b_dec is taken off the transformed input."""
        ...


def encoder_input(sae: Affine, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_in"]:
    """transform(x) - b_dec; transform(x) alone where an SAE subtracts no b_dec."""
    z = sae.transform.apply(x.to(sae.W_enc.dtype))
    return z - sae.b_dec if sae.subtract_b_dec else z


def preactivations(
    sae: Affine, x: Float[Tensor, "tokens d_in"], b_enc: Float[Tensor, " d_sae"]
) -> Float[Tensor, "tokens d_sae"]:
    """encoder_input(x) W_enc + b_enc."""
    return torch.addmm(b_enc, encoder_input(sae, x), sae.W_enc)


def reconstruct(
    sae: Decoder, acts: Float[Tensor, "tokens d_sae"], x: Float[Tensor, "tokens d_in"]
) -> Float[Tensor, "tokens d_out"]:
    """The reconstruction, acts W_dec + b_dec, in raw units."""
    dtype = sae.W_dec.dtype
    return sae.transform.undo(torch.addmm(sae.b_dec, acts.to(dtype), sae.W_dec), x.to(dtype))


def reconstruct_codes(
    sae: Decoder, codes: Codes, x: Float[Tensor, "tokens d_in"]
) -> Float[Tensor, "tokens d_out"]:
    """The same from sparse codes, at a cost that grows with the active latents only."""
    return sae.transform.undo(codes.matmul(sae.W_dec).add_(sae.b_dec), x.to(sae.W_dec.dtype))
