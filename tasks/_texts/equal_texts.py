"""Texts that say the same: equal but for how they are written, or nearly equal."""

import functools
import itertools
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Int
from scipy import sparse
from scipy.sparse import csgraph

_BLANKS = re.compile("[\\s\u2800]+")
"""Blanks, that of Braille among them."""
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
    "\U000e0100-\U000e01ef]"
)
"""What Unicode calls default ignorable beyond its category Cf."""
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Thai, Lao, Burmese, Khmer, Japanese, Chinese: no spaces, so each character counts as a word."""
_WORD = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}]+")
NEAR = 0.8
"""Share of word triples, of all that either text has, from which two texts are near-duplicates."""
_WORDS_PER_TRIPLE = 3
_MOST_TEXTS = 10
"""A triple in more texts than this is common, and not all pairs of its texts are compared."""
_PAIRS_PER_BLOCK = 1 << 14
"""Pairs compared at a time."""


def visible_text(text: str, form: Literal["NFC", "NFKC"] = "NFKC") -> str:
    """A text without differences that the eye does not see.

    Equivalent Unicode forms become one, characters that are not shown (without width, controls,
    fillers, variation selectors) are dropped, and runs of blanks become one space.

    Args:
        text: Any text.
        form: NFC keeps what is only compatible apart, such as x with a raised 2 and x2.
    """
    composed = unicodedata.normalize(form, text)
    # A table takes a text at once; asking character by character costs minutes on large files.
    visible = composed.translate(_invisible(128 if composed.isascii() else sys.maxunicode + 1))
    return _BLANKS.sub(" ", visible).strip()


@functools.cache
def _invisible(limit: int) -> Mapping[int, None]:
    """The characters below a number that are not shown, as `str.translate` takes them."""
    characters = map(chr, range(limit))
    hidden = [
        ord(c)
        for c in characters
        if (unicodedata.category(c) in ("Cf", "Cc") and not c.isspace()) or _IGNORABLE.match(c)
    ]
    return dict.fromkeys(hidden)


def groups(texts: Sequence[str]) -> Int[np.ndarray, " texts"]:
    """A group number for each text. Near-duplicates share theirs, also through third texts.

    Two texts are near-duplicates if at least `NEAR` of all word triples that either has are in
    both, after `visible_text` and without regard to case and punctuation. A text of fewer than
    three words is near those of the same words only.
    """
    has_triple = _triple_matrix(texts)
    first, second = _candidate_pairs(has_triple)
    near = np.zeros(len(first), bool)
    size = np.asarray(has_triple.sum(1)).ravel()
    for start in range(0, len(first), _PAIRS_PER_BLOCK):
        a, b = first[start : start + _PAIRS_PER_BLOCK], second[start : start + _PAIRS_PER_BLOCK]
        shared = np.asarray(has_triple[a].multiply(has_triple[b]).sum(1)).ravel()
        near[start : start + _PAIRS_PER_BLOCK] = shared >= NEAR * (size[a] + size[b] - shared)
    links = (np.ones(near.sum(), bool), (first[near], second[near]))
    graph = sparse.csr_matrix(links, shape=(len(texts), len(texts)))
    return csgraph.connected_components(graph, directed=False)[1].astype(np.int64)


def _triple_matrix(texts: Sequence[str]) -> sparse.csr_matrix:
    """[texts, triples]: 1 where a text has a triple of words."""
    number: dict[tuple[str, ...], int] = {}
    rows: list[int] = []
    columns: list[int] = []
    for row, text in enumerate(texts):
        words = _WORD.findall(visible_text(text).casefold())
        triples = {
            tuple(words[i : i + _WORDS_PER_TRIPLE])
            for i in range(max(1, len(words) - _WORDS_PER_TRIPLE + 1))
        }
        rows += [row] * len(triples)
        columns += [number.setdefault(triple, len(number)) for triple in triples]
    ones = np.ones(len(rows), np.int32)
    return sparse.csr_matrix((ones, (rows, columns)), shape=(len(texts), len(number)))


def _candidate_pairs(
    has_triple: sparse.csr_matrix,
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Pairs of texts that share a triple; for common triples only pairs of consecutive texts.

    All pairs of a common triple would cost the square of its number of texts; as neighbours, the
    copies of one text are still linked into one group.
    """
    by_triple = has_triple.tocsc()
    by_triple.sort_indices()
    pairs = set()
    for low, high in itertools.pairwise(by_triple.indptr):
        rows = list(by_triple.indices[low:high])
        few = len(rows) <= _MOST_TEXTS
        pairs.update(itertools.combinations(rows, 2) if few else itertools.pairwise(rows))
    pair_array = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    return pair_array[:, 0], pair_array[:, 1]
