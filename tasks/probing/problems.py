"""What probes and detectors on an SAE's latents say of the test rows of every label."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csc_matrix, csr_matrix

from .._draws import generator
from .evidence import Problem
from .f1 import F1S, best_latents
from .latents import (
    Columns,
    Labels,
    batches,
    choose,
    plain_scores,
    sparse_scores,
    wide_scores,
)
from .rows import FIT, VALIDATION, ProbeSet

PERMUTATIONS = 3
"""Of the train labels. One alone may point along a real direction by chance, or against it."""


@dataclass(frozen=True)
class Subject:
    """A data set, its latents, and what the dense probe says of its rows."""

    set: ProbeSet
    z: csr_matrix
    """[rows, d_sae]"""
    dense: Float[np.ndarray, "rows classes"]


def problems(
    subjects: Sequence[Subject], ks: Sequence[int], seed: int, *, detect: bool
) -> list[Problem]:
    """Every label's test rows with all that is said of them.

    Args:
        subjects: Data sets, at least one.
        ks: Numbers of latents that sparse probes use.
        seed: Permutes labels.
        detect: Whether the best latents are asked too.
    """
    most, by_column = max(ks), [csc_matrix(one.z) for one in subjects]
    both = list(zip(by_column, subjects, strict=True))
    columns = [_columns(z, one, one.set.y, most) for z, one in both]
    fit, train = batches(columns)
    scores = {f"top_{k}": sparse_scores(fit, train, k) for k in ks}
    shuffled = [_columns(z, one, permuted(one.set, seed), most) for z, one in both]
    nothing = plain_scores(batches(shuffled)[1], most, 1.0)
    found, at = [], 0
    for one in subjects:
        wide, count = wide_scores(one.z, one.set), len(one.set.classes)
        said = _detections(one) if detect else [{}] * count
        test = np.flatnonzero(one.set.test)
        for c, part in enumerate(one.set.parts):
            probes = {name: each[at + c, test] for name, each in scores.items()}
            chance = PERMUTATIONS * at + c + count * np.arange(PERMUTATIONS)
            found.append(
                Problem(
                    part,
                    one.set.text[test],
                    one.set.y[test, c],
                    one.dense[test, c],
                    probes | {"full_width": wide[test, c]},
                    [nothing[place, test] for place in chance],
                    said[c],
                )
            )
        at += count
    return found


def permuted(one: ProbeSet, seed: int) -> Labels:
    """The labels with those of the train rows in other orders, one set of columns for each.

    Fit and validation rows are permuted apart. Test rows keep their labels.
    """
    found = []
    for number in range(PERMUTATIONS):
        rng, y = generator(seed, f"permutation/{number}/{one.name}"), one.y.copy()
        for role in (FIT, VALIDATION):
            rows = np.flatnonzero(one.role == role)
            y[rows] = one.y[rng.permutation(rows)]
        found.append(y)
    return np.hstack(found)


def _columns(z: csc_matrix, one: Subject, y: Labels, k: int) -> Columns:
    return Columns(z, one.set, y, choose(one.z, one.set, y, k))


def _detections(one: Subject) -> list[dict[str, Bool[np.ndarray, " test_rows"]]]:
    """What the best latent of each label says of the test rows, by metric."""
    train, test = one.set.train, csc_matrix(one.z[one.set.test])
    return [
        dict(zip(F1S, (each.says(test) for each in both), strict=True))
        for both in best_latents(one.z[train], one.set.y[train])
    ]
