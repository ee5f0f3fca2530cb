"""Many statistics under the same replicate weights; one matrix product gives all their sums."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse

from saeval.evidence.aggregators import Aggregator, Columns, Keys, Numbers, Parameters
from saeval.evidence.bootstrap import Design, weightings


@dataclass(frozen=True)
class MetricSample:
    """The rows of one metric, how they become a number, and which rows are drawn together."""

    aggregator: Aggregator
    settings: Parameters
    """Every parameter of the aggregator."""
    columns: Columns
    """Every role of the aggregator, keys included."""
    weight: Float[np.ndarray, " rows"]
    design: Design

    @property
    def width(self) -> int:
        """Numbers in memory per replicate while the statistic is computed."""
        return self.design.blocks if self.aggregator.of_sums else len(self.weight)

    @cached_property
    def groups(self) -> tuple[Int[np.ndarray, " rows"], Keys, int]:
        """Group of each row, the keys of each group, and how many groups there are."""
        if not self.aggregator.keys:
            return np.zeros(len(self.weight), np.int64), {}, 1
        stacked = np.stack([self.columns[key] for key in self.aggregator.keys])
        distinct, group = np.unique(stacked, axis=1, return_inverse=True)
        keys = dict(zip(self.aggregator.keys, distinct, strict=True))
        return group.reshape(-1), keys, distinct.shape[1]

    @cached_property
    def terms(self) -> Columns:
        """Weighted terms to sum, and how often each group is drawn if groups are resampled."""
        sums = {
            role: column
            for role, column in self.columns.items()
            if role not in (*self.aggregator.keys, *self.aggregator.labels)
        }
        terms = {role: term * self.weight for role, term in self.aggregator.terms(sums).items()}
        group, _, groups = self.groups
        if self.aggregator.by_part and self._groups_are_drawn(group, groups):
            terms["multiplicity"] = 1 / np.bincount(group, minlength=groups)[group]
        return terms

    def _groups_are_drawn(self, group: Int[np.ndarray, " rows"], groups: int) -> bool:
        """Whether every group lies within one block, so that whole groups are resampled."""
        return len(np.unique(group * self.design.blocks + self.design.block)) == groups

    @cached_property
    def per_block(self) -> Float[np.ndarray, "blocks terms"]:
        """Each term summed over the rows of a block, for statistics without groups."""
        block, blocks = self.design.block, self.design.blocks
        return np.stack([np.bincount(block, term, blocks) for term in self.terms.values()], 1)

    @cached_property
    def per_group(self) -> sparse.csr_matrix:
        """Each term summed over the rows of a block and group: [terms * groups, blocks]."""
        group, _, groups = self.groups
        place = [number * groups + group for number in range(len(self.terms))]
        entries = (np.concatenate(list(self.terms.values())), np.concatenate(place))
        column = np.tile(self.design.block, len(self.terms))
        shape = (len(self.terms) * groups, self.design.blocks)
        return sparse.csr_matrix((entries[0], (entries[1], column)), shape=shape)

    @cached_property
    def sums(self) -> Float[np.ndarray, "1 terms"]:
        """Sums of all terms and groups over all rows, group after group within a term."""
        if self.aggregator.keys:
            return np.asarray(self.per_group.sum(axis=1)).reshape(1, -1)
        return self.per_block.sum(0, keepdims=True)

    def sums_of_blocks(self, start: int, stop: int) -> Float[np.ndarray, "blocks terms"]:
        """The same over the rows of single blocks."""
        if self.aggregator.keys:
            return self._per_block_and_group[start:stop].toarray()
        return self.per_block[start:stop]

    @cached_property
    def _per_block_and_group(self) -> sparse.csr_matrix:
        return self.per_group.T.tocsr()

    @property
    def informative(self) -> int:
        """Clusters that bear on the number, at least 1.

        Those with a denominator that is not 0, of each denominator if there are two; where rows
        have labels, those with the rarer one.
        """
        weighted = self.weight > 0
        bearing = [self.columns[role] != 0 for role in self.aggregator.ones]
        if "label" in self.columns:
            label = self.columns["label"]
            bearing += [label == name for name in np.unique(label)]
        blocks = [
            len(np.unique(self.design.block[rows & weighted])) for rows in bearing or [weighted]
        ]
        return max(1, round(min(blocks) * self.design.clusters / self.design.blocks))


def statistic_of_sums(sample: MetricSample, sums: Float[np.ndarray, "weightings terms"]) -> Numbers:
    """The statistic from the sums of all terms and groups, group after group within a term."""
    _, keys, groups = sample.groups
    by_role = {
        role: sums[:, number * groups : (number + 1) * groups]
        for number, role in enumerate(sample.terms)
    }
    return cast("Callable[..., Numbers]", sample.aggregator.of_sums)(by_role, keys, sample.settings)


def _single_statistic(
    sample: MetricSample, weights: Float[np.ndarray, "weightings blocks"]
) -> Numbers:
    """The statistic of a sample that cannot share the common matrix product."""
    if sample.aggregator.of_rows is not None:
        rows = weights[:, sample.design.block] * sample.weight
        return sample.aggregator.of_rows(sample.columns, rows, sample.settings)
    return statistic_of_sums(sample, np.ascontiguousarray((sample.per_group @ weights.T).T))


def _statistics(
    samples: Sequence[MetricSample], weights: Float[np.ndarray, "weightings blocks"]
) -> list[Numbers]:
    """Every sample's statistic under every weighting. All samples have the same design."""
    summed = [
        sample for sample in samples if sample.aggregator.of_sums and not sample.aggregator.keys
    ]
    sums: Iterator[np.ndarray] = iter(())
    if summed:
        widths = np.cumsum([len(sample.terms) for sample in summed])[:-1]
        stacked = np.concatenate([sample.per_block for sample in summed], 1)
        sums = iter(np.split(weights @ stacked, widths, axis=1))
    return [
        statistic_of_sums(sample, next(sums))
        if sample.aggregator.of_sums and not sample.aggregator.keys
        else _single_statistic(sample, weights)
        for sample in samples
    ]


def value(sample: MetricSample) -> float:
    """The statistic of the data itself; NaN where it is undefined."""
    return float(_statistics([sample], np.ones((1, sample.design.blocks)))[0][0])


def replicated(
    samples: Sequence[MetricSample], replicates: int, seed: int
) -> list[Float[np.ndarray, " replicates"]]:
    """Bootstrap replicates of every sample. Samples over equal units share their weights."""
    numbers_by_sample: list[list[np.ndarray]] = [[] for _ in samples]
    by_design: dict[tuple[bytes, int], list[int]] = {}
    for number, sample in enumerate(samples):
        by_design.setdefault((sample.design.digest, sample.design.blocks), []).append(number)
    for members in by_design.values():
        together = [samples[number] for number in members]
        width = max(sample.width for sample in together)
        for weights in weightings(together[0].design, replicates, seed, width):
            for number, numbers in zip(members, _statistics(together, weights), strict=True):
                # The first weighting is all ones: the data itself, no replicate.
                numbers_by_sample[number].append(numbers[1:])
    return [np.concatenate(chunks) for chunks in numbers_by_sample]
