"""Choosing the largest is exact: torch.topk's own choice, at every width, ties included."""

import pytest
import torch
from torch import Tensor

from saeval.sae import Codes
from saeval.sae.architectures import sparse
from saeval.sae.architectures.sparse import (
    abs_topk_codes,
    compact,
    group_size,
    in_batches,
    largest,
    topk_codes,
)

SIZES = [(64, 8), (1024, 32), (1024, 300), (1000, 3), (4096, 1), (7, 7), (2**15, 16), (1, 1)]


def draw(tokens: int, d_sae: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal numbers."""
    generator = torch.Generator().manual_seed(d_sae)
    return torch.randn(tokens, d_sae, generator=generator).to(dtype)


def scattered(values: Tensor, index: Tensor, d_sae: int) -> Tensor:
    """Dense rows from values and places."""
    return values.new_zeros(len(values), d_sae).scatter(1, index, values)


@pytest.mark.parametrize("d_sae, k", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_largest_are_torchs(d_sae: int, k: int, dtype: torch.dtype) -> None:
    """The same entries as torch.topk's, for widths with and without groups."""
    pre = draw(9, d_sae, dtype)
    values, index = largest(pre, k)
    expected = torch.topk(pre, k, sorted=False)
    assert torch.equal(scattered(values, index, d_sae), scattered(*expected, d_sae))


@pytest.mark.parametrize("d_sae, k", SIZES)
@pytest.mark.parametrize("levels", [1, 2, 5, 40])
def test_ties_are_torchs(d_sae: int, k: int, levels: int) -> None:
    """Where many latents are equal, those are taken that torch.topk takes."""
    pre = (draw(11, d_sae) * levels).round() / levels
    values, index = largest(pre, k)
    expected = torch.topk(pre, k, sorted=False)
    assert torch.equal(values.sort(1).values, expected.values.sort(1).values)
    # Any choice among equals is as good within the k; which ones are left out is torch's choice.
    chosen = scattered(torch.ones_like(values), index, d_sae)
    assert torch.equal(chosen, scattered(torch.ones_like(values), expected.indices, d_sae))


@pytest.mark.parametrize(
    "d_sae, k, size", [(1024, 32, 4), (2**20, 32, 32), (1000, 8, 8), (999, 8, 1), (64, 32, 1)]
)
def test_groups_divide_the_latents(d_sae: int, k: int, size: int) -> None:
    """Groups are formed where they pay and divide d_sae, and there are never fewer than k."""
    assert group_size(d_sae, k) == size
    assert d_sae % size == 0
    assert d_sae // size >= k


@pytest.mark.parametrize("d_sae, k", SIZES)
def test_topk_codes(d_sae: int, k: int) -> None:
    """What is not positive is dropped, so that a token may have fewer than k."""
    pre = draw(9, d_sae) - 1.0
    pre[2] = -pre[2].abs() - 1
    expected = torch.relu(scattered(*torch.topk(pre, k), d_sae))
    codes = topk_codes(pre, k)
    assert torch.equal(codes.dense(), expected)
    assert int(codes.l0[2]) == 0


@pytest.mark.parametrize("d_sae, k", SIZES)
def test_abs_topk_codes(d_sae: int, k: int) -> None:
    """Magnitude decides, the sign stays, and zeros are dropped."""
    pre = draw(9, d_sae)
    pre[4] = 0
    index = torch.topk(pre.abs(), k).indices
    codes = abs_topk_codes(pre, k)
    assert torch.equal(codes.dense(), scattered(pre.gather(1, index), index, d_sae))
    assert int(codes.l0[4]) == 0


def test_compact_without_gaps() -> None:
    """Where every candidate is kept, offsets are multiples of k."""
    index, values = torch.tensor([[3, 1], [0, 2]]), torch.ones(2, 2)
    codes = compact(index, values, values > 0, 4)
    assert codes.offsets.tolist() == [0, 2, 4]
    assert codes.dense().tolist() == [[0, 1, 0, 1], [1, 0, 1, 0]]


@pytest.mark.parametrize("tokens", [0, 1, 5, 64, 200])
def test_batches_make_the_whole(monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    """However few entries are held at a time, the codes are those of one batch."""
    monkeypatch.setattr(sparse, "CPU_ENTRIES", 64)
    monkeypatch.setattr(sparse, "MIN_TOKENS", 1)
    seen = []

    def encode(part: Tensor) -> Codes:
        seen.append(len(part))
        return Codes.from_dense(torch.relu(part))

    x = draw(tokens, 16)
    assert torch.equal(in_batches(encode, x, 16).dense(), torch.relu(x))
    assert max(seen) <= 4


def test_wide_dictionaries_are_taken_few_tokens_at_a_time() -> None:
    """At 2^20 latents a batch is 64 tokens, 256 MB of pre-activations, and at 2^24 it is 4."""
    for d_sae, step in ((2**10, 1024), (2**16, 64), (2**20, 64), (2**24, 4)):
        seen = []

        def encode(part: Tensor, seen: list[int] = seen, d_sae: int = d_sae) -> Codes:
            seen.append(len(part))
            none = torch.zeros(0, dtype=torch.int64)
            offsets = torch.zeros(len(part) + 1, dtype=torch.int64)
            return Codes(none, torch.zeros(0), offsets, d_sae)

        in_batches(encode, torch.zeros(step + 1, 2), d_sae)
        assert seen == [step, 1]
