"""SAEBench's linear probes of first letters, trained by Adam.

Source: SAEBench 0.6.0, evals/absorption, as read.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix
from scipy.special import expit

EPOCHS = 50
RATES = (1e-2, 1e-5)
"""Adam's, falling exponentially from the first epoch to the last."""


@dataclass(frozen=True)
class Training:
    """How a probe is trained."""

    batch: int
    weight_decay: float
    l1: float = 0.0
    """Weight of the summed absolute weights, averaged over letters."""


TRUTH = Training(batch=64, weight_decay=1e-4)
SPARSE = Training(batch=4096, weight_decay=1e-6, l1=0.01)


def fit_probe(
    x: Float[np.ndarray, "rows features"] | csr_matrix,
    label: Bool[np.ndarray, "rows letters"],
    training: Training,
    rng: np.random.Generator,
    fan_in: int | None = None,
) -> tuple[Float[np.ndarray, "letters features"], Float[np.ndarray, " letters"]]:
    """Weights and biases of one-against-rest probes, by Adam on weighted binary cross-entropy.

    Args:
        x: Features, dense or sparse.
        label: Which rows are of which letter.
        training: Batches and penalties.
        rng: Draws first weights, as `torch.nn.Linear` does, and the order of rows.
        fan_in: Features that first weights are drawn for, where some were left out of x.
    """
    (rows, letters), matrix = label.shape, cast("Any", x)
    bound = 1 / np.sqrt(fan_in or matrix.shape[1])
    initial = rng.uniform(-bound, bound, (letters, matrix.shape[1] + 1)).astype(np.float32)
    weight, bias = (torch.from_numpy(start.copy()) for start in (initial[:, :-1], initial[:, -1]))
    optimiser = torch.optim.Adam([weight, bias], weight_decay=training.weight_decay)
    present = label.sum(0)
    # Each letter's positives weigh together as much as its negatives.
    positive = ((rows - present) / np.maximum(present, 1)).astype(np.float32)
    for epoch in range(EPOCHS):
        optimiser.param_groups[0]["lr"] = RATES[0] * (RATES[1] / RATES[0]) ** (epoch / EPOCHS)
        order = rng.permutation(rows)
        for start in range(0, rows, training.batch):
            batch = order[start : start + training.batch]
            batch_x, batch_label = matrix[batch], label[batch]
            slope = _slope(batch_x @ weight.numpy().T + bias.numpy(), batch_label, positive)
            gradient = (batch_x.T @ slope).T + np.float32(training.l1 / letters) * np.sign(
                weight.numpy()
            )
            weight.grad = torch.from_numpy(np.ascontiguousarray(gradient, np.float32))
            bias.grad = torch.from_numpy(slope.sum(0))
            optimiser.step()
    return weight.numpy(), bias.numpy()


def _slope(
    logits: Float[np.ndarray, "rows letters"],
    label: Bool[np.ndarray, "rows letters"],
    positive: Float[np.ndarray, " letters"],
) -> Float[np.ndarray, "rows letters"]:
    """Gradient, by the logits, of the mean binary cross-entropy with weighted positives."""
    chance = expit(logits)
    return np.where(label, positive * (chance - 1), chance).astype(np.float32) / label.size
