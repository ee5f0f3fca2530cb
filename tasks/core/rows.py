"""The rows of tokens that `core` reads, and the units that they form."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from saeval.activations import ActivationSource, TokenRows, beginnings
from saeval.config.counts import Limit, limited_count
from saeval.errors import DataError

from .._texts.corpus import Corpus

Overflow = Literal["error", "truncate", "pack"]
CHARACTERS_PER_TOKEN = 6
# English text has fewer characters per token, so that one try nearly always fills the rows.
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
    """How many rows are read: the first so many of those that there are."""

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
    name: str
    unit: str
    """What a unit of evidence is: `row` of tokens, `document`, `unit` of vectors (an image of
    patches), `block` of vectors that come one by one, or `vector`."""
    rows_per_unit: int = 1
    notice: str | None = None
    """What a reader of the scores must know about the data; None: nothing."""


def stored_vectors(rows: TokenRows, name: str, limits: RowLimits) -> NamedRows:
    """Vectors of an array, by the units that they form there.

    Of vectors that come one by one, neighbours usually come from one text, so blocks of up to 128
    are the units; smaller ones where there would be fewer than 64.
    """
    rows = rows.take(slice(0, limits.count(len(rows))))
    if rows.ids.shape[1] > 1:
        return NamedRows(rows, name, "unit")
    size = min(_LARGEST_BLOCK, max(1, len(rows) // _LEAST_BLOCKS))
    return NamedRows(rows, name, "block" if size > 1 else "vector", size)


def ready_rows(source: ActivationSource, path: str, limits: RowLimits) -> NamedRows:
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
        ids = ids[: limits.count(len(ids))]
    return NamedRows(source.token_rows(ids, name=name), name, "row")


def text_rows(
    source: ActivationSource, corpus: Corpus, form: RowForm, limits: RowLimits
) -> NamedRows:
    """Rows of a corpus: one per text, or all texts packed into full rows."""
    if form.overflow == "pack":
        rows = _pack_rows(source, corpus, form, limits)
        return NamedRows(rows, corpus.name, "row", notice=corpus.notice)
    texts = corpus.texts[: limits.count(len(corpus.texts))]
    rows = source.tokenize(texts, name=corpus.name, **vars(form))
    return NamedRows(rows, corpus.name, "document", notice=corpus.notice)


def _pack_rows(
    source: ActivationSource, corpus: Corpus, form: RowForm, limits: RowLimits
) -> TokenRows:
    """Full rows. Only as many texts, and as much of each, as they need are tokenized."""
    limit = limits.most
    text_ends = np.cumsum([len(text) for text in corpus.texts])
    characters = (
        int(text_ends[-1]) if limit is None else CHARACTERS_PER_TOKEN * form.context * limit
    )
    while True:
        count = int(np.searchsorted(text_ends, characters)) + 1
        texts = corpus.texts[:count]
        if limit is not None and source.model is not None:
            texts = beginnings(source.model.tokenizer, texts, form.context * limit)
        rows = source.tokenize(texts, name=corpus.name, **vars(form))
        if limit is None or len(rows) >= limit or count >= len(text_ends):
            return rows.take(slice(0, limits.count(len(rows))))
        characters *= 2
