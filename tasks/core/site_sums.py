"""Statistics of a site's activations before any SAE: their mean, and the spread of each unit."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from saeval import metrics

from .row_sums import RowSums, Statistics


@dataclass(frozen=True)
class SiteSums:
    """Sums over counted tokens of the target activation y, unit by unit, in float64."""

    statistics: Statistics
    """`tokens`, `directed` (tokens whose y is not zero), `values` (tokens times d_out), `sq_norm`
    (of y) and `sq_dev` (of y from the mean)."""
    means: Float[np.ndarray, "units d_out"]
    """Mean y of each unit; the overall mean where a unit has no token."""
    mean: Float[np.ndarray, " d_out"]
    """Mean y over all tokens."""


def site_sums(
    batches: Iterable[tuple[Int[Tensor, " tokens"], Float[Tensor, "tokens d_out"]]], units: int
) -> SiteSums:
    """One pass over batches: the unit of each counted token, and its activation.

    The spread comes from sums of y and |y|^2 about the first batch's mean: about zero, the
    residual stream's own mean would drown it, and about the final mean it would take two passes.
    """
    sums = RowSums(units)
    shift = total = torch.zeros(0)
    for unit, y in batches:
        if not len(total):
            shift = y.mean(0) if len(y) else y.new_zeros(y.shape[1])
            total = torch.zeros(units, y.shape[1], dtype=torch.float64)
        total.index_add_(0, unit.cpu(), (y - shift).cpu().double())
        norm = metrics.squared_norm(y)
        sums.add(
            unit,
            tokens=torch.ones_like(norm),
            directed=metrics.directed(norm),
            sq_norm=norm,
            sq_dev=metrics.squared_deviation(y, shift),
        )
    return _centre_on_mean(sums.statistics(), shift.cpu().double().numpy(), total.numpy())


def _centre_on_mean(
    statistics: Statistics,
    shift: Float[np.ndarray, " d_out"],
    total: Float[np.ndarray, "units d_out"],
) -> SiteSums:
    """Move squared deviations from the shift to the mean: -2 d.sum(y - shift) + n |d|^2."""
    tokens = statistics["tokens"]
    offset = total.sum(0) / max(tokens.sum(), 1)
    deviations = statistics["sq_dev"] - 2 * total @ offset + tokens * (offset @ offset)
    unit_offsets = np.where(tokens[:, None] > 0, total / np.maximum(tokens, 1)[:, None], offset)
    return SiteSums(
        statistics | {"sq_dev": np.maximum(deviations, 0), "values": tokens * len(shift)},
        shift + unit_offsets,
        shift + offset,
    )
