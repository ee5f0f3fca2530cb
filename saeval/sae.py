"""Where an SAE reads and writes (`Site`), and what every SAE can do (`SAE`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saeval.errors import UsageError


@dataclass(frozen=True)
class Site:
    """One tensor in a model's forward pass: the input or output of a named module."""

    path: str
    """Full module path in the Hugging Face model, such as `gpt_neox.layers.2`."""
    side: Literal["in", "out"] = "out"
    """Which end of the module: its first positional input, or its (first) output."""

    @classmethod
    def parse(cls, text: str) -> "Site":
        """Read `path:in` or `path:out`; a bare path means its output.

        Raises:
            UsageError: if the path is empty or the side is neither `in` nor `out`.
        """
        path, colon, side = text.partition(":")
        if not path or (colon and side not in ("in", "out")):
            raise UsageError(
                f"'{text}' is not a site: write a module path with ':in' or ':out', "
                "such as 'gpt_neox.layers.2:out'."
            )
        return cls(path, "in" if side == "in" else "out")

    def __str__(self) -> str:
        return f"{self.path}:{self.side}"


@dataclass(frozen=True)
class Origin:
    """What an SAE's files say about where it comes from. Unknown is None, never guessed."""

    loader: str = "object"
    """Name of the loader that read the files, `object` for a Python object."""
    architecture: str = "object"
    """Architecture id as in `saeval/architectures` (`topk`, `jumprelu`, ...)."""
    model: str | None = None
    """Base model as the files name it, such as `EleutherAI/pythia-160m-deduped`."""
    read_site: str | None = None
    """Site or alias whose activation is encoded, as the files name it."""
    write_site: str | None = None
    """Site or alias that is reconstructed; None means the read site."""
    prepend_bos: bool | None = None
    """Whether training rows began with BOS."""
    context_size: int | None = None
    """Tokens a training row."""
    centred: bool = False
    """Trained on TransformerLens-processed (centred) residual-stream activations."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Everything else the configuration held, JSON-like, for the record."""


@dataclass(frozen=True)
class Codes:
    """Latent activations of a token batch in sparse form (CSR): only the non-zero ones.

    The form in which tasks hold acts, since a dense [tokens, d_sae] array does not fit for wide
    SAEs. Active means value != 0; values may be negative.
    """

    index: Int[Tensor, " nnz"]
    """int64 latent of each entry, grouped by token."""
    value: Float[Tensor, " nnz"]
    """Activation of each entry, never 0."""
    offsets: Int[Tensor, " tokens_plus_1"]
    """int64; entries of token t are offsets[t] to offsets[t + 1]."""
    d_sae: int

    @classmethod
    def from_dense(cls, acts: Float[Tensor, "tokens d_sae"]) -> "Codes":
        """Keep the non-zero entries of dense acts."""
        mask = acts != 0
        index = mask.nonzero()[:, 1]
        offsets = torch.zeros(len(acts) + 1, dtype=torch.int64, device=acts.device)
        torch.cumsum(mask.sum(1), 0, out=offsets[1:])
        return cls(index, acts[mask], offsets, acts.shape[1])

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return len(self.offsets) - 1

    @property
    def l0(self) -> Int[Tensor, " tokens"]:
        """Active latents of each token."""
        return self.offsets.diff()

    @property
    def token(self) -> Int[Tensor, " nnz"]:
        """Token of each entry."""
        return torch.repeat_interleave(self.l0)

    def dense(self) -> Float[Tensor, "tokens d_sae"]:
        """The dense form, for small batches only."""
        acts = torch.zeros(self.tokens, self.d_sae, dtype=self.value.dtype, device=self.value.device)
        acts[self.token, self.index] = self.value
        return acts

    def rows(self, start: int, stop: int) -> "Codes":
        """Tokens start to stop, without copying values."""
        low, high = int(self.offsets[start]), int(self.offsets[stop])
        return Codes(
            self.index[low:high], self.value[low:high], self.offsets[start : stop + 1] - low, self.d_sae
        )

    def matmul(self, W_dec: Float[Tensor, "d_sae d_out"]) -> Float[Tensor, "tokens d_out"]:
        """Acts times the decoder, by embedding_bag: cost grows with l0, not with d_sae."""
        return torch.nn.functional.embedding_bag(
            self.index,
            W_dec,
            self.offsets,
            mode="sum",
            per_sample_weights=self.value.to(W_dec.dtype),
            include_last_offset=True,
        )


@runtime_checkable
class SAE(Protocol):
    """What every task may ask of an SAE. No state passes between calls.

    Built-in architectures also have `origin` and the sparse pair `encode_codes`/`decode_codes`;
    the functions of the same name in this module serve any object.
    """

    d_in: int
    d_sae: int
    W_dec: Tensor
    """[d_sae, d_out], in the units of the library that wrote the file."""

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_sae"]:
        """Latent activations of raw activations x."""
        ...

    def decode(
        self, acts: Float[Tensor, "tokens d_sae"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_out"]:
        """Reconstruction, in raw units. x is the input that acts came from."""
        ...
