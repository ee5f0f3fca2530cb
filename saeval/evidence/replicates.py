"""Many statistics under the same replicate weights, sums of all of them in one matrix product."""

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
class Sample:
    """The rows of one metric, how they become a number, and which are drawn together."""

    how: Aggregator
    settings: Parameters
    """Every parameter of the aggregator."""
    columns: Columns
    """Every role of the aggregator, keys included."""
    weight: Float[np.ndarray, " rows"]
    design: Design

    @property
    def width(self) -> int:
        """Numbers held for each replicate while the statistic is computed."""
        return self.design.blocks if self.how.of_sums else len(self.weight)

    @cached_property
    def groups(self) -> tuple[Int[np.ndarray, " rows"], Keys, int]:
        """Group of each row, the keys of each group, and how many groups there are."""
        if not self.how.keys:
            return np.zeros(len(self.weight), np.int64), {}, 1
        stacked = np.stack([self.columns[key] for key in self.how.keys])
        distinct, group = np.unique(stacked, axis=1, return_inverse=True)
        keys = dict(zip(self.how.keys, distinct, strict=True))
        return group.reshape(-1), keys, distinct.shape[1]

    @cached_property
    def terms(self) -> Columns:
        """What is summed: weighted terms, and how often each group is drawn where groups are."""
        sums = {role: column for role, column in self.columns.items() if role not in self.how.keys}
        terms = {role: term * self.weight for role, term in self.how.terms(sums).items()}
        group, _, groups = self.groups
        if self.how.by_part and self._groups_are_drawn(group, groups):
            terms["multiplicity"] = 1 / np.bincount(group, minlength=groups)[group]
        return terms

    def _groups_are_drawn(self, group: Int[np.ndarray, " rows"], groups: int) -> bool:
        """Whether every group lies within one block, so that groups are what is resampled."""
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


def _from_sums(sample: Sample, sums: Float[np.ndarray, "weightings terms"]) -> Numbers:
    """The statistic from the sums of all terms and groups, group after group within a term."""
    _, keys, groups = sample.groups
    by_role = {
        role: sums[:, number * groups : (number + 1) * groups]
        for number, role in enumerate(sample.terms)
    }
    return cast("Callable[..., Numbers]", sample.how.of_sums)(by_role, keys, sample.settings)


def _alone(sample: Sample, weights: Float[np.ndarray, "weightings blocks"]) -> Numbers:
    """The statistic of a sample that shares no matrix product with others."""
    if sample.how.of_rows is not None:
        rows = weights[:, sample.design.block] * sample.weight
        return sample.how.of_rows(sample.columns, rows, sample.settings)
    return _from_sums(sample, np.ascontiguousarray((sample.per_group @ weights.T).T))


def _statistics(
    samples: Sequence[Sample], weights: Float[np.ndarray, "weightings blocks"]
) -> list[Numbers]:
    """Every sample's statistic under every weighting. All samples have the same design."""
    plain = [sample for sample in samples if sample.how.of_sums and not sample.how.keys]
    sums: Iterator[np.ndarray] = iter(())
    if plain:
        widths = np.cumsum([len(sample.terms) for sample in plain])[:-1]
        stacked = np.concatenate([sample.per_block for sample in plain], 1)
        sums = iter(np.split(weights @ stacked, widths, axis=1))
    return [
        _from_sums(sample, next(sums))
        if sample.how.of_sums and not sample.how.keys
        else _alone(sample, weights)
        for sample in samples
    ]


def value(sample: Sample) -> float:
    """The statistic of the data itself; NaN where it is undefined."""
    return float(_statistics([sample], np.ones((1, sample.design.blocks)))[0][0])


def replicated(
    samples: Sequence[Sample], replicates: int, seed: int
) -> list[Float[np.ndarray, " replicates"]]:
    """Bootstrap replicates of every sample, those over equal units sharing their weights."""
    found: list[list[np.ndarray]] = [[] for _ in samples]
    by_design: dict[tuple[bytes, int], list[int]] = {}
    for number, sample in enumerate(samples):
        by_design.setdefault((sample.design.digest, sample.design.blocks), []).append(number)
    for members in by_design.values():
        together = [samples[number] for number in members]
        width = max(sample.width for sample in together)
        for weights in weightings(together[0].design, replicates, seed, width):
            for number, numbers in zip(members, _statistics(together, weights), strict=True):
                found[number].append(numbers[1:])
    return [np.concatenate(parts) for parts in found]
