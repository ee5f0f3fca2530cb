"""Acts of single vectors, in sparse form and in the units that a reconstruction is made of."""

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csr_matrix
from torch import Tensor

from saeval.sae import SAE, Codes, decode_codes, encode_codes


def acts_of(sae: SAE, x: Float[np.ndarray, "rows d_in"]) -> csr_matrix:
    """Acts [rows, d_sae] of vectors, as the SAE gives them."""
    return _encode(sae, _on_device(sae, x)).csr()


def contributions(sae: SAE, x: Float[np.ndarray, "rows d_in"]) -> csr_matrix:
    """Acts [rows, d_sae] scaled so that acts times W_dec is what latents add to the reconstruction.

    They differ from `acts_of` where an SAE scales its output, as after layer normalisation. The
    active latents have an entry in both.
    """
    vectors = _on_device(sae, x)
    codes = _encode(sae, vectors)
    acts = codes.csr()
    scale = _output_scale(sae, codes, vectors).cpu().numpy()
    acts.data *= np.repeat(scale, np.diff(acts.indptr)).astype(acts.dtype)
    return acts


def _on_device(sae: SAE, x: Float[np.ndarray, "rows d_in"]) -> Float[Tensor, "rows d_in"]:
    return torch.from_numpy(x).to(sae.W_dec.device)


@torch.no_grad()
def _encode(sae: SAE, x: Float[Tensor, "rows d_in"]) -> Codes:
    return encode_codes(sae, x)


@torch.no_grad()
def _output_scale(sae: SAE, codes: Codes, x: Float[Tensor, "rows d_in"]) -> Float[Tensor, " rows"]:
    """Length of what the latents add to the reconstruction, divided by that of acts times W_dec."""
    no_codes = Codes(codes.index[:0], codes.value[:0], torch.zeros_like(codes.offsets), codes.d_sae)
    added = decode_codes(sae, codes, x) - decode_codes(sae, no_codes, x)
    plain_length = codes.matmul(sae.W_dec).norm(dim=1)
    has_length = plain_length > 0
    ratio = added.norm(dim=1) / torch.where(has_length, plain_length, 1.0)
    # Where nothing is rescaled the ratio is 1 up to rounding, which is kept out of the acts.
    return torch.where(has_length & ((ratio - 1).abs() > 1e-3), ratio, 1.0)
