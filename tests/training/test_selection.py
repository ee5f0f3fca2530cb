"""Which pre-activations are kept: exactly the k largest, however they are found."""

import pytest
import torch

from saeval.training.selection import keep_abs_topk, keep_topk, kth_largest


@pytest.mark.parametrize("d_sae", [64, 100, 512])
@pytest.mark.parametrize("k", [1, 3, 17, 60])
def test_kth_largest(d_sae: int, k: int) -> None:
    """It is what sorting gives, for few and many latents, and where entries are equal."""
    generator = torch.Generator().manual_seed(0)
    pre = torch.randn(33, d_sae, generator=generator)
    pre[:5] = pre[:5].round()
    expected = pre.sort(dim=1, descending=True).values[:, k - 1 : k]
    assert torch.equal(kth_largest(pre, k), expected)


def test_what_is_not_positive_is_not_kept() -> None:
    """A token with fewer than k positive entries keeps these; by magnitude it keeps k."""
    pre = torch.tensor([[1.0, -2.0, 3.0, -4.0]])
    assert keep_topk(pre, 3).tolist() == [[1.0, 0.0, 3.0, 0.0]]
    assert keep_topk(pre, 1).tolist() == [[0.0, 0.0, 3.0, 0.0]]
    assert keep_abs_topk(pre, 3).tolist() == [[0.0, -2.0, 3.0, -4.0]]
