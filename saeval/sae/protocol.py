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
    the functions of the same name in this module serve any object. An SAE that needs inputs besides
    x declares them (`saeval.sae.traits`), and gets them as keywords of `encode`: `tokens`,
    `gradient`.
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


NO_EXTRAS: Mapping[str, Tensor] = MappingProxyType({})
"""Most SAEs need no input besides x."""
DENSE_BYTES = 64 * 2**20
"""Bytes of dense acts that exist at a time, for an SAE without sparse methods of its own."""


def d_out(sae: SAE) -> int:
    """Width of the reconstruction; differs from d_in for some transcoders."""
    return sae.W_dec.shape[1]


def origin_of(sae: SAE) -> Origin:
    """Where an SAE says it comes from; an empty origin for an object that has none."""
    return getattr(sae, "origin", Origin())


def encode_codes(
    sae: SAE, x: Float[Tensor, "tokens d_in"], extra: Mapping[str, Tensor] = NO_EXTRAS
) -> Codes:
    """Sparse latent activations of x, by the SAE's own method or from bounded dense batches.

    Args:
        sae: The SAE.
        x: The activations that it encodes.
        extra: Its other inputs, a row for each token: keywords of its `encode`, as
            `saeval.sae.traits.extra_inputs` gives them.
    """
    method = getattr(sae, "encode_codes", None)
    if method is not None:
        return method(x, **extra)
    step = _tokens_per_batch(sae, x)
    extra_parts = {name: _split(values, step) for name, values in extra.items()}
    return Codes.join(
        [
            Codes.from_dense(
                sae.encode(part, **{name: parts[i] for name, parts in extra_parts.items()})
            )
            for i, part in enumerate(_split(x, step))
        ]
    )


def decode_codes(
    sae: SAE, codes: Codes, x: Float[Tensor, "tokens d_in"]
) -> Float[Tensor, "tokens d_out"]:
    """Reconstruction of sparse codes of x, by the SAE's own method or in bounded dense batches."""
    method = getattr(sae, "decode_codes", None)
    if method is not None:
        return method(codes, x)
    step, y_parts, start = _tokens_per_batch(sae, x), [], 0
    for part in _split(x, step):
        y_parts.append(sae.decode(codes.rows(start, start + len(part)).dense(), part))
        start += len(part)
    return torch.cat(y_parts)


def _tokens_per_batch(sae: SAE, x: Tensor) -> int:
    return max(1, DENSE_BYTES // (x.element_size() * sae.d_sae))


def _split(x: Tensor, step: int) -> Sequence[Tensor]:
    """Batches of at most `step` rows; one empty batch if there are no rows."""
    return torch.split(x, step) if len(x) else [x]
