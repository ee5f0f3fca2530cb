"""Float64 sums of per-token statistics, separately for each unit of tokens."""

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from saeval.errors import DataError

Statistics = dict[str, Float[np.ndarray, "_"]]
"""Name of a statistic -> its sum in each unit."""


class RowSums:
    """A table of sums that grows batch by batch, since a corpus does not fit in memory at once."""

    def __init__(self, units: int) -> None:
        self._units = units
        self._sums: dict[str, Float[Tensor, " units"]] = {}

    def add(self, unit: Int[Tensor, " tokens"], **values: Shaped[Tensor, " tokens"]) -> None:
        """Add every statistic of these tokens to the units they lie in."""
        for name, value in values.items():
            sums = self._sums.setdefault(name, torch.zeros(self._units, dtype=torch.float64))
            sums.index_add_(0, unit.cpu(), value.cpu().double())

    def statistics(self) -> Statistics:
        """All sums, units without a token at 0.

        Raises:
            DataError: if one is NaN or infinite.
        """
        for name, sums in self._sums.items():
            if not sums.isfinite().all():
                unit = int((~sums.isfinite()).nonzero()[0])
                raise DataError(
                    f"'{name}' is {float(sums[unit])} in unit {unit}: the SAE or the model gives "
                    "values that are not finite there. Compute in float32, or look at that input."
                )
        return {name: sums.numpy() for name, sums in self._sums.items()}


def as_read(rows: Statistics, numbers: Int[np.ndarray, " rows"]) -> Statistics:
    """Columns over measured rows, which were read as these numbers, in the order of reading."""
    order = np.argsort(numbers)
    return {name: sums[order] for name, sums in rows.items()}


def first_rows(rows: Statistics, count: int) -> Statistics:
    """The first so many rows of each column."""
    return {name: sums[:count] for name, sums in rows.items()}
