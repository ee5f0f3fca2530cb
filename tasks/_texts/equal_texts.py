"""Which texts say the same: equal but for how they are written, or nearly equal."""

import itertools
import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from scipy import sparse
from scipy.sparse import csgraph

NEAR = 0.8
"""Share of word triples, of all that either text has, from which two texts are near-duplicates."""
_TRIPLE = 3
_COMMON = 10
"""Triples of more texts than this are not looked at in all pairs."""
_PAIRS = 1 << 14
"""Pairs compared at a time."""


def plain(text: str) -> str:
    """A text without what the eye does not see.

    Unicode forms are made one (NFKC), characters without width go, runs of blanks are one space.
    """
    composed = unicodedata.normalize("NFKC", text)
    seen = "".join(c for c in composed if c.isspace() or unicodedata.category(c) != "Cf")
    return re.sub(r"\s+", " ", seen).strip()


def groups(texts: Sequence[str]) -> Int[np.ndarray, " texts"]:
    """A number for each text; near-duplicates, also by way of third texts, share theirs.

    Two texts are near-duplicates if at least `NEAR` of all word triples that either has are in
    both, after `plain` and without regard to case and punctuation. A text of fewer than three
    words is near those of the same words only.
    """
    has = _triples(texts)
    first, second = _candidates(has)
    near = np.zeros(len(first), bool)
    size = np.asarray(has.sum(1)).ravel()
    for start in range(0, len(first), _PAIRS):
        a, b = first[start : start + _PAIRS], second[start : start + _PAIRS]
        shared = np.asarray(has[a].multiply(has[b]).sum(1)).ravel()
        near[start : start + _PAIRS] = shared >= NEAR * (size[a] + size[b] - shared)
    links = (np.ones(near.sum(), bool), (first[near], second[near]))
    graph = sparse.csr_matrix(links, shape=(len(texts), len(texts)))
    return csgraph.connected_components(graph, directed=False)[1].astype(np.int64)


def _triples(texts: Sequence[str]) -> sparse.csr_matrix:
    """[texts, triples]: 1 where a text has a triple of words."""
    number: dict[tuple[str, ...], int] = {}
    rows: list[int] = []
    columns: list[int] = []
    for row, text in enumerate(texts):
        words = re.findall(r"\w+", plain(text).casefold())
        has = {tuple(words[i : i + _TRIPLE]) for i in range(max(1, len(words) - _TRIPLE + 1))}
        rows += [row] * len(has)
        columns += [number.setdefault(triple, len(number)) for triple in has]
    ones = np.ones(len(rows), np.int32)
    return sparse.csr_matrix((ones, (rows, columns)), shape=(len(texts), len(number)))


def _candidates(
    has: sparse.csr_matrix,
) -> tuple[Int[np.ndarray, " pairs"], Int[np.ndarray, " pairs"]]:
    """Pairs of texts that share a triple; of common triples only those that follow each other.

    All pairs of a common triple would cost the square of its number of texts; as neighbours, the
    copies of one text are still linked into one group.
    """
    by_triple = has.tocsc()
    by_triple.sort_indices()
    pairs = set()
    for low, high in itertools.pairwise(by_triple.indptr):
        rows = list(by_triple.indices[low:high])
        few = len(rows) <= _COMMON
        pairs.update(itertools.combinations(rows, 2) if few else itertools.pairwise(rows))
    found = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]
