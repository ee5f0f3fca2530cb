"""A source that gives a task one batch of whatever it reads, and times what all would take."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from saeval.activations import ActivationSource, Batch, Memo, TokenRows, Widths
from saeval.activations.memo import MEMO_BYTES
from saeval.models import LoadedModel
from saeval.sae import SAE, Sites

T = TypeVar("T")


class OutOfTime(Exception):
    """A dry run took longer than it may."""


@dataclass(eq=False)
class Scale:
    """How many times over a stretch of time counts. Set as soon as it is known."""

    factor: float = 1.0
    """Tokens of all batches by tokens of the batch that was read, at least 1."""


@dataclass
class Stopwatch:
    """Runs work that sees one batch, and says how long it would take with all batches.

    Work outside of any loop over batches happens once, whatever their number, so its time counts
    as it is. Time inside of `scaled` counts as often as the batch that was read fits into all.
    """

    allowed: float
    """Seconds on the clock until `OutOfTime`."""
    seconds: float = 0.0
    """What the work being timed would have taken so far, with all batches."""
    spent: float = 0.0
    """Seconds on the clock, in all that was timed."""
    _scales: list[Scale] = field(default_factory=list)
    """Of the loops over batches that are going on now."""
    _since: float = field(default_factory=time.perf_counter)
    """When the stretch began that is not counted yet."""

    def timed(self, work: Callable[[], T]) -> tuple[T, float]:
        """What `work` gives, and the seconds it would take with all batches.

        Raises:
            OutOfTime: if time is up before it is done.
        """
        self._scales.clear()  # loops that work before left unfinished
        self.seconds, self._since = 0.0, time.perf_counter()
        made = work()
        self._count()
        return made, self.seconds

    def check(self) -> None:
        """See that there is time left.

        Raises:
            OutOfTime: if there is none.
        """
        self._count()
        if self.spent > self.allowed:
            raise OutOfTime(f"more than {self.allowed:.0f} s")

    @contextmanager
    def scaled(self, factor: float = 1.0) -> Iterator[Scale]:
        """Count time inside by a factor. It may be set inside, and holds from the beginning.

        Raises:
            OutOfTime: if there is no time left to begin.
        """
        self.check()
        scale = Scale(factor)
        self._scales.append(scale)
        try:
            yield scale
        finally:  # also where a loop is left before its end
            self._count()
            if scale in self._scales:
                self._scales.remove(scale)

    @property
    def in_loop(self) -> bool:
        """Whether a loop over batches is going on."""
        return bool(self._scales)

    def _count(self) -> None:
        """Add the stretch that ends now, and begin another.

        Loops side by side, as in a zip, pass the same time: it counts once, by the larger factor.
        """
        now = time.perf_counter()
        passed, self._since = now - self._since, now
        self.spent += passed
        self.seconds += passed * max((scale.factor for scale in self._scales), default=1.0)


@dataclass(eq=False)
class FirstBatchSource:
    """An `ActivationSource` that reads only the first batch of whatever rows it is asked for.

    Loops over batches end after that one, and the stopwatch counts their time for all batches.
    What comes as a whole array has its full length: the first batch's rows, again and again. So a
    task runs as it would in earnest, on wrong numbers, and every token that it reads is paid for.
    """

    source: ActivationSource
    """The source in earnest, which everything but activations comes from."""
    stopwatch: Stopwatch
    memo: Memo = field(default_factory=Memo)
    shown: int = 0
    """Tokens of the first batch, of the largest rows that were asked for."""
    asked: int = 0
    """Tokens of all those rows."""
    code_bytes: float = 0.0
    """Of an SAE's codes that a run would hold."""
    _batches: dict[str, Batch] = field(default_factory=dict)
    """First batches by the rows' digest."""
    _finals: dict[str, list[Tensor]] = field(default_factory=dict)
    """What the output head reads of them, likewise."""

    @property
    def identity(self) -> str:
        """The source's in earnest, as all down to `token_rows`."""
        return self.source.identity

    @property
    def name(self) -> str:
        """What the source is called."""
        return self.source.name

    @property
    def model(self) -> LoadedModel | None:
        """The model."""
        return self.source.model

    @property
    def sites(self) -> Sites:
        """Where SAEs read and write."""
        return self.source.sites

    @property
    def widths(self) -> Widths:
        """Width at each site."""
        return self.source.widths

    @property
    def context(self) -> int:
        """Most tokens a row may have."""
        return self.source.context

    @property
    def stored_rows(self) -> TokenRows | None:
        """All rows of stored activations."""
        return self.source.stored_rows

    def tokenize(
        self,
        texts: Sequence[str],
        *,
        name: str,
        context: int | None = None,
        overflow: str = "error",
        prepend_bos: bool | None = None,
    ) -> TokenRows:
        """All rows, since tokens are cheap."""
        return self.source.tokenize(
            texts, name=name, context=context, overflow=overflow, prepend_bos=prepend_bos
        )

    def token_rows(self, ids: np.ndarray, *, name: str) -> TokenRows:
        """All rows."""
        return self.source.token_rows(ids, name=name)

    def batches(
        self, rows: TokenRows, positions: Int[np.ndarray, " texts"] | None = None
    ) -> Iterator[Batch]:
        """The first batch alone, or one position of each of its rows."""
        with self._first(rows) as first:
            yield from (
                first if positions is None else [batch.at(positions[batch.rows]) for batch in first]
            )

    def final_hidden(self, rows: TokenRows) -> Iterator[Float[Tensor, "texts seq d_model"]]:
        """The first batch's."""
        with self._first(rows) as first:
            if rows.digest not in self._finals:
                finals = self.source.final_hidden(rows)
                self._finals[rows.digest] = list(islice(finals, len(first)))
            yield from self._finals[rows.digest]

    def splice(
        self, rows: TokenRows, batch: Batch, y_new: Float[Tensor, "texts seq d_out"]
    ) -> Float[Tensor, "texts seq d_model"]:
        """Of the first batch. In a loop over batches, the loop's own factor counts it already."""
        factor = 1.0 if self.stopwatch.in_loop else self._factor(rows, batch)
        with self.stopwatch.scaled(factor):
            return self.source.splice(rows, batch, y_new)

    def release(self, sae: SAE) -> None:
        """Forget the codes of an SAE, once what they would take is noted."""
        bytes_of_all = self.memo.bytes * max(1.0, self.asked / max(1, self.shown))
        self.code_bytes = max(self.code_bytes, min(MEMO_BYTES, bytes_of_all))
        self.memo.release(sae)

    @contextmanager
    def _first(self, rows: TokenRows) -> Iterator[list[Batch]]:
        """The first batch, none if there are no rows; time inside counts for all batches.

        It is read once, since a run reads the activations of rows from the model once: after that
        from the store.
        """
        with self.stopwatch.scaled() as scale:
            if len(rows) and rows.digest not in self._batches:
                batch = next(iter(self.source.batches(rows)))
                self._batches[rows.digest] = replace(batch, stands_for_all=True)
            first = [self._batches[rows.digest]] if len(rows) else []
            if first:
                scale.factor = self._factor(rows, first[0])
            yield first

    def _factor(self, rows: TokenRows, batch: Batch) -> float:
        """Tokens of all rows by those of a batch; the most that was asked for is noted."""
        total = int(rows.attention.sum())
        shown = max(1, int(rows.attention[batch.rows].sum()))
        if total > self.asked:
            self.asked, self.shown = total, shown
        return max(1.0, total / shown)
