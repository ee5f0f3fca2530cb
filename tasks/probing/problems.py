"""What probes and detectors on an SAE's latents say of the test rows of every label."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csc_matrix, csr_matrix

from saeval.activations.memory import hand_back

from .._draws import generator
from .choosing import Labels, chosen
from .evidence import FULL_WIDTH, Problem, top
from .f1 import F1, F1S, best_latents
from .few import Few, few, padded, plain_scores, sparse_scores
from .rows import FIT, ProbeSet
from .wide import wide_scores

PERMUTATIONS = 3
"""Of the train labels. One alone may point along a real direction by chance, or against it."""


@dataclass(frozen=True)
class Subject:
    """A data set, its latents, and what the dense probe says of its rows."""

    set: ProbeSet
    z: csr_matrix
    """[rows, d_sae]"""
    dense: Float[np.ndarray, "rows classes"]


@dataclass(frozen=True)
class Draft:
    """What is kept of a data set once its latents are let go."""

    set: ProbeSet
    dense: Float[np.ndarray, "rows classes"]
    fit: Few
    """Latents that the fit rows chose; for choosing the regularisation on validation rows."""
    train: Few
    """Latents that all train rows chose; for the probe that is scored."""
    shuffled: Few
    """Latents that they chose for labels in other orders."""
    wide: Float[np.ndarray, "rows classes"]
    said: Sequence[Mapping[F1, Bool[np.ndarray, " test_rows"]]]
    """What the best latents say, class by class."""


def problems(
    subjects: Iterable[Subject], ks: Sequence[int], seed: int, *, detect: bool
) -> list[Problem]:
    """Every label's test rows with all that is said of them.

    Args:
        subjects: Data sets, at least one; of one at a time the latents are held.
        ks: Numbers of latents that sparse probes use.
        seed: Permutes labels.
        detect: Whether the best latents are asked too.
    """
    most = max(ks)
    drafts = []
    for one in subjects:
        drafts.append(_draft(one, most, seed, detect=detect))
        hand_back()
    fit, train = padded([one.fit for one in drafts]), padded([one.train for one in drafts])
    scores = {top(k): sparse_scores(fit, train, k) for k in ks}
    nothing = plain_scores(padded([one.shuffled for one in drafts]), most, 1.0)
    found, at = [], 0
    for one in drafts:
        count, test = len(one.set.classes), np.flatnonzero(one.set.test)
        for c, part in enumerate(one.set.parts):
            probes = {probe: each[at + c, test] for probe, each in scores.items()}
            chance = PERMUTATIONS * at + c + count * np.arange(PERMUTATIONS)
            found.append(
                Problem(
                    part,
                    one.set.text[test],
                    one.set.y[test, c],
                    one.dense[test, c],
                    probes | {FULL_WIDTH: one.wide[test, c]},
                    [nothing[place, test] for place in chance],
                    one.said[c],
                )
            )
        at += count
    return found


def _draft(subject: Subject, k: int, seed: int, *, detect: bool) -> Draft:
    one, z = subject.set, csc_matrix(subject.z)
    wide = wide_scores(z, one)
    fit, train = one.role == FIT, one.train
    by_row, y = subject.z[train], permuted(one, seed)
    return Draft(
        one,
        subject.dense,
        few(z, one, one.y, chosen(subject.z[fit], one.y[fit], k)),
        few(z, one, one.y, chosen(by_row, one.y[train], k)),
        few(z, one, y, chosen(by_row, y[train], k)),
        wide,
        _detections(by_row, z[one.test], one) if detect else [{}] * len(one.classes),
    )


def _detections(
    train: csr_matrix, test: csc_matrix, one: ProbeSet
) -> list[dict[F1, Bool[np.ndarray, " test_rows"]]]:
    """What the best latent of each label says of the test rows, by metric."""
    return [
        dict(zip(F1S, (each.says(test) for each in both), strict=True))
        for both in best_latents(train, one.y[one.train])
    ]


def permuted(one: ProbeSet, seed: int) -> Labels:
    """The labels with those of the train rows in other orders, one set of columns for each.

    Test rows keep their labels.
    """
    found, rows = [], np.flatnonzero(one.train)
    for number in range(PERMUTATIONS):
        rng, y = generator(seed, f"permutation/{number}/{one.key}"), one.y.copy()
        y[rows] = one.y[rng.permutation(rows)]
        found.append(y)
    return np.hstack(found)
