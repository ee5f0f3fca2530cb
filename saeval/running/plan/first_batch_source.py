"""A source that shows a task one batch of whatever it reads, and times what the rest would take."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix
from torch import Tensor

from saeval.activations import ActivationSource, Batch, TokenRows
from saeval.activations.pooling import MEMO_BYTES, Encoder, Memo, pooled_x
from saeval.models import LoadedModel
from saeval.sae import SAE, Codes, Site

T = TypeVar("T")


class OutOfTime(Exception):
    """A rehearsal took longer than it may."""


@dataclass(eq=False)
class Share:
    """How much of something is shown while time counts for all of it."""

    factor: float = 1.0
    """All tokens by tokens shown, at least 1."""


@dataclass
class Meter:
    """Seconds that all batches would take, from those that one of them takes."""

    allowed: float
    """Seconds on the clock until `OutOfTime`."""
    seconds: float = 0.0
    """Extrapolated."""
    spent: float = 0.0
    """On the clock, in all that was timed."""
    _open: list[Share] = field(default_factory=list)
    _since: float = field(default_factory=time.perf_counter)

    def timed(self, work: Callable[[], T]) -> tuple[T, float]:
        """What `work` gives, and the seconds it would take with all batches.

        Raises:
            OutOfTime: if time is up before it is done.
        """
        self._open.clear()
        self.seconds, self._since = 0.0, time.perf_counter()
        made = work()
        self._count()
        return made, self.seconds

    def settle(self) -> None:
        """Count what has passed.

        Raises:
            OutOfTime: if more has passed than is allowed.
        """
        self._count()
        if self.spent > self.allowed:
            raise OutOfTime(f"more than {self.allowed:.0f} s")

    @contextmanager
    def share(self, factor: float = 1.0) -> Iterator[Share]:
        """Count what happens inside by its share, which may be set inside."""
        self.settle()
        share = Share(factor)
        self._open.append(share)
        try:
            yield share
        finally:  # also where a loop is left before its end
            self._count()
            if share in self._open:
                self._open.remove(share)

    def _count(self) -> None:
        """Loops side by side share their time, which counts once."""
        now = time.perf_counter()
        passed, self._since = now - self._since, now
        self.spent += passed
        self.seconds += passed * max((share.factor for share in self._open), default=1.0)

    @property
    def inside(self) -> bool:
        """Whether some share is open."""
        return bool(self._open)


@dataclass(eq=False)
class Glimpse:
    """An `ActivationSource` over another, of which it reads one batch.

    Arrays have their full length; what was read stands for the rows that were not.
    """

    source: ActivationSource
    meter: Meter
    memo: Memo = field(default_factory=Memo)
    shown: int = 0
    """Tokens of the largest rows that were read."""
    asked: int = 0
    """Tokens of the largest rows that were asked for."""
    code_bytes: float = 0.0
    """Of the SAE's codes that a run would hold."""
    _batches: dict[str, Batch] = field(default_factory=dict)
    _finals: dict[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """The other source's, as all that follows."""
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
    def site(self) -> Site | None:
        """Where an SAE reads."""
        return self.source.site

    @property
    def write_site(self) -> Site | None:
        """Where it writes."""
        return self.source.write_site

    @property
    def d_in(self) -> int:
        """Width at the read site."""
        return self.source.d_in

    @property
    def d_out(self) -> int:
        """Width at the write site."""
        return self.source.d_out

    @property
    def has_logits(self) -> bool:
        """Whether `final_hidden` and `splice` work."""
        return self.source.has_logits

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

    def batches(self, rows: TokenRows) -> Iterator[Batch]:
        """The first batch alone."""
        with self.meter.share() as share:
            for batch in self._first(rows):
                share.factor = self._factor(rows, batch)
                yield batch

    def codes(self, sae: SAE, rows: TokenRows) -> Iterator[tuple[Batch, Codes]]:
        """Codes of the first batch."""
        with self.meter.share() as share:
            for batch, codes in Encoder(sae, self.memo).codes(rows, self._first(rows)):
                share.factor = self._factor(rows, batch)
                size = codes.index.nbytes // 2 + codes.value.nbytes + codes.offsets.nbytes
                self.code_bytes = min(MEMO_BYTES, self.code_bytes + size * share.factor)
                yield batch, codes

    def activations(self, rows: TokenRows) -> Float[np.ndarray, "tokens d_in"]:
        """The first batch's, again and again up to the number of tokens."""
        with self.meter.share() as share:
            first = self._first(rows)[0]
            share.factor = self._factor(rows, first)
        x = first.x_tokens.float().cpu().numpy()
        return np.resize(x, (int(rows.mask.sum()), x.shape[1]))

    def acts(self, sae: SAE, rows: TokenRows) -> csr_matrix:
        """Likewise."""
        with self.meter.share() as share:
            first = self._first(rows)
            part = Encoder(sae, Memo(0)).acts(rows, first)
            share.factor = self._factor(rows, first[0])
        return csr_matrix(part[np.arange(int(rows.mask.sum())) % len(first[0].x_tokens)])

    def pooled(self, sae: SAE, rows: TokenRows, how: str = "mean") -> csr_matrix:
        """Likewise, up to the number of rows."""
        with self.meter.share() as share:
            first = self._first(rows)
            part = Encoder(sae, Memo(0)).pooled(rows, first, how)
            share.factor = self._factor(rows, first[0])
        return csr_matrix(part[np.arange(len(rows)) % len(first[0].x)])

    def pooled_x(self, rows: TokenRows, how: str = "mean") -> Float[np.ndarray, "texts d_in"]:
        """Likewise."""
        with self.meter.share() as share:
            first = self._first(rows)
            part = pooled_x(first, len(first[0].x), self.d_in, how)
            share.factor = self._factor(rows, first[0])
        return np.resize(part, (len(rows), part.shape[1]))

    def at(
        self, rows: TokenRows, positions: Int[np.ndarray, " texts"]
    ) -> Float[np.ndarray, "texts d_in"]:
        """Likewise."""
        with self.meter.share() as share:
            batch = self._first(rows)[0]
            count = len(batch.x)
            places = np.asarray(positions)[:count]
            part = batch.x[np.arange(count), places].cpu().numpy()
            share.factor = self._factor(rows, batch)
        return np.resize(part, (len(rows), part.shape[1]))

    def codes_at(
        self, sae: SAE, rows: TokenRows, positions: Int[np.ndarray, " texts"]
    ) -> csr_matrix:
        """Codes of what `at` gives."""
        return Encoder(sae, self.memo).at(self.at(rows, positions))

    def final_hidden(self, rows: TokenRows) -> Iterator[Float[Tensor, "texts seq d_model"]]:
        """The first batch's."""
        with self.meter.share() as share:
            if rows.digest not in self._finals:
                self._finals[rows.digest] = list(islice(self.source.final_hidden(rows), 1))
            for found in self._finals[rows.digest]:
                share.factor = self._factor(rows, self._first(rows)[0])
                yield found

    def splice(
        self, rows: TokenRows, batch: Batch, y_new: Float[Tensor, "texts seq d_out"]
    ) -> Float[Tensor, "texts seq d_model"]:
        """Of a batch that was shown; outside of a loop it counts for all of them."""
        factor = 1.0 if self.meter.inside else self._factor(rows, batch)
        with self.meter.share(factor):
            return self.source.splice(rows, batch, y_new)

    def release(self, sae: SAE) -> None:
        """Forget the codes of an SAE."""
        self.memo.release(sae)

    def _first(self, rows: TokenRows) -> list[Batch]:
        """The first batch, read once, as a run reads a recording; none if there are no rows."""
        if not len(rows):
            return []
        if rows.digest not in self._batches:
            self._batches[rows.digest] = next(iter(self.source.batches(rows)))
        return [self._batches[rows.digest]]

    def _factor(self, rows: TokenRows, batch: Batch) -> float:
        total = int(rows.attention.sum())
        shown = max(1, int(rows.attention[batch.rows].sum()))
        if total > self.asked:
            self.asked, self.shown = total, shown
        return max(1.0, total / shown)
