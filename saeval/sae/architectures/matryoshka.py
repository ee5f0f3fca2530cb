"""Matryoshka BatchTopK: latents in nested prefixes, each of which reconstructs on its own."""

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.errors import LoadError
from saeval.sae import Codes, Origin
from saeval.sae.architectures.checks import check_shapes, check_threshold
from saeval.sae.architectures.linear import preactivations, reconstruct, reconstruct_codes
from saeval.sae.architectures.sparse import in_batches
from saeval.sae.architectures.transforms import IDENTITY, Transform


@dataclass(frozen=True, eq=False)
class Matryoshka:
    """BatchTopK whose first prefixes[0] latents, first prefixes[1] latents, ... form SAEs too.

    Source: Bussmann et al. 2025, arXiv 2503.17547.
    """

    signed: ClassVar[bool] = False

    W_enc: Float[Tensor, "d_in d_sae"]
    b_enc: Float[Tensor, " d_sae"]
    W_dec: Float[Tensor, "d_sae d_out"]
    b_dec: Float[Tensor, " d_out"]
    threshold: float
    """In the units of pre, at least 0. Training software writes -1 for one never set."""
    prefixes: tuple[int, ...]
    """Latents of each prefix, rising; the last is d_sae."""
    subtract_b_dec: bool = True
    """Whether b_dec is taken off the transformed input before encoding."""
    transform: Transform = IDENTITY
    """Applied to the input first, undone on the reconstruction last."""
    origin: Origin = field(default_factory=partial(Origin, architecture="matryoshka"))

    def __post_init__(self) -> None:
        check_shapes(self)
        check_threshold(self.threshold)
        steps = [high - low for low, high in zip((0, *self.prefixes), self.prefixes, strict=False)]
        if not steps or min(steps) < 1 or self.prefixes[-1] != self.d_sae:
            raise LoadError(
                f"Matryoshka prefixes {list(self.prefixes)} must rise and end at d_sae = "
                f"{self.d_sae}. The groups of the file do not add up to its latents."
            )

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

    def decode_prefix(
        self,
        acts: Float[Tensor, "tokens d_sae"],
        x: Float[Tensor, "tokens d_in"],
        size: int,
    ) -> Float[Tensor, "tokens d_out"]:
        """Reconstruction from the first `size` latents, one of `prefixes`.

        Raises:
            LoadError: if there is no such prefix.
        """
        if size not in self.prefixes:
            raise LoadError(f"{size} is no prefix of this SAE, which has {list(self.prefixes)}.")
        in_prefix = torch.arange(self.d_sae, device=acts.device) < size
        return reconstruct(self, acts * in_prefix, x)
