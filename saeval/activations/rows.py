"""Token rows: which tokens a model reads, which of them are text, and which count."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Int32

from saeval.errors import DataError


@dataclass(frozen=True, eq=False)
class TokenRows:
    """Rows of token ids, each one text or one packed row, padded on the right."""

    name: str
    """The rows' name in messages. No part of the digest."""
    ids: Int32[np.ndarray, "texts seq"]
    """Token ids; at padding any valid id."""
    attention: Bool[np.ndarray, "texts seq"]
    """True where there is a token, False at padding."""
    mask: Bool[np.ndarray, "texts seq"]
    """True at the tokens that count: all but special ones (BOS, EOS) and padding."""
    labels: Int[np.ndarray, " texts"] | None = None
    """Label of each row, if stored activations have labels. No part of the digest."""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def digest(self) -> str:
        """sha256 over the three arrays."""
        digest = hashlib.sha256(repr(self.ids.shape).encode())
        for array in (self.ids, self.attention, self.mask):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    @cached_property
    def offsets(self) -> Int[np.ndarray, " texts_plus_1"]:
        """Start of each row's tokens without any padding, then the number of all tokens."""
        return np.concatenate([[0], np.cumsum(self.attention.sum(1))])

    def take(self, index: Any) -> "TokenRows":
        """Some of the rows: a slice, positions or a boolean per row."""
        labels = None if self.labels is None else self.labels[index]
        return TokenRows(
            self.name, self.ids[index], self.attention[index], self.mask[index], labels
        )

    def groups(self, batch_tokens: int) -> list[slice]:
        """Slices of consecutive rows: at most so many positions, but at least one row each."""
        size = max(1, batch_tokens // max(1, self.ids.shape[1]))
        return [slice(i, min(i + size, len(self))) for i in range(0, len(self), size)]


def pad_rows(name: str, rows: list[list[int]], special: frozenset[int]) -> TokenRows:
    """Rows of ids of any lengths, padded on the right to the longest."""
    lengths = np.array([len(row) for row in rows])
    ids = np.zeros((len(rows), lengths.max()), dtype=np.int32)
    for row, tokens in zip(ids, rows, strict=True):
        row[: len(tokens)] = tokens
    attention = np.arange(ids.shape[1]) < lengths[:, None]
    return TokenRows(name, ids, attention, attention & ~np.isin(ids, list(special)))


def check_ids(name: str, ids: np.ndarray, vocab_size: int, context: int) -> np.ndarray:
    """Ready-made token rows as int32, checked against the model.

    Raises:
        DataError: if they are no integers [texts, seq], are empty or longer than the context, or
            hold ids outside the vocabulary.
    """
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
        raise DataError(
            f"'{name}' holds {ids.dtype} of shape {list(ids.shape)}, not token rows: integers "
            "[texts, seq]. Save the ids that a tokenizer gave as a two-dimensional integer array."
        )
    if ids.size == 0:
        raise DataError(f"'{name}' holds no tokens: its shape is {list(ids.shape)}.")
    if ids.shape[1] > context:
        raise DataError(
            f"The rows of '{name}' have {ids.shape[1]} tokens, but the model's context is "
            f"{context}. Cut the rows, or take a model with a longer context."
        )
    wrong = np.argwhere((ids < 0) | (ids >= vocab_size))
    if len(wrong):
        row, position = wrong[0]
        raise DataError(
            f"'{name}' holds id {ids[row, position]} at row {row}, position {position}, outside "
            f"the model's vocabulary of {vocab_size}. Were the rows made with another tokenizer?"
        )
    return ids.astype(np.int32)


def mask_padding(ids: Int32[np.ndarray, "texts seq"], padding: int | None) -> np.ndarray:
    """False at the trailing padding of each row, True elsewhere."""
    if padding is None:
        return np.ones(ids.shape, dtype=bool)
    is_token = np.logical_or.accumulate((ids != padding)[:, ::-1], axis=1)[:, ::-1]
    return np.ascontiguousarray(is_token)
