"""ITDA: a dictionary of stored activations, combined by k steps of signed matching pursuit."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from saeval.sae import Codes, Origin
from saeval.sae.architectures.checks import check_k, check_shapes
from saeval.sae.architectures.linear import reconstruct, reconstruct_codes
from saeval.sae.architectures.pursuit import signed_pursuit
from saeval.sae.architectures.sparse import in_batches
from saeval.sae.architectures.transforms import IDENTITY, Transform


@dataclass(frozen=True, eq=False)
class ITDA:
    """k times the atom with the largest |product| with the residual, with its sign.

    Plain matching pursuit, as in the paper's text: an atom may be taken twice.

    Source: Leask et al. 2025, arXiv 2505.17769.
    """

    signed: ClassVar[bool] = True
    takes_k: ClassVar[bool] = True

    W_dec: Float[Tensor, "d_sae d_in"]
    """Atoms, of norm 1."""
    b_dec: Float[Tensor, " d_in"]
    """Taken off the input and added to the reconstruction."""
    k: int
    """Steps per token."""
    transform: Transform = IDENTITY
    """Applied to the input first, undone on the reconstruction last."""
    origin: Origin = field(default_factory=partial(Origin, architecture="itda"))

    def __post_init__(self) -> None:
        check_shapes(self)
        check_k(self.k, self.d_sae)

    @property
    def d_in(self) -> int:
        """Width of the activations it reads."""
        return self.W_dec.shape[1]

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        return self.W_dec.shape[0]

    @property
    def W_enc(self) -> Float[Tensor, "d_in d_sae"]:  # noqa: N802, the papers' name
        """The atoms, since they are tied."""
        return self.W_dec.T

    def with_k(self, k: int) -> "ITDA":
        """The same SAE with at most k latents per token."""
        return replace(self, k=k)

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_sae"]:
        """Latent activations of raw activations x, one step after the other."""
        z = self.transform.apply(x.to(self.W_dec.dtype)) - self.b_dec
        return signed_pursuit(z, self.W_dec, self.k)

    def encode_codes(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        """The same, sparse."""
        return in_batches(lambda part: Codes.from_dense(self.encode(part)), x, self.d_sae)

    decode = reconstruct
    decode_codes = reconstruct_codes
