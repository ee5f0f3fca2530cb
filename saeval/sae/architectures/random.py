"""The null 'random': a TopK SAE whose directions were drawn, not learned."""

import torch
from jaxtyping import Float
from torch import Tensor

from saeval.sae import Origin
from saeval.sae.architectures.topk import TopK


def random_topk(b_dec: Float[Tensor, " d_in"], d_sae: int, k: int, seed: int) -> TopK:
    """Unit decoder rows uniform on the sphere, the encoder their transpose, no encoder bias.

    Args:
        b_dec: Mean activation of the training data, as an SAE learns it too; zeros for none.
        d_sae: Latents, as many as the SAEs to be compared have.
        k: Latents per token; their L0.
        seed: Equal seeds give equal SAEs.
    """
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(d_sae, len(b_dec), generator=generator)
    W_dec = directions / directions.norm(dim=1, keepdim=True)
    origin = Origin(architecture="topk", metadata={"null": "random", "seed": seed})
    return TopK(W_dec.T.contiguous(), torch.zeros(d_sae), W_dec, b_dec, k, origin=origin)
