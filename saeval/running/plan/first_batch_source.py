"""A source that gives a task only the first batch of its rows, and estimates the time of all."""

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
class TimeFactor:
    """How many times a stretch of time counts. Set as soon as the factor is known."""

    factor: float = 1.0
    """Tokens of all batches divided by tokens of the first batch, at least 1."""


@dataclass
class Stopwatch:
    """Runs work that sees one batch, and estimates its time with all batches.

    Work outside of any loop over batches happens once, whatever their number, so its time counts
    once. Time inside of `scaled` counts as many times as the first batch fits into all batches.
    """

    allowed: float
    """Seconds on the clock until `OutOfTime`."""
    seconds: float = 0.0
    """What the work being timed would have taken so far, with all batches."""
    spent: float = 0.0
    """Seconds on the clock, in all that was timed."""
    _scales: list[TimeFactor] = field(default_factory=list)
    """Factors of the loops over batches that are running now."""
    _stretch_began: float = field(default_factory=time.perf_counter)
    """Start of the stretch of time that is not counted yet."""

    def timed(self, work: Callable[[], T]) -> tuple[T, float]:
        """The result of `work`, and the seconds it would take with all batches.

        Raises:
            OutOfTime: if time is up before the work is done.
        """
        self._scales.clear()  # earlier work may have left loops unfinished
        self.seconds, self._stretch_began = 0.0, time.perf_counter()
        result = work()
        self._count()
        return result, self.seconds

    def check(self) -> None:
        """Make sure that there is time left.

        Raises:
            OutOfTime: if there is none.
        """
        self._count()
        if self.spent > self.allowed:
            raise OutOfTime(f"more than {self.allowed:.0f} s")

    @contextmanager
    def scaled(self, factor: float = 1.0) -> Iterator[TimeFactor]:
        """Count the time inside this block times a factor.

        The block may still set the factor; it then counts for the whole block.

        Raises:
            OutOfTime: if there is no time left to begin.
        """
        self.check()
        scale = TimeFactor(factor)
        self._scales.append(scale)
        try:
            yield scale
        finally:  # also where a loop is left before its end
            self._count()
            if scale in self._scales:
                self._scales.remove(scale)

    @property
    def in_loop(self) -> bool:
        """Whether a loop over batches is running."""
        return bool(self._scales)

    def _count(self) -> None:
        """Add the stretch that ends now, and begin another.

        Loops side by side, as in a zip, share the same time: it counts once, by the larger factor.
        """
        now = time.perf_counter()
        passed, self._stretch_began = now - self._stretch_began, now
        self.spent += passed
        self.seconds += passed * max((scale.factor for scale in self._scales), default=1.0)


@dataclass(eq=False)
class FirstBatchSource:
    """An `ActivationSource` that reads only the first batch of any rows.

    Loops over batches end after the first, and the stopwatch counts their time for all batches.
    Whole arrays have their full length: the first batch's rows, repeated. So a task runs as in a
    real run, but on wrong numbers, and the time for every token that it reads is counted.
    """

    source: ActivationSource
    """The real source, which gives everything but activations."""
    stopwatch: Stopwatch
    memo: Memo = field(default_factory=Memo)
    sample_tokens: int = 0
    """Tokens of the first batch of the largest rows that the task read."""
    total_tokens: int = 0
    """Tokens of all of those rows."""
    code_bytes: float = 0.0
    """Most bytes of an SAE's codes that a run would hold in memory."""
    _batches: dict[str, Batch] = field(default_factory=dict)
    """First batch by the digest of its rows."""
    _finals: dict[str, list[Tensor]] = field(default_factory=dict)
    """Final hidden states of the first batch, which the output head reads; same keys."""

    @property
    def identity(self) -> str:
        """Identity of the real source. All members down to `token_rows` are the real source's."""
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
        with self._read_first(rows) as first_batches:
            yield from (
                first_batches
                if positions is None
                else [batch.at(positions[batch.rows]) for batch in first_batches]
            )

    def final_hidden(self, rows: TokenRows) -> Iterator[Float[Tensor, "texts seq d_model"]]:
        """Final hidden states of the first batch."""
        with self._read_first(rows) as first_batches:
            if rows.digest not in self._finals:
                finals = self.source.final_hidden(rows)
                self._finals[rows.digest] = list(islice(finals, len(first_batches)))
            yield from self._finals[rows.digest]

    def splice(
        self, rows: TokenRows, batch: Batch, y_new: Float[Tensor, "texts seq d_out"]
    ) -> Float[Tensor, "texts seq d_model"]:
        """The splice of one batch. Inside a loop, the loop's factor scales its time already."""
        factor = 1.0 if self.stopwatch.in_loop else self._factor(rows, batch)
        with self.stopwatch.scaled(factor):
            return self.source.splice(rows, batch, y_new)

    def release(self, sae: SAE) -> None:
        """Note the memory that an SAE's codes would take in a run, then forget the codes."""
        bytes_of_all = self.memo.bytes * max(1.0, self.total_tokens / max(1, self.sample_tokens))
        self.code_bytes = max(self.code_bytes, min(MEMO_BYTES, bytes_of_all))
        self.memo.release(sae)

    @contextmanager
    def _read_first(self, rows: TokenRows) -> Iterator[list[Batch]]:
        """A list of the first batch, or of none without rows. Time inside counts for all batches.

        The batch is read from the source only once, as in a run: later reads come from the store.
        """
        with self.stopwatch.scaled() as scale:
            if len(rows) and rows.digest not in self._batches:
                batch = next(iter(self.source.batches(rows)))
                self._batches[rows.digest] = replace(batch, stands_for_all=True)
            first_batches = [self._batches[rows.digest]] if len(rows) else []
            if first_batches:
                scale.factor = self._factor(rows, first_batches[0])
            yield first_batches

    def _factor(self, rows: TokenRows, batch: Batch) -> float:
        """Tokens of all rows divided by tokens of one batch. The largest rows are remembered."""
        total = int(rows.attention.sum())
        sample_tokens = max(1, int(rows.attention[batch.rows].sum()))
        if total > self.total_tokens:
            self.total_tokens, self.sample_tokens = total, sample_tokens
        return max(1.0, total / sample_tokens)
