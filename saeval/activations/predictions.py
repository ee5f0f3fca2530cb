"""Which next-token predictions count: those that a counted token makes of a counted one."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from saeval.activations.protocol import Batch
from saeval.activations.rows import TokenRows


@dataclass(frozen=True, eq=False)
class Predictions:
    """The next token at each position of a batch, and where it is one that counts."""

    target: Int[Tensor, "texts seq"]
    """Id of the token that follows; any id where none does."""
    counts: Bool[Tensor, "texts seq"]
    """Whether both the token and the one that follows count, so that no special token (BOS, EOS,
    padding) is ever predicted."""
    is_followed: Bool[Tensor, "texts seq"]
    """Whether the token counts and any other follows it, special ones too."""


def predictions(rows: TokenRows, batch: Batch) -> Predictions:
    """The predictions of one batch of rows, on the device of its mask."""
    device = batch.mask.device
    ids, attention, mask = (
        torch.from_numpy(array[batch.rows].copy()).to(device)
        for array in (rows.ids, rows.attention, rows.mask)
    )
    return Predictions(ids.long().roll(-1, 1), mask & _shifted(mask), mask & _shifted(attention))


def _shifted(at: Bool[Tensor, "texts seq"]) -> Bool[Tensor, "texts seq"]:
    """What holds of the next position; False at the last one."""
    return torch.nn.functional.pad(at[:, 1:], (0, 1))
