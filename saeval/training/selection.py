"""Which pre-activations a TopK-like SAE keeps: the k largest of a token, or of a batch."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

GROUP = 8
"""Latents per group: the k-th largest entry of a token is first sought among group maxima."""


def kth_largest(pre: Float[Tensor, "tokens d_sae"], k: int) -> Float[Tensor, "tokens 1"]:
    """The k-th largest entry of each row. On a CPU numpy finds it five times as fast as torch.

    If k is small against d_sae, the k-th largest of the maxima of `GROUP` latents each is found
    first. No entry below it can be among the k largest. This is two to three times as fast again.
    """
    tokens, d_sae = pre.shape
    if pre.device.type != "cpu":
        return torch.topk(pre, k, sorted=False).values.amin(1, keepdim=True)
    if d_sae % GROUP or 2 * GROUP * k > d_sae:
        return _kth_column(pre.numpy(), k)
    maxima = pre.reshape(tokens, GROUP, d_sae // GROUP).amax(1)
    entries = pre.numpy()
    high = entries >= _kth_column(maxima.numpy(), k).numpy()
    counts = np.count_nonzero(high, axis=1)
    candidates = np.full((tokens, max(k, counts.max())), -np.inf, entries.dtype)
    candidates[np.arange(candidates.shape[1]) < counts[:, None]] = entries[high]
    return _kth_column(candidates, k)


def _kth_column(values: np.ndarray, k: int) -> Float[Tensor, "tokens 1"]:
    place = values.shape[1] - k
    return torch.from_numpy(np.partition(values, place, axis=1)[:, place : place + 1].copy())


def keep_topk(pre: Float[Tensor, "tokens d_sae"], k: int) -> Float[Tensor, "tokens d_sae"]:
    """The k largest pre-activations of each token if they are > 0; 0 elsewhere.

    Where several tie for the k-th place none of them is kept.
    """
    if k >= pre.shape[1]:
        return pre.relu()
    cut = kth_largest(pre, k + 1).clamp_(min=0)
    return where_positive(pre, pre - cut)


def keep_abs_topk(pre: Float[Tensor, "tokens d_sae"], k: int) -> Float[Tensor, "tokens d_sae"]:
    """The pre-activations of the k largest by magnitude of each token, else 0."""
    if k >= pre.shape[1]:
        return pre
    size = pre.abs()
    return where_positive(pre, size.sub_(kth_largest(size, k + 1)))


def where_positive(
    values: Float[Tensor, "tokens d_sae"], condition: Float[Tensor, "tokens d_sae"]
) -> Float[Tensor, "tokens d_sae"]:
    """Values where the condition is > 0, else 0, in one pass over memory."""
    return torch.ops.aten.threshold_backward(values, condition, 0)


def batch_threshold(pre: Float[Tensor, "tokens d_sae"], k: float, hint: float = 0.0) -> float:
    """Value that k entries per token exceed, on average over the batch; -inf if there are no more.

    Args:
        pre: Pre-activations.
        k: Entries per token above the threshold.
        hint: A threshold expected to be near. Only entries above most of it are looked at, if
            they suffice, which saves time and changes nothing.
    """
    count = round(k * len(pre))
    near = pre[pre > 0.8 * hint] if hint > 0 else pre.flatten()
    if len(near) <= count:
        near = pre.flatten()
    if count >= len(near):
        return float("-inf")
    if near.device.type == "cpu":
        place = len(near) - count - 1
        return float(np.partition(near.numpy(), place)[place])
    return float(torch.topk(near, count + 1, sorted=False).values.min())


def bias_excess(pre: Float[Tensor, "tokens d_sae"], k: float) -> float:
    """By how much all biases are too high for k entries per token to be positive.

    0 where no common shift could change that, because fewer than k can be positive at all.
    """
    excess = batch_threshold(pre, k)
    return excess if math.isfinite(excess) else 0.0
