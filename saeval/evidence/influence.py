"""How much each cluster of units moves a statistic, and a difference of two."""

from collections.abc import Callable, Iterator
from typing import cast

import numpy as np
from jaxtyping import Bool, Float

from saeval.evidence.aggregators import Numbers
from saeval.evidence.replicates import MetricSample, statistic_of_sums

STEP = 0.01
"""Share of a cluster's weight that is taken away. Taking away all of it could leave a class, part
or setting empty."""
NOTABLE = 0.05
"""Share of the largest contribution from which a cluster counts as differing."""
ROUNDING = 1e-12
"""Relative size up to which a move is rounding."""
_CELLS = 2**19
"""Numbers in memory at once: 4 MB of float64."""


def influences(sample: MetricSample) -> Float[np.ndarray, " blocks"]:
    """Derivative of the statistic by the weight of each block of clusters.

    0 where it is undefined. The sum of their squares is about the variance of the statistic.
    """
    changed = np.concatenate([numbers[:1] - numbers[1:] for numbers in _with_less(sample)])
    return np.nan_to_num(changed / STEP, nan=0.0, posinf=0.0, neginf=0.0)


def _with_less(sample: MetricSample) -> Iterator[Numbers]:
    """The statistic, and then that with a little less of each block, some blocks at a time."""
    for start, stop in _portions(sample):
        if sample.aggregator.of_sums:
            total, own = sample.sums, sample.sums_of_blocks(start, stop)
            yield statistic_of_sums(sample, np.concatenate([total, total - STEP * own]))
        else:
            weights = np.ones((stop - start + 1, sample.design.blocks))
            weights[np.arange(1, stop - start + 1), np.arange(start, stop)] -= STEP
            rows = weights[:, sample.design.block] * sample.weight
            of_rows = cast("Callable[..., Numbers]", sample.aggregator.of_rows)
            yield of_rows(sample.columns, rows, sample.settings)


def differing(a: MetricSample, b: MetricSample) -> int:
    """Blocks of clusters in which two samples of one design differ.

    A block differs by how far the statistic moves if the block alone is taken from the other
    sample. Those that move it by less than a twentieth of what the largest does, such as rows
    whose rank changed because another row moved, do not count.
    """
    if not _have_equal_groups(a, b):
        return int(_blocks_with_other_columns(a, b).sum())
    swapped = list(_with_swapped(a, b))
    moves = np.abs(np.concatenate([numbers[:1] - numbers[1:] for numbers in swapped]))
    is_undefined = ~np.isfinite(moves)
    largest = float(moves[~is_undefined].max(initial=0.0))
    if largest <= ROUNDING * max(1.0, abs(float(swapped[0][0]))):
        return int(is_undefined.sum())
    return int((is_undefined | (moves > NOTABLE * largest)).sum())


def _have_equal_groups(a: MetricSample, b: MetricSample) -> bool:
    keys_a, keys_b = a.groups[1], b.groups[1]
    return all(np.array_equal(keys_a[name], keys_b[name]) for name in keys_a)


def _blocks_with_other_columns(a: MetricSample, b: MetricSample) -> Bool[np.ndarray, " blocks"]:
    is_other = np.any([a.columns[role] != b.columns[role] for role in a.columns], axis=0)
    return np.bincount(a.design.block, is_other, a.design.blocks) > 0


def _with_swapped(a: MetricSample, b: MetricSample) -> Iterator[Numbers]:
    """The statistic of `a`, and then that with each block taken from `b`, some at a time."""
    for start, stop in _portions(a):
        if a.aggregator.of_sums:
            moved = b.sums_of_blocks(start, stop) - a.sums_of_blocks(start, stop)
            yield statistic_of_sums(a, np.concatenate([a.sums, a.sums + moved]))
        else:
            from_b = np.zeros((stop - start + 1, a.design.blocks))
            from_b[np.arange(1, stop - start + 1), np.arange(start, stop)] = 1.0
            rows_b = from_b[:, a.design.block] * b.weight
            rows_a = (1 - from_b)[:, a.design.block] * a.weight
            both = {role: np.concatenate([a.columns[role], b.columns[role]]) for role in a.columns}
            of_rows = cast("Callable[..., Numbers]", a.aggregator.of_rows)
            yield of_rows(both, np.concatenate([rows_a, rows_b], axis=1), a.settings)


def _portions(sample: MetricSample) -> Iterator[tuple[int, int]]:
    """Blocks from and to, so that few numbers are in memory at once."""
    width = sample.sums.shape[1] if sample.aggregator.of_sums else 2 * len(sample.weight)
    step = max(1, _CELLS // max(width, 1))
    for start in range(0, sample.design.blocks, step):
        yield start, min(start + step, sample.design.blocks)
