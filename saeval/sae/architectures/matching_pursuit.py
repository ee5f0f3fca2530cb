"""Matching pursuit: tied atoms, taken off the residual one by one until little is left."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from saeval.errors import LoadError
from saeval.sae import Codes, Origin
from saeval.sae.architectures.checks import check_shapes
from saeval.sae.architectures.linear import reconstruct, reconstruct_codes
from saeval.sae.architectures.pursuit import matching_pursuit
from saeval.sae.architectures.sparse import in_batches
from saeval.sae.architectures.transforms import IDENTITY, Transform


@dataclass(frozen=True, eq=False)
class MatchingPursuit:
    """Positive matching pursuit over the decoder's rows; there is no encoder.

    Source: SAELens, `matching_pursuit`; Costa et al. 2025, arXiv 2506.03093.
    """

    signed: ClassVar[bool] = False
    takes_k: ClassVar[bool] = True

    W_dec: Float[Tensor, "d_sae d_in"]
    b_dec: Float[Tensor, " d_in"]
    """Taken off the input and added to the reconstruction."""
    max_steps: int
    """Atoms per token, at most."""
    residual_norm: float = 0.0
    """A token is done once its residual's norm is below this, in the units of x."""
    stop_on_repeat: bool = True
    """A token is done after a step that brought no new latent."""
    transform: Transform = IDENTITY
    """Applied to the input first, undone on the reconstruction last."""
    origin: Origin = field(default_factory=partial(Origin, architecture="matching_pursuit"))

    def __post_init__(self) -> None:
        check_shapes(self)
        if self.max_steps < 1 or not self.residual_norm >= 0:
            raise LoadError(
                f"Matching pursuit needs at least 1 step and a residual norm of at least 0, not "
                f"{self.max_steps} and {self.residual_norm}."
            )

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

    def with_k(self, k: int) -> "MatchingPursuit":
        """The same SAE with at most k latents per token."""
        return replace(self, max_steps=k)

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_sae"]:
        """Latent activations of raw activations x, one step after the other."""
        z = self.transform.apply(x.to(self.W_dec.dtype)) - self.b_dec
        return matching_pursuit(
            z, self.W_dec, self.max_steps, self.residual_norm, stop_on_repeat=self.stop_on_repeat
        )

    def encode_codes(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        """The same, sparse."""
        return in_batches(lambda part: Codes.from_dense(self.encode(part)), x, self.d_sae)

    decode = reconstruct
    decode_codes = reconstruct_codes
