"""Resampling: which rows are drawn together, and with which weights.

Replicates reweight clusters with independent exponential weights (the Bayesian bootstrap, Rubin
1981) instead of drawing them with replacement. Both have the same spread to first order, but no
cluster ever drops out, so a rare class, part or setting cannot vanish from a replicate and leave
the statistic undefined.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

MOST_BLOCKS = 4096
"""If there are more clusters, they are put into this many random blocks, which are resampled.

The standard error from so many blocks is itself within about 1 % (1 / sqrt(2 * 4096)), less than
what 2,000 replicates leave; a million latents then cost little more than a thousand documents.
"""
_CELLS = 2**19
"""Numbers in memory at once: 4 MB of float64."""


@dataclass(frozen=True)
class Design:
    """Which rows are resampled together. Depends only on the clusters, not on the scores."""

    block: Int[np.ndarray, " rows"]
    """int64 block of each row, counted from 0."""
    blocks: int
    clusters: int
    """Independent clusters of rows: as many as blocks, unless there are very many."""
    digest: bytes
    """sha256 of the ordered cluster names, the root of the random weights."""


def _names_digest(names: pd.DataFrame) -> bytes:
    """Sha256 of the rows of `names`, in order. Lengths tell "a", "bc" from "ab", "c"."""
    digest = hashlib.sha256()
    for name, column in names.items():
        if pd.api.types.is_integer_dtype(column.dtype):
            data = column.to_numpy(np.int64).astype("<i8").tobytes()
        else:
            data = "".join(f"{len(text)}:{text}" for text in column.astype(str)).encode()
        digest.update(f"{name}:{column.dtype.kind}:{len(data)};".encode() + data)
    return digest.digest()


def design(names: pd.DataFrame) -> Design:
    """The design in which rows of equal names are one cluster. The order of rows does not matter.

    Args:
        names: One row per unit; the columns together name its cluster.
    """
    codes, order = _ordered_codes(names)
    digest = _names_digest(order)
    clusters = len(order)
    if clusters <= MOST_BLOCKS:
        return Design(codes, clusters, clusters, digest)
    shuffled = _generator(digest, "blocks").permutation(clusters)
    return Design((shuffled % MOST_BLOCKS)[codes], MOST_BLOCKS, clusters, digest)


def _ordered_codes(names: pd.DataFrame) -> tuple[Int[np.ndarray, " rows"], pd.DataFrame]:
    """The place of each row's name among the sorted distinct names, and those names."""
    grouped = names.groupby(list(names.columns), sort=True, dropna=False)
    codes = grouped.ngroup().to_numpy(np.int64)
    first_rows = np.full(int(codes.max()) + 1, -1)
    first_rows[codes[::-1]] = np.arange(len(codes))[::-1]
    return codes, names.iloc[first_rows]


def _generator(digest: bytes, *purpose: int | str) -> np.random.Generator:
    seed = hashlib.sha256(digest + repr(purpose).encode()).digest()
    return np.random.default_rng(np.frombuffer(seed, "<u4"))


def weightings(
    design: Design, replicates: int, seed: int, width: int
) -> Iterator[Float[np.ndarray, "weightings blocks"]]:
    """Weights of each block, a few replicates at a time. The first row of every yield is ones.

    The weights depend only on the seed and the ordered cluster names. So two SAEs over the same
    units get the same weights, which is what pairs them.

    Args:
        design: The design.
        replicates: Replicates in all.
        seed: Seed of the weights.
        width: Numbers that the caller keeps in memory per replicate; it bounds how many replicates
            come at a time.
    """
    generator = _generator(design.digest, "weights", seed)
    step = max(1, _CELLS // max(width, design.blocks))
    for start in range(0, replicates, step):
        count = min(step, replicates - start)
        weights = np.ones((count + 1, design.blocks))
        generator.standard_exponential(out=weights[1:])
        yield weights
