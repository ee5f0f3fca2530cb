"""What every SAE can do (`SAE`), and what can be done with any of them."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.sae.codes import Codes
from saeval.sae.site import Origin


@runtime_checkable
class SAE(Protocol):
    """What every task may ask of an SAE. No state passes between calls.

    Built-in architectures also have `origin` and the sparse pair `encode_codes`/`decode_codes`;
    the functions of the same name in this module serve any object. What an SAE needs beside x it
    declares (`saeval.sae.traits`), and gets as keywords of `encode`: `tokens`, `gradient`.
    """

    @property
    def d_in(self) -> int:
        """Width of the activations it reads."""
        ...

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        ...

    @property
    def W_dec(self) -> Tensor:  # noqa: N802, the papers' name
        """[d_sae, d_out], in the units of the library that wrote the file."""
        ...

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_sae"]:
        """Latent activations of raw activations x."""
        ...

    def decode(
        self, acts: Float[Tensor, "tokens d_sae"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_out"]:
        """Reconstruction, in raw units. x is the input that acts came from."""
        ...


NOTHING: Mapping[str, Tensor] = MappingProxyType({})
"""What most SAEs need beside x."""
DENSE_BYTES = 64 * 2**20
"""Dense acts that `encode_codes` and `decode_codes` hold at a time for an SAE without its own."""


def d_out(sae: SAE) -> int:
    """Width of the reconstruction; differs from d_in for some transcoders."""
    return sae.W_dec.shape[1]


def origin_of(sae: SAE) -> Origin:
    """What an SAE says of where it comes from; nothing, if it is an object that says nothing."""
    return getattr(sae, "origin", Origin())


def encode_codes(
    sae: SAE, x: Float[Tensor, "tokens d_in"], beside: Mapping[str, Tensor] = NOTHING
) -> Codes:
    """Sparse latent activations of x, by the SAE's own method or from bounded dense batches.

    Args:
        sae: The SAE.
        x: What it encodes.
        beside: What it needs besides, a row for each token: keywords of its `encode`, as
            `saeval.sae.traits.beside` gives them.
    """
    own = getattr(sae, "encode_codes", None)
    if own is not None:
        return own(x, **beside)
    step = _dense_step(sae, x)
    more = {name: _split(values, step) for name, values in beside.items()}
    return Codes.join(
        [
            Codes.from_dense(sae.encode(part, **{name: parts[i] for name, parts in more.items()}))
            for i, part in enumerate(_split(x, step))
        ]
    )


def decode_codes(
    sae: SAE, codes: Codes, x: Float[Tensor, "tokens d_in"]
) -> Float[Tensor, "tokens d_out"]:
    """Reconstruction of sparse codes of x, by the SAE's own method or in bounded dense batches."""
    own = getattr(sae, "decode_codes", None)
    if own is not None:
        return own(codes, x)
    step, decoded, start = _dense_step(sae, x), [], 0
    for part in _split(x, step):
        decoded.append(sae.decode(codes.rows(start, start + len(part)).dense(), part))
        start += len(part)
    return torch.cat(decoded)


def _dense_step(sae: SAE, x: Tensor) -> int:
    return max(1, DENSE_BYTES // (x.element_size() * sae.d_sae))


def _split(x: Tensor, step: int) -> Sequence[Tensor]:
    """Batches of at most `step` rows; one empty batch if there are no rows."""
    return torch.split(x, step) if len(x) else [x]
