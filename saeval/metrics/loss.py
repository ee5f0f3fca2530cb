"""What an edited activation costs the model: next-token cross-entropy and KL, in nats."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from saeval.errors import DataError

_CACHED_LOGITS = 2**18
# 1 MB in float32 a thread, which stays in a core's cache and is not given back to the system
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
    """Cross-entropy and KL of each position, as the two functions below, in a third of the time.

    Both logits, float32, are used as workspace and hold nothing of use afterwards: on a CPU,
    fresh memory costs more than the arithmetic.
    """
    torch.log_softmax(clean_logits, 1, out=clean_logits)
    torch.log_softmax(logits, 1, out=logits)
    losses = cross_entropy(logits, targets)
    torch.sub(clean_logits, logits, out=logits)
    return losses, torch.linalg.vecdot(clean_logits.exp_(), logits)


def cross_entropy(
    log_probs: Float[Tensor, "positions vocab"], targets: Int[Tensor, " positions"]
) -> Float[Tensor, " positions"]:
    """-log q(target) of each position, in nats, 0 or more.

    Args:
        log_probs: log-softmax of the logits, in float32.
        targets: The token that comes next.
    """
    return -log_probs.gather(1, targets[:, None])[:, 0]


def kl_divergence(
    clean_log_probs: Float[Tensor, "positions vocab"],
    log_probs: Float[Tensor, "positions vocab"],
) -> Float[Tensor, " positions"]:
    """KL(p || q) = sum_v p_v (log p_v - log q_v) of each position, in nats; p is clean.

    Both are log-softmaxes in float32, so that no probability underflows to log 0. 0 or more, up
    to rounding.
    """
    return torch.linalg.vecdot(clean_log_probs.exp(), clean_log_probs - log_probs)


def ce_loss_score(clean: float, spliced: float, ablated: float) -> float:
    """Share of the loss that splicing the SAE in preserves, zero or mean ablation being none.

    (ablated - spliced) / (ablated - clean), each a mean next-token cross-entropy in nats over the
    same positions. 1 if splicing costs nothing, 0 if it is as bad as ablating, negative if worse.

    Args:
        clean: Loss of the untouched model.
        spliced: Loss with the activation replaced by its reconstruction.
        ablated: Loss with it replaced by zeros, or by the mean activation: other numbers.

    Raises:
        DataError: if ablating does not raise the loss, so that there is nothing to preserve.
    Source: SAEBench, evals/core/main.py (`ce_loss_score`, zero ablation).
    """
    if not ablated > clean:
        raise DataError(
            f"Ablation does not raise the loss ({ablated:.4f} against {clean:.4f} nats), so the "
            "share preserved is undefined. Take more rows, or a site that matters to the model."
        )
    return (ablated - spliced) / (ablated - clean)


def kl_div_score(spliced: float, ablated: float) -> float:
    """(ablated - spliced) / ablated: 1 if predictions are unchanged, 0 as bad as ablating.

    Args:
        spliced: Mean KL from the clean model with the reconstruction in place, in nats.
        ablated: The same with zeros, or the mean activation, in place.

    Raises:
        DataError: if ablating changes no prediction.
    Source: SAEBench, evals/core/main.py (`kl_div_score`, zero ablation).
    """
    if not ablated > 0:
        raise DataError(
            f"Ablation changes no prediction (KL {ablated:.2e} nats), so the share preserved is "
            "undefined. Take more rows, or a site that matters to the model."
        )
    return (ablated - spliced) / ablated
