"""On an accelerator, where other kernels choose and count, the same latents come out."""

from typing import Any

import pytest
import torch

from saeval.sae import content_hash, decode_codes, encode_codes
from saeval.sae.architectures import ARCHITECTURES, moved

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("name", ["relu", "topk", "abstopk", "groupmax"])
def test_acts_do_not_depend_on_the_device(name: str) -> None:
    """Sparse acts, reconstructions and the content hash are those of the CPU."""
    generator = torch.Generator().manual_seed(0)
    weights = [
        torch.randn(shape, generator=generator)
        for shape in ((16, 4096), (4096,), (4096, 16), (16,))
    ]
    here: Any = ARCHITECTURES[name](*weights, **({} if name == "relu" else {"k": 16}))
    there = moved(here, device="cuda")
    x = torch.randn(300, 16, generator=generator)
    codes, codes_there = encode_codes(here, x), encode_codes(there, x.cuda())
    assert torch.allclose(codes_there.dense().cpu(), codes.dense(), atol=1e-4)
    found = decode_codes(there, codes_there, x.cuda()).cpu()
    assert torch.allclose(found, decode_codes(here, codes, x), atol=1e-3)
    assert content_hash(there) == content_hash(here)
