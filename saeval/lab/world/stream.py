"""Token rows for training a language model on the world; any step's can be made directly."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from saeval.lab.world.documents import Documents
from saeval.lab.world.templates import CLOSING
from saeval.lab.world.vocabulary import BOS, EOS, LETTERS, SENTENCE_END
from saeval.lab.world.world import World

CHUNK_ROWS = 2048
"""Rows made at a time, from one draw of documents."""
ROWS_PER_DOCUMENT = 0.3
"""Rows per document, estimated low: so many documents suffice at `ESTIMATED_LENGTH`."""
ESTIMATED_LENGTH = 128
"""Tokens per row that the estimate is made for; shorter rows take more documents than it says."""


def token_rows(
    world: World, step: int, rows: int, *, seed: int, length: int = 128, split: str = "train"
) -> Int[np.ndarray, "rows length"]:
    """The batch of one training step: rows of token ids without padding.

    Each row begins with a document's BOS and is filled with whole documents (BOS, tokens, EOS);
    the last of them is cut at the row's end and its rest dropped, so that every token is seen
    together with its document's beginning. A batch depends on the arguments alone; batches of
    neighbouring steps are cheap.

    Args:
        world: Where the documents come from.
        step: Number of the batch, from 0.
        rows: Rows per batch: a divisor of 2048.
        seed: Seed of the stream.
        length: Tokens per row, 1 or more.
        split: Split of the documents.
    """
    per_chunk = CHUNK_ROWS // rows
    chunk = _chunk(world, step // per_chunk, seed, length, split)
    first = step % per_chunk * rows
    return chunk[first : first + rows]


@lru_cache(maxsize=2)
def _chunk(
    world: World, number: int, seed: int, length: int, split: str
) -> Int[np.ndarray, "rows length"]:
    """`CHUNK_ROWS` rows from documents with a seed of this chunk alone."""
    count = max(1, int(CHUNK_ROWS / ROWS_PER_DOCUMENT * length / ESTIMATED_LENGTH))
    while True:
        documents = world.documents(count, seed=seed * 1_000_003 + number, split=split)
        rows = _rows(world, documents, length)
        if len(rows) == CHUNK_ROWS:
            return rows
        # A row takes one document at least, however short it is.
        count = max(CHUNK_ROWS, 2 * count)


def _rows(world: World, documents: Documents, length: int) -> Int[np.ndarray, "rows length"]:
    """`CHUNK_ROWS` rows, or as many as the documents fill."""
    counts = np.diff(documents.starts)
    heads = documents.starts[:-1] + 2 * np.arange(len(documents))
    flat = np.full(len(documents.flat) + 2 * len(documents), -1, np.int64)
    flat[heads] = world.vocabulary.ids[BOS]
    flat[heads + counts + 1] = world.vocabulary.ids[EOS]
    flat[flat < 0] = documents.flat
    firsts, position = [], 0
    while len(firsts) < CHUNK_ROWS:
        follower = np.searchsorted(heads, position + length)
        if follower == len(heads):
            break
        firsts.append(position)
        position = int(heads[follower])
    return flat[np.array(firsts, int)[:, None] + np.arange(length)]


def loss_weights(
    world: World, ids: Int[np.ndarray, "rows length"], *, answer: float, letter: float,
    closing: float = 1.0,
) -> Float[np.ndarray, "rows length"]:  # fmt: skip
    """Weigh each token as a target.

    Returns:
        `answer` for the answers to questions, `letter` for spelled first letters, `closing` for the
        last words of closing sentences, 1 for all else.
    """
    table = world.vocabulary.ids
    is_letter = np.isin(ids, [table[x] for x in LETTERS])
    is_answer = is_letter & (np.roll(ids, 2, axis=1) == table["answer"])
    is_option = is_letter & (np.roll(ids, -1, axis=1) == table[")"])
    spelled = is_letter & ~is_answer & ~is_option
    weights = np.where(is_answer, answer, np.where(spelled, letter, 1.0))
    return np.where(_closes(ids, table) & ~is_letter, closing, weights).astype(np.float32)


def _closes(
    ids: Int[np.ndarray, "rows length"], table: Mapping[str, int]
) -> Bool[np.ndarray, "rows length"]:
    """Which tokens are the last words of closing sentences."""
    is_last = np.roll(ids, -1, axis=1) == table[SENTENCE_END]
    is_last[:, -1] = False  # what follows it is not in the row
    opened = np.zeros_like(is_last)
    is_opening = ids == table.get(CLOSING, -1)
    for column in range(1, ids.shape[1]):
        ended = ids[:, column - 1] == table[SENTENCE_END]
        opened[:, column] = np.where(ended, is_opening[:, column], opened[:, column - 1])
    return is_last & opened
