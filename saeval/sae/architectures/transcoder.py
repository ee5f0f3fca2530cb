"""Transcoder: reads at one site and predicts another, with a linear skip if it has one."""

from dataclasses import dataclass, field, replace
from functools import partial

from jaxtyping import Float
from torch import Tensor

from saeval.errors import LoadError
from saeval.sae import SAE, Codes, Origin, d_out, decode_codes, encode_codes, with_k
from saeval.sae.architectures.checks import check_shapes


@dataclass(frozen=True, eq=False)
class Transcoder:
    """What `inner` decodes, plus x W_skip, where x is the raw input.

    The inner architecture holds encoder, activation, W_dec and the output's bias b_dec. Its
    transform is not undone (`InputOnly`), since the output lies at another site.

    Source: Dunefsky et al. 2024, arXiv 2406.11944; skip: Paulo et al. 2025, arXiv 2501.18823.
    """

    inner: SAE
    W_skip: Float[Tensor, "d_in d_out"] | None = None
    origin: Origin = field(default_factory=partial(Origin, architecture="transcoder"))

    def __post_init__(self) -> None:
        check_shapes(self)
        expected = [self.inner.d_in, d_out(self.inner)]
        if self.W_skip is not None and list(self.W_skip.shape) != expected:
            raise LoadError(
                f"W_skip has shape {list(self.W_skip.shape)}, but {expected} is needed: from the "
                "width of the input to that of the output."
            )

    @property
    def signed(self) -> bool:
        """Whether latents may be negative, as the inner architecture says."""
        return getattr(self.inner, "signed", False)

    @property
    def takes_k(self) -> bool:
        """Whether the inner architecture takes a k."""
        return getattr(self.inner, "takes_k", False)

    def with_k(self, k: int) -> "Transcoder":
        """The same transcoder with at most k latents per token."""
        return replace(self, inner=with_k(self.inner, k))

    @property
    def d_in(self) -> int:
        """Width of the activations it reads."""
        return self.inner.d_in

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        return self.inner.d_sae

    @property
    def W_dec(self) -> Tensor:  # noqa: N802, the papers' name
        """[d_sae, d_out]."""
        return self.inner.W_dec

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_sae"]:
        """Latent activations of raw activations x at the read site."""
        return self.inner.encode(x)

    def encode_codes(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        """The same, sparse."""
        return encode_codes(self.inner, x)

    def decode(
        self, acts: Float[Tensor, "tokens d_sae"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_out"]:
        """Prediction of the activations at the write site, in raw units."""
        return self._add_skip(self.inner.decode(acts, x), x)

    def decode_codes(
        self, codes: Codes, x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_out"]:
        """The same from sparse codes."""
        return self._add_skip(decode_codes(self.inner, codes, x), x)

    def _add_skip(
        self, y: Float[Tensor, "tokens d_out"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_out"]:
        return y if self.W_skip is None else y + x.to(y.dtype) @ self.W_skip
