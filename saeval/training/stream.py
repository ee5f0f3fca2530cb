"""Activations in random order: from an array on disk, or from a model through a shuffle buffer."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from saeval.errors import DataError
from saeval.training.recipe import Recipe

ActivationPair = tuple[Tensor, Tensor]
"""Float32 activations: those read [tokens d_in], and those to reconstruct [tokens d_out].

The same tensor twice for an ordinary SAE."""
Source = np.ndarray | Tensor | tuple[np.ndarray, np.ndarray] | Iterable
"""An array [tokens d_in]; a pair of arrays for a transcoder; or batches of either, as tensors.

An iterable that is no iterator is started again when it ends."""

BUFFER_BYTES = 256 * 2**20
"""Most bytes in the shuffle buffer."""
BUFFER_TOKENS = 2**18
"""Most activations in the shuffle buffer."""
SAMPLE = 16_384
"""Most activations that scales and thresholds are measured on."""


@runtime_checkable
class Stream(Protocol):
    """Activations for training, and some held out that training never sees."""

    def sample(self) -> ActivationPair:
        """Activations for training, at most `SAMPLE` and in random order."""
        ...

    def held_out(self) -> ActivationPair:
        """The activations held out."""
        ...

    def batches(self) -> Iterator[ActivationPair]:
        """Batches for training: endless, or until the source ends."""
        ...


def open_stream(source: Source, recipe: Recipe) -> Stream:
    """A stream over a source; the recipe's seed decides the order.

    Raises:
        DataError: if the source is misshapen, empty or not finite.
    """
    if isinstance(source, Tensor):
        source = source.numpy()
    if isinstance(source, np.ndarray):
        source = (source, source)
    if isinstance(source, tuple):
        return _open_arrays(source[0], source[1], recipe)
    return _open_batches(source, recipe)


@dataclass(frozen=True)
class ArrayStream:
    """Rows of an array, in a new order each time they have all been seen. The last are held out."""

    x: np.ndarray
    y: np.ndarray
    rows: int
    """Rows for training."""
    recipe: Recipe

    def sample(self) -> ActivationPair:
        """Rows for training, drawn without replacement."""
        generator = self.recipe.generator("fit")
        return self._take_rows(torch.randperm(self.rows, generator=generator)[:SAMPLE].numpy())

    def held_out(self) -> ActivationPair:
        """The last rows."""
        return self._take_rows(slice(self.rows, None))

    def batches(self) -> Iterator[ActivationPair]:
        """Endless batches."""
        generator = self.recipe.generator("order")
        queue = np.zeros(0, np.int64)
        while True:
            while len(queue) < self.recipe.batch_size:
                order = torch.randperm(self.rows, generator=generator).numpy()
                queue = np.concatenate([queue, order])
            batch, queue = np.split(queue, [self.recipe.batch_size])
            # In rising order a memory-mapped file is read faster, and a batch has no order.
            yield self._take_rows(np.sort(batch))

    def _take_rows(self, rows: np.ndarray | slice) -> ActivationPair:
        x = _to_tensor(self.x[rows])
        return x, x if self.y is self.x else _to_tensor(self.y[rows])


def _open_arrays(x: np.ndarray, y: np.ndarray, recipe: Recipe) -> ArrayStream:
    for array in (x, y):
        if array.ndim != 2 or not np.issubdtype(array.dtype, np.floating):
            raise DataError(
                f"Activations must be a floating-point array [tokens, width], not "
                f"{array.dtype} {list(array.shape)}."
            )
    if len(x) != len(y):
        raise DataError(f"{len(x)} activations to read but {len(y)} to reconstruct: they pair up.")
    rows = len(x) - max(1, min(recipe.held_out, len(x) // 10))
    if rows < 2:
        raise DataError(f"{len(x)} activations are too few to train on and to hold some out.")
    return ArrayStream(x, y, rows, recipe)


def _to_tensor(array: np.ndarray) -> Tensor:
    rows = np.ascontiguousarray(array, np.float32)
    return torch.from_numpy(rows if rows.flags.writeable else rows.copy())


class ShuffledStream:
    """Batches from a model, mixed in a buffer so that neighbours in a text come apart."""

    def __init__(self, reader: "_Reader", recipe: Recipe) -> None:
        self._reader = reader
        self._recipe = recipe
        self._held_out = reader.take(recipe.held_out)
        width = sum(part.shape[1] for part in self._held_out)
        capacity = min(BUFFER_TOKENS, BUFFER_BYTES // (4 * width), recipe.tokens)
        self._buffer = reader.take(max(capacity, 2 * recipe.batch_size))

    def sample(self) -> ActivationPair:
        """Activations of the first buffer, in random order."""
        order = torch.randperm(len(self._buffer[0]), generator=self._recipe.generator("fit"))
        return _select(self._buffer, order[:SAMPLE])

    def held_out(self) -> ActivationPair:
        """The first activations read."""
        return self._held_out

    def batches(self) -> Iterator[ActivationPair]:
        """Batches until the source or the training ends.

        Whenever half of the buffer is used up it is filled again, while the training needs more
        than the buffer holds.
        """
        generator = self._recipe.generator("order")
        size, buffer = self._recipe.batch_size, self._buffer
        capacity = len(buffer[0])
        unread = self._recipe.steps * size - capacity
        while len(buffer[0]) >= size:
            buffer = _select(buffer, torch.randperm(len(buffer[0]), generator=generator))
            spare = len(buffer[0]) - (capacity // 2 if unread > 0 else 0)
            stop = max(spare // size, 1) * size
            for start in range(0, stop, size):
                yield _select(buffer, slice(start, start + size))
            buffer = _select(buffer, slice(stop, None))
            if unread > 0:
                more = self._reader.take(min(max(capacity // 2, size), unread))
                unread = unread - len(more[0]) if len(more[0]) else 0
                buffer = _concatenate([buffer, more])


class _Reader:
    """Reads activations from an iterator of batches, in any numbers."""

    def __init__(self, batches: Iterator[ActivationPair]) -> None:
        self._batches = batches
        self._rest: ActivationPair | None = None

    def take(self, count: int) -> ActivationPair:
        """The next `count` activations, fewer if the source ends before.

        Raises:
            DataError: if the source is empty.
        """
        parts = [] if self._rest is None else [self._rest]
        available = sum(len(part[0]) for part in parts)
        while available < count and (pair := next(self._batches, None)) is not None:
            parts.append(pair)
            available += len(pair[0])
        if not parts:
            raise DataError("The source of activations is empty, so there is nothing to train on.")
        joined = _concatenate(parts)
        self._rest = _select(joined, slice(count, None))
        return _select(joined, slice(count))


def _open_batches(source: Iterable, recipe: Recipe) -> ShuffledStream:
    stream = ShuffledStream(_Reader(_pairs(source, recipe.held_out)), recipe)
    if len(stream.sample()[0]) < 2:
        raise DataError(
            f"The source holds no more than the {recipe.held_out} activations to be held out. "
            "Give more of them, or hold out fewer (`held_out`)."
        )
    return stream


def _pairs(source: Iterable, held_out: int) -> Iterator[ActivationPair]:
    """Batches of a source; if it can be restarted, again and again without the first `held_out`."""
    yield from map(_pair, source)
    has_rows = not isinstance(source, Iterator)
    while has_rows:
        has_rows, to_skip = False, held_out
        for pair in map(_pair, source):
            if len(pair[0]) > to_skip:
                yield _select(pair, slice(to_skip, None))
                has_rows = True
            to_skip = max(0, to_skip - len(pair[0]))


def _pair(batch: Tensor | ActivationPair) -> ActivationPair:
    """One batch as a float32 pair.

    Raises:
        DataError: if its shapes are wrong.
    """
    x, y = batch if isinstance(batch, tuple) else (batch, batch)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise DataError(
            f"A batch of activations must be [tokens, width], not {list(x.shape)} to read and "
            f"{list(y.shape)} to reconstruct."
        )
    read = x.detach().float()
    return read, read if y is x else y.detach().float()


def _select(pair: ActivationPair, rows: Tensor | slice) -> ActivationPair:
    x = pair[0][rows]
    return x, x if pair[1] is pair[0] else pair[1][rows]


def _concatenate(pairs: list[ActivationPair]) -> ActivationPair:
    if len(pairs) == 1:
        return pairs[0]
    x = torch.cat([pair[0] for pair in pairs])
    is_one_site = all(pair[1] is pair[0] for pair in pairs)
    return x, x if is_one_site else torch.cat([pair[1] for pair in pairs])
