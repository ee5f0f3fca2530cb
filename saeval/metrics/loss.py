"""The cost of an edited activation to the model: next-token cross-entropy and KL, in nats."""

from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Loss = TypeVar("Loss", float, Float[np.ndarray, " rows"])

_CACHED_LOGITS = 2**18
# 1 MB in float32 per thread, which stays in a core's cache and is not given back to the system
# between chunks: on one core 8 MB took twice as long.
_ACCELERATOR_LOGITS = 2**26
# 256 MB: few enough launches to keep an accelerator busy.


def logit_chunk(vocabulary: int, device: str = "cpu") -> int:
    """How many positions to turn into logits at once on a device, at least 64."""
    cached = _CACHED_LOGITS * torch.get_num_threads()
    logits = cached if device.startswith("cpu") else _ACCELERATOR_LOGITS
    return max(64, logits // vocabulary)


def losses_in_place(
    clean_logits: Float[Tensor, "positions vocab"],
    logits: Float[Tensor, "positions vocab"],
    targets: Int[Tensor, " positions"],
) -> tuple[Float[Tensor, " positions"], Float[Tensor, " positions"]]:
    """Cross-entropy and KL of each position, in nats, as the two functions below have them.

    Both logits, float32, are overwritten and of no use afterwards: on a CPU, fresh memory costs
    more than the arithmetic.
    """
    torch.log_softmax(clean_logits, 1, out=clean_logits)
    torch.log_softmax(logits, 1, out=logits)
    return cross_entropy(logits, targets), kl_divergence_in_place(clean_logits, logits)


def cross_entropy(
    log_probs: Float[Tensor, "positions vocab"], targets: Int[Tensor, " positions"]
) -> Float[Tensor, " positions"]:
    """-log q(target) of each position, in nats, 0 or more.

    Args:
        log_probs: log-softmax of the logits, in float32.
        targets: The token that comes next.
    """
    return -log_probs.gather(1, targets[:, None])[:, 0]


def kl_divergence_in_place(
    clean_log_probs: Float[Tensor, "positions vocab"],
    log_probs: Float[Tensor, "positions vocab"],
) -> Float[Tensor, " positions"]:
    """KL(p || q) = sum_v p_v (log p_v - log q_v) of each position, in nats; p is clean.

    Both are log-softmaxes in float32, so that no probability underflows to log 0. They are
    overwritten and of no use afterwards. 0 or more, up to rounding.
    """
    torch.sub(clean_log_probs, log_probs, out=log_probs)
    return torch.linalg.vecdot(clean_log_probs.exp_(), log_probs)


def harm_avoided(ablated: Loss, spliced: Loss) -> Loss:
    """How much less the model loses with the SAE spliced in than with the site ablated, in nats.

    Cross-entropy or KL, summed or averaged over the same positions. Negative if the SAE does more
    harm than the ablation.
    """
    return ablated - spliced


def harm_at_stake(ablated: Loss, clean: Loss) -> Loss:
    """How much more the model loses with the site ablated than untouched, in nats.

    The most that an SAE can avoid. Of KL it is the ablated KL itself: the untouched model has 0.
    """
    return ablated - clean
