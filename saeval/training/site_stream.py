"""Activations of a model at a site, for rows that are made or read while training runs."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor

from saeval.activations import ModelSource, TokenRows
from saeval.errors import DataError
from saeval.training.stream import ActivationPair


@dataclass(frozen=True)
class SiteStream(Iterable[ActivationPair]):
    """Counted activations, batch by batch. Every iteration starts with the first row."""

    source: ModelSource
    rows: Callable[[], Iterator[TokenRows]]
    """The rows, from the first."""

    def __iter__(self) -> Iterator[ActivationPair]:
        for rows in self.rows():
            for batch in self.source.batches(rows):
                x: Tensor = batch.x_tokens.cpu()
                yield x, x if batch.y is batch.x else batch.y_tokens.cpu()

    def count_tokens(self, most: int) -> int:
        """Number of tokens that count, of all rows or until `most` are reached. No model runs.

        Raises:
            DataError: if no token counts.
        """
        count = 0
        for rows in self.rows():
            count += int(rows.mask.sum())
            if count >= most:
                break
        if not count:
            raise DataError("The texts hold no token that counts. Give other texts.")
        return count
