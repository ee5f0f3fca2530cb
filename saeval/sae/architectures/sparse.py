"""From dense pre-activations to sparse codes, fast and exact for 2^10 to 2^20 latents."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from saeval.sae import Codes

CPU_ENTRIES = 2**20
"""Pre-activations held at a time on a CPU: 4 MB in float32, which stay in its cache."""
GPU_ENTRIES = 2**26
"""The same on an accelerator: 256 MB in float32."""
MIN_TOKENS = 64
"""Tokens per batch, at least: fewer would read the encoder too often. 256 MB at 2^20 latents."""
MIN_GROUP, MAX_GROUP = 4, 32
"""Latents per group. Smaller groups save no time, larger ones cost more than they save."""


def in_batches(
    encode: Callable[[Tensor], Codes], x: Float[Tensor, "tokens d_in"], d_sae: int
) -> Codes:
    """Encode x in token batches whose dense pre-activations stay small."""
    entries = CPU_ENTRIES if x.device.type == "cpu" else GPU_ENTRIES
    widest = max(1, GPU_ENTRIES // d_sae)
    step = max(entries // d_sae, min(MIN_TOKENS, widest), 1)
    if len(x) <= step:
        return encode(x)
    return Codes.join([encode(part) for part in torch.split(x, step)])


def topk_codes(pre: Float[Tensor, "tokens d_sae"], k: int) -> Codes:
    """Of each token's k largest, those that are > 0."""
    values, index = largest(pre, k)
    return compact(index, values, values > 0, pre.shape[1])


def abs_topk_codes(pre: Float[Tensor, "tokens d_sae"], k: int) -> Codes:
    """The k largest by magnitude of each token, with their sign; zeros are dropped."""
    _, index = largest(pre.abs(), k)
    values = pre.gather(1, index)
    return compact(index, values, values != 0, pre.shape[1])


def compact(
    index: Int[Tensor, "tokens k"],
    values: Float[Tensor, "tokens k"],
    keep: Bool[Tensor, "tokens k"],
    d_sae: int,
) -> Codes:
    """Codes from at most k candidates per token, without those where `keep` is False."""
    tokens, k = index.shape
    offsets = torch.arange(0, tokens * k + 1, max(k, 1), device=index.device)
    if bool(keep.all()):
        return Codes(index.flatten(), values.flatten(), offsets, d_sae)
    offsets = torch.zeros(tokens + 1, dtype=torch.int64, device=index.device)
    torch.cumsum(keep.sum(1), 0, out=offsets[1:])
    return Codes(index[keep], values[keep], offsets, d_sae)


def largest(
    pre: Float[Tensor, "tokens d_sae"], k: int
) -> tuple[Float[Tensor, "tokens k"], Int[Tensor, "tokens k"]]:
    """Values and latents of the k largest of each token, in no particular order.

    What `torch.topk` gives, ties included, in half to a quarter of the time on a CPU: the k
    largest lie in the k groups of latents with the largest maxima, so that only these groups are
    searched. Tokens in which latents tie for the k-th place are left to `torch.topk`.
    """
    size = group_size(pre.shape[1], k)
    if size > 1:
        values, index, tied = _largest_in_groups(pre, k, size)
    elif _numpy_selects(pre):
        values, index = _select(pre, k)
        tied = _count(pre >= values.amin(1, keepdim=True)) > k
    else:
        return torch.topk(pre, k, sorted=False)
    if bool(tied.any()):
        values[tied], index[tied] = torch.topk(pre[tied], k, sorted=False)
    return values, index


def _largest_in_groups(
    pre: Float[Tensor, "tokens d_sae"], k: int, size: int
) -> tuple[Float[Tensor, "tokens k"], Int[Tensor, "tokens k"], Bool[Tensor, " tokens"]]:
    """Values and latents, and the tokens where another choice of k would have been as good."""
    tokens, d_sae = pre.shape
    groups = d_sae // size
    # Members of a group lie `groups` latents apart: then the maximum runs along contiguous rows.
    grouped = pre.reshape(tokens, size, groups)
    maxima = grouped.amax(1)
    group_values, group = _select(maxima, k)
    candidates = grouped.gather(2, group[:, None, :].expand(tokens, size, k)).flatten(1)
    values, place = _select(candidates, k)
    # `candidates` lies as [size, k]: the row is the member within a group, the column the group.
    index = place.div(k, rounding_mode="floor") * groups + group.gather(1, place % k)
    # The k-th value ties if another candidate has it too, or the best of a group not looked into.
    last = values.amin(1, keepdim=True)
    tied = (_count(candidates >= last) > k) | (
        _count(maxima >= last) > _count(group_values >= last)
    )
    return values, index, tied


def group_size(d_sae: int, k: int) -> int:
    """Latents per group: a power of two that divides d_sae, near sqrt(d_sae / k); 1: no groups."""
    size = 1
    while size < MAX_GROUP and d_sae % (2 * size) == 0 and (2 * size) ** 2 * k <= d_sae:
        size *= 2
    return size if size >= MIN_GROUP else 1


def _select(
    values: Float[Tensor, "tokens n"], k: int
) -> tuple[Float[Tensor, "tokens k"], Int[Tensor, "tokens k"]]:
    """The k largest of each row. numpy's vectorised selection is three times torch's."""
    if not _numpy_selects(values):
        return torch.topk(values, k, sorted=False)
    low = values.shape[1] - k
    index = torch.from_numpy(np.argpartition(values.detach().numpy(), low, axis=1)[:, low:])
    return values.gather(1, index), index


def _count(mask: Bool[Tensor, "tokens n"]) -> Int[Tensor, " tokens"]:
    """Number of true entries in each row. numpy counts ten times as fast as torch sums."""
    if mask.device.type == "cpu":
        return torch.from_numpy(np.count_nonzero(mask.numpy(), axis=1))
    return mask.sum(1)


def _numpy_selects(values: Tensor) -> bool:
    return values.device.type == "cpu" and values.dtype in (torch.float32, torch.float64)
