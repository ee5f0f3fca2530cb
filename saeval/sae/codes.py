"""Latent activations in sparse form: `Codes`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
from torch import Tensor


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
    """Number of latents."""

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
        flat = _flat_positions(active)
        # A token's entries begin where the flat positions reach its own row's start.
        starts = torch.arange(tokens + 1, device=flat.device) * d_sae
        return cls(
            flat % max(d_sae, 1), acts.reshape(-1)[flat], torch.searchsorted(flat, starts), d_sae
        )

    @classmethod
    def join(cls, parts: Sequence["Codes"]) -> "Codes":
        """Codes of consecutive token batches as one; at least one batch."""
        if len(parts) == 1:
            return parts[0]
        # Each part's offsets move up by the entries of the parts before it.
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
        matrix = csr_matrix(
            tuple(part.cpu().numpy() for part in parts), shape=(self.tokens, self.d_sae)
        )
        matrix.sort_indices()
        return matrix

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


def _flat_positions(mask: Bool[Tensor, "tokens d_sae"]) -> Int[Tensor, " nnz"]:
    """Flat positions of the true entries, ascending. On a CPU numpy is six times as fast."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.flatten().nonzero()[:, 0]
