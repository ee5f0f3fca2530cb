"""GroupMax: the largest pre-activation of each of k contiguous groups of latents."""

from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.errors import LoadError
from saeval.sae import Codes, Origin
from saeval.sae.architectures.checks import check_k, check_shapes
from saeval.sae.architectures.linear import preactivations, reconstruct, reconstruct_codes
from saeval.sae.architectures.sparse import compact, in_batches
from saeval.sae.architectures.transforms import IDENTITY, Transform


@dataclass(frozen=True, eq=False)
class GroupMax:
    """relu(pre) of the largest latent of each group; the first one where several are equal.

    Source: EleutherAI/sparsify, `activation="groupmax"`.
    """

    signed: ClassVar[bool] = False

    W_enc: Float[Tensor, "d_in d_sae"]
    b_enc: Float[Tensor, " d_sae"]
    W_dec: Float[Tensor, "d_sae d_out"]
    b_dec: Float[Tensor, " d_out"]
    k: int
    """Number of groups; divides d_sae."""
    subtract_b_dec: bool = True
    """Whether b_dec is taken off the transformed input before encoding."""
    transform: Transform = IDENTITY
    """Applied to the input first, undone on the reconstruction last."""
    origin: Origin = field(default_factory=partial(Origin, architecture="groupmax"))

    def __post_init__(self) -> None:
        check_shapes(self)
        check_k(self.k, self.d_sae)
        if self.d_sae % self.k:
            raise LoadError(f"{self.d_sae} latents do not form {self.k} groups of equal size.")

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
        return self._encode_batch(x).dense()

    def encode_codes(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        """The same, sparse."""
        return in_batches(self._encode_batch, x, self.d_sae)

    def _encode_batch(self, x: Float[Tensor, "tokens d_in"]) -> Codes:
        pre = torch.relu(preactivations(self, x, self.b_enc))
        values, place = pre.unflatten(1, (self.k, -1)).max(2)
        starts = torch.arange(self.k, device=pre.device) * (self.d_sae // self.k)
        return compact(starts + place, values, values > 0, self.d_sae)

    decode = reconstruct
    decode_codes = reconstruct_codes
