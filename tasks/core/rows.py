"""The rows of tokens that `core` reads, and the units that they form."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Int

from saeval.activations import ActivationSource, TokenRows, beginnings
from saeval.config.counts import Limit, limited_count
from saeval.errors import DataError

from .._draws import generator
from .._texts.corpus import Corpus

Overflow = Literal["error", "truncate", "pack"]
CHARACTERS_PER_TOKEN = 6
# English text has fewer characters per token, so that one try nearly always fills the rows.
JUDGED_TOKENS = 65_536
"""Tokens of the rows that serve cross-entropy and KL, where no number of rows is given."""
_LARGEST_BLOCK = 128
_LEAST_BLOCKS = 64


@dataclass(frozen=True)
class RowForm:
    """How texts become rows."""

    context: int
    """Tokens a row at most, BOS included."""
    overflow: Overflow
    """What happens to longer texts."""
    prepend_bos: bool | None = None
    """Whether rows begin with BOS; None: as is right for the SAEs of the source."""


@dataclass(frozen=True)
class RowLimits:
    """How many rows are read: so many, drawn by the seed, of those that there are."""

    rows: int | None = None
    """Rows at most, before the limit."""
    limit: Limit | None = None
    """Rows at most, or a share of those that would be read without it."""

    @property
    def most(self) -> int | None:
        """Rows that are enough to find all that are read; None: all that there are."""
        numbers = [self.rows, None if isinstance(self.limit, float) else self.limit]
        return min((number for number in numbers if number is not None), default=None)

    def count(self, available: int) -> int:
        """Rows read where so many are available, or `most` of them."""
        return limited_count(self.limit, limited_count(self.rows, available))


@dataclass(frozen=True)
class NamedRows:
    """The rows that are read, with the names of the data and of their units."""

    rows: TokenRows
    """In the order in which they are measured: those that are judged come first."""
    name: str
    unit: str
    """What a unit of evidence is: `row` of tokens, `document`, `unit` of vectors (an image of
    patches), `block` of vectors that come one by one, or `vector`."""
    rows_per_unit: int = 1
    notice: str | None = None
    """What a reader of the scores must know about the data; None: nothing."""
    judged: int = 0
    """How many of the rows, from the first, serve cross-entropy and KL."""
    numbers: Int[np.ndarray, " rows"] | None = None
    """Place of each row among those read, which names it in the evidence whatever the order of
    measurement; None: they are measured in the order in which they were read."""

    @property
    def digest(self) -> str:
        """Digest of the rows in the order in which they were read."""
        if self.numbers is None:
            return self.rows.digest
        return self.rows.take(np.argsort(self.numbers)).digest


def draw(available: int, count: int, seed: int) -> Int[np.ndarray, " count"]:
    """Numbers of so many things out of those available, each once and in random order.

    Where all are wanted, they keep their own order.
    """
    if count >= available:
        return np.arange(available)
    return np.random.default_rng(seed).choice(available, count, replace=False)


def judged_rows(
    rows: TokenRows, number: int | None, seed: int | None
) -> Int[np.ndarray, " judged"]:
    """Places of the rows that serve cross-entropy and KL, in order.

    Args:
        rows: All that are read.
        number: How many at most; None: as many as hold `JUDGED_TOKENS`, BOS among them, and one
            at least.
        seed: Draws them; None: the first ones.
    """
    order = np.arange(len(rows))
    if seed is not None:
        order = generator(seed, "judged rows").permutation(order)
    if number is None:
        tokens = np.cumsum(np.diff(rows.offsets)[order])
        number = max(1, int(np.searchsorted(tokens, JUDGED_TOKENS, side="right")))
    return np.sort(order[:number])


def judged_first(
    data: NamedRows, judged: Int[np.ndarray, " judged"], *, by_length: bool
) -> NamedRows:
    """The same rows in the order in which they are measured, those that are judged first.

    Args:
        data: Rows in the order in which they were read.
        judged: Places of those that serve cross-entropy and KL.
        by_length: Whether rows of like length stand together, among the judged ones and among the
            rest, so that little of a batch is padding.
    """
    rows = data.rows
    lengths = rows.attention.sum(1) if by_length else np.zeros(len(rows))
    numbers = np.lexsort((lengths, ~np.isin(np.arange(len(rows)), judged)))
    return replace(data, rows=rows.take(numbers), judged=len(judged), numbers=numbers)


def stored_vectors(rows: TokenRows, name: str, limits: RowLimits, seed: int) -> NamedRows:
    """Vectors of an array, by the units that they form there, in the order of the array.

    Of vectors that come one by one, neighbours usually come from one text, so blocks of up to 128
    are the units; smaller ones where there would be fewer than 64. Whole blocks are drawn, the
    short one at the array's end among them, and the last of those drawn is cut where that gives
    the number asked for.
    """
    available = len(rows)
    count = limits.count(available)
    if rows.ids.shape[1] > 1:
        return NamedRows(rows.take(np.sort(draw(available, count, seed))), name, "unit")
    size = min(_LARGEST_BLOCK, max(1, count // _LEAST_BLOCKS))
    if count < available:
        order = np.random.default_rng(seed).permutation(-(-available // size))
        sizes = np.minimum(size, available - order * size)
        enough = int(np.searchsorted(np.cumsum(sizes), count)) + 1
        vectors = (np.sort(order[:enough])[:, None] * size + np.arange(size)).ravel()
        rows = rows.take(vectors[vectors < available][:count])
    return NamedRows(rows, name, "block" if size > 1 else "vector", size)


def ready_rows(source: ActivationSource, path: str, limits: RowLimits, seed: int) -> NamedRows:
    """Token rows of a .npy file, as they are.

    Raises:
        DataError: if the file cannot be read, or holds no token rows that fit the model.
    """
    try:
        ids = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"Cannot read token rows from '{path}': {error}. Write them with numpy.save."
        ) from error
    name = Path(path).name
    if ids.ndim:
        ids = ids[draw(len(ids), limits.count(len(ids)), seed)]
    return NamedRows(source.token_rows(ids, name=name), name, "row")


def text_rows(
    source: ActivationSource, corpus: Corpus, form: RowForm, limits: RowLimits, seed: int
) -> NamedRows:
    """Rows of a corpus: one per text, or all texts packed into full rows."""
    if form.overflow == "pack":
        rows = _pack_rows(source, corpus, form, limits, seed)
        return NamedRows(rows, corpus.name, "row", notice=corpus.notice)
    available = len(corpus.texts)
    texts = [corpus.texts[int(i)] for i in draw(available, limits.count(available), seed)]
    rows = source.tokenize(texts, name=corpus.name, **vars(form))
    return NamedRows(rows, corpus.name, "document", notice=corpus.notice)


def _pack_rows(
    source: ActivationSource, corpus: Corpus, form: RowForm, limits: RowLimits, seed: int
) -> TokenRows:
    """Full rows: of texts in random order, or of all texts in their own where all are read."""
    order = np.random.default_rng(seed).permutation(len(corpus.texts))
    shuffled = replace(corpus, texts=[corpus.texts[int(i)] for i in order])
    most = limits.most
    rows = None if most is None else _first_packed_rows(source, shuffled, form, most)
    if rows is not None:
        return rows.take(slice(0, limits.count(len(rows))))
    rows = source.tokenize(corpus.texts, name=corpus.name, **vars(form))
    count = limits.count(len(rows))
    drawn = _first_packed_rows(source, shuffled, form, count) if count < len(rows) else None
    return rows.take(slice(0, count)) if drawn is None else drawn


def _first_packed_rows(
    source: ActivationSource, corpus: Corpus, form: RowForm, count: int
) -> TokenRows | None:
    """The first so many full rows; None where all texts together fill no more than these.

    Only as many texts, and as much of each, as they need are tokenized.
    """
    text_ends = np.cumsum([len(text) for text in corpus.texts])
    characters = CHARACTERS_PER_TOKEN * form.context * count
    while True:
        needed = int(np.searchsorted(text_ends, characters)) + 1
        texts = corpus.texts[:needed]
        if source.model is not None:
            texts = beginnings(source.model.tokenizer, texts, form.context * count)
        rows = source.tokenize(texts, name=corpus.name, **vars(form))
        if len(rows) > count or (len(rows) == count and needed < len(text_ends)):
            return rows.take(slice(0, count))
        if needed >= len(text_ends):
            return None
        characters *= 2


def begin_with_bos(source: ActivationSource, rows: TokenRows) -> bool | None:
    """Whether all rows begin with BOS; None for stored activations and models without BOS."""
    bos = None if source.model is None else source.model.bos_id
    return None if bos is None else bool((rows.ids[:, 0] == bos).all())
