"""Where an SAE reads and writes (`Site`), and what every SAE can do (`SAE`)."""

import hashlib
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
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
        return cls.from_mask(acts != 0, acts)

    @classmethod
    def from_mask(
        cls, active: Bool[Tensor, "tokens d_sae"], acts: Float[Tensor, "tokens d_sae"]
    ) -> "Codes":
        """Keep the entries of dense acts that are active; none of these may be 0."""
        tokens, d_sae = acts.shape
        flat = _positions(active)
        starts = torch.arange(tokens + 1, device=flat.device) * d_sae
        return cls(
            flat % max(d_sae, 1), acts.reshape(-1)[flat], torch.searchsorted(flat, starts), d_sae
        )

    @classmethod
    def join(cls, parts: Sequence["Codes"]) -> "Codes":
        """Codes of consecutive token batches as one; at least one batch."""
        if len(parts) == 1:
            return parts[0]
        bases = np.cumsum([0, *(len(part.value) for part in parts)]).tolist()
        shifted = [part.offsets[1:] + base for part, base in zip(parts, bases, strict=False)]
        return cls(
            torch.cat([part.index for part in parts]),
            torch.cat([part.value for part in parts]),
            torch.cat([parts[0].offsets[:1], *shifted]),
            parts[0].d_sae,
        )

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
        """Dense form, for small batches only."""
        acts = torch.zeros(
            self.tokens, self.d_sae, dtype=self.value.dtype, device=self.value.device
        )
        acts[self.token, self.index] = self.value
        return acts

    def csr(self) -> csr_matrix:
        """Acts [tokens, d_sae] in float32 as a matrix of scipy's, latents of a token in order."""
        parts = (self.value.float(), self.index, self.offsets)
        found = csr_matrix(
            tuple(part.cpu().numpy() for part in parts), shape=(self.tokens, self.d_sae)
        )
        found.sort_indices()
        return found

    def rows(self, start: int, stop: int) -> "Codes":
        """Tokens start to stop, without copying values."""
        low, high = int(self.offsets[start]), int(self.offsets[stop])
        return Codes(
            self.index[low:high],
            self.value[low:high],
            self.offsets[start : stop + 1] - low,
            self.d_sae,
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


def _positions(mask: Bool[Tensor, "tokens d_sae"]) -> Int[Tensor, " nnz"]:
    """Flat positions of what is true, ascending. On a CPU numpy finds them six times as fast."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.flatten().nonzero()[:, 0]


@runtime_checkable
class SAE(Protocol):
    """What every task may ask of an SAE. No state passes between calls.

    Built-in architectures also have `origin` and the sparse pair `encode_codes`/`decode_codes`;
    the functions of the same name in this module serve any object.
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


DENSE_BYTES = 64 * 2**20
"""Dense acts that `encode_codes` and `decode_codes` hold at a time for an SAE without its own."""


def d_out(sae: SAE) -> int:
    """Width of the reconstruction; differs from d_in for some transcoders."""
    return sae.W_dec.shape[1]


def origin_of(sae: SAE) -> Origin:
    """What an SAE says of where it comes from; nothing, if it is an object that says nothing."""
    return getattr(sae, "origin", Origin())


def encode_codes(sae: SAE, x: Float[Tensor, "tokens d_in"]) -> Codes:
    """Sparse latent activations of x, by the SAE's own method or from bounded dense batches."""
    own = getattr(sae, "encode_codes", None)
    if own is not None:
        return own(x)
    step = _dense_step(sae, x)
    return Codes.join([Codes.from_dense(sae.encode(part)) for part in _split(x, step)])


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


def content_hash(sae: SAE) -> str:
    """SHA-256 of all that decides what an SAE computes: tensors, their dtypes, and configuration.

    Names, paths and devices do not enter. For an object that is not saeval's own, whatever it
    holds enters, with what it answered when it was wrapped, which is exact only on one machine:
    elsewhere the hash may differ, and then the SAE is evaluated again.
    """
    digest = hashlib.sha256()
    _feed(digest, sae, seen=set())
    return digest.hexdigest()


def _feed(digest: Any, value: Any, seen: set[int]) -> None:
    """Add one value to the digest, each kind under a tag of its own."""
    if isinstance(value, Tensor):
        digest.update(f"tensor {value.dtype} {tuple(value.shape)};".encode())
        _feed_bytes(digest, value)
    elif isinstance(value, np.ndarray):
        digest.update(f"array {value.dtype} {value.shape};".encode() + value.tobytes())
    elif value is None or isinstance(value, bool | int | float | str | bytes | torch.dtype):
        digest.update(f"{type(value).__name__} {value!r};".encode())
    elif isinstance(value, Origin):
        digest.update(f"centred {value.centred};".encode())
    elif not isinstance(value, torch.device) and id(value) not in seen:
        digest.update(f"{type(value).__qualname__} (".encode())
        for name, part in _parts(value):
            digest.update(f"{name!r}=".encode())
            _feed(digest, part, seen | {id(value)})
        digest.update(b");")


def _parts(value: Any) -> list[tuple[Any, Any]]:
    """What a compound value consists of, in an order that does not depend on chance."""
    if is_dataclass(value) and not isinstance(value, type):
        return [(one.name, getattr(value, one.name)) for one in fields(value)]
    if isinstance(value, Mapping):
        return sorted(value.items(), key=lambda item: repr(item[0]))
    if isinstance(value, AbstractSet):
        return [(repr(one), None) for one in sorted(value, key=repr)]
    if isinstance(value, Sequence):
        return list(enumerate(value))
    if callable(value) and hasattr(value, "__qualname__"):
        return [(value.__qualname__, None)]
    return sorted(getattr(value, "__dict__", {}).items())


def _feed_bytes(digest: Any, tensor: Tensor) -> None:
    """A tensor's bytes, some rows at a time, wherever it lies and however it is strided."""
    rows = tensor.detach().reshape(tensor.shape[0] if tensor.ndim else 1, -1)
    step = max(1, DENSE_BYTES // max(1, rows.shape[1] * rows.element_size()))
    for part in torch.split(rows, step):
        digest.update(part.cpu().contiguous().view(torch.uint8).numpy())
