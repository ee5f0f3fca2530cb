"""Acts of single vectors, in sparse form and in the units that a reconstruction is made of."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from torch import Tensor

from saeval.sae import SAE, Codes, decode_codes, encode_codes


@dataclass(frozen=True)
class Encoded:
    """What an SAE says of some vectors."""

    acts: csr_matrix
    """[rows, d_sae], as the SAE gives them."""
    scale: Float[np.ndarray, " rows"]
    """Length of what the latents add to the reconstruction, over that of acts times W_dec.

    1 but where an SAE scales its output, as after layer normalisation."""

    @property
    def contributions(self) -> csr_matrix:
        """Acts that times W_dec are what each latent adds to the reconstruction, in raw units."""
        scaled = self.acts.copy()
        scaled.data *= np.repeat(self.scale, np.diff(scaled.indptr)).astype(scaled.dtype)
        return scaled


def encoded(sae: SAE, x: Float[np.ndarray, "rows d_in"]) -> Encoded:
    """Encode vectors, once."""
    with torch.no_grad():
        vectors = torch.from_numpy(x).to(sae.W_dec.device)
        codes = encode_codes(sae, vectors)
        scale = _scale(sae, codes, vectors)
    return Encoded(codes.csr(), scale.double().cpu().numpy())


def unit_projections(
    sae: SAE, latents: Int[np.ndarray, " latents"], direction: Float[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, " latents"], Float[np.ndarray, " latents"]]:
    """Dot product and cosine of some decoder rows with a unit direction; a zero row has both 0."""
    rows = sae.W_dec[torch.from_numpy(latents).to(sae.W_dec.device)].detach().float().cpu().numpy()
    dot = rows @ direction
    length = np.linalg.norm(rows, axis=1)
    return dot, dot / np.where(length > 0, length, 1)


def padded_rows(
    acts: csr_matrix, values: Float[np.ndarray, " nnz"]
) -> Float[np.ndarray, "rows most"]:
    """A value for each entry of sparse acts, row by row, with zeros up to the longest row."""
    counts = np.diff(acts.indptr)
    found = np.zeros((len(counts), max(1, counts.max(initial=0))))
    row = np.repeat(np.arange(len(counts)), counts)
    found[row, np.arange(len(row)) - acts.indptr[row]] = values
    return found


def _scale(sae: SAE, codes: Codes, x: Float[Tensor, "rows d_in"]) -> Float[Tensor, " rows"]:
    nothing = Codes(codes.index[:0], codes.value[:0], torch.zeros_like(codes.offsets), codes.d_sae)
    added = decode_codes(sae, codes, x) - decode_codes(sae, nothing, x)
    plain = codes.matmul(sae.W_dec).norm(dim=1)
    there = plain > 0
    ratio = added.norm(dim=1) / torch.where(there, plain, 1.0)
    # Where nothing is rescaled the ratio is 1 up to rounding: no need to let that in.
    return torch.where(there & ((ratio - 1).abs() > 1e-3), ratio, 1.0)
