"""Scores and predictions for every label's test rows, by probes and detectors on latents."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csc_matrix, csr_matrix

from saeval.activations.memory import hand_back

from .._draws import generator
from .all_latents import wide_scores
from .choosing import Labels, strongest_latents
from .evidence import FULL_WIDTH, Problem, top_k_probe
from .f1 import F1_METRICS, F1Metric, best_latents
from .few_latents import FewLatents, few_latents, fixed_c_scores, pad_problems, sparse_scores
from .rows import FIT, ProbeSet

PERMUTATIONS = 3
"""Permutations of the train labels. A single one may point along a real direction by chance."""


@dataclass(frozen=True)
class EncodedSet:
    """A data set, its latents, and the dense probe's log-odds of its rows."""

    set: ProbeSet
    z: csr_matrix
    """[rows, d_sae]"""
    dense: Float[np.ndarray, "rows classes"]


@dataclass(frozen=True)
class SetResult:
    """What remains of a data set once its latents are released from memory."""

    set: ProbeSet
    dense: Float[np.ndarray, "rows classes"]
    fit: FewLatents
    """Latents that the fit rows chose; for choosing the regularisation on validation rows."""
    train: FewLatents
    """Latents that all train rows chose; for the probe that is scored."""
    shuffled: FewLatents
    """Latents that all train rows chose for permuted labels."""
    wide: Float[np.ndarray, "rows classes"]
    predictions: Sequence[Mapping[F1Metric, Bool[np.ndarray, " test_rows"]]]
    """What the best latents predict, class by class."""


def probe_problems(
    encoded_sets: Iterable[EncodedSet], ks: Sequence[int], seed: int, *, detect: bool
) -> list[Problem]:
    """Every label's test rows, with the scores and predictions of all probes and detectors.

    Args:
        encoded_sets: Data sets, at least one; only one at a time has its latents in memory.
        ks: Numbers of latents that sparse probes use.
        seed: Permutes labels.
        detect: Whether the best latents predict the labels too.
    """
    largest_k = max(ks)
    results = []
    for encoded in encoded_sets:
        results.append(_set_result(encoded, largest_k, seed, detect=detect))
        hand_back()
    fit = pad_problems([result.fit for result in results])
    train = pad_problems([result.train for result in results])
    scores = {top_k_probe(k): sparse_scores(fit, train, k) for k in ks}
    permuted_scores = fixed_c_scores(
        pad_problems([result.shuffled for result in results]), largest_k, 1.0
    )
    problem_list, start = [], 0
    for result in results:
        count, test = len(result.set.classes), np.flatnonzero(result.set.test)
        for class_number, part in enumerate(result.set.parts):
            probes = {probe: score[start + class_number, test] for probe, score in scores.items()}
            permuted_rows = PERMUTATIONS * start + class_number + count * np.arange(PERMUTATIONS)
            problem_list.append(
                Problem(
                    part,
                    result.set.text[test],
                    result.set.y[test, class_number],
                    result.dense[test, class_number],
                    probes | {FULL_WIDTH: result.wide[test, class_number]},
                    [permuted_scores[row, test] for row in permuted_rows],
                    result.predictions[class_number],
                )
            )
        start += count
    return problem_list


def _set_result(encoded: EncodedSet, k: int, seed: int, *, detect: bool) -> SetResult:
    probe_set, z = encoded.set, csc_matrix(encoded.z)
    wide = wide_scores(z, probe_set)
    fit, train = probe_set.role == FIT, probe_set.train
    by_row, permuted_y = encoded.z[train], permute_labels(probe_set, seed)
    predictions: Sequence[Mapping[F1Metric, Bool[np.ndarray, " test_rows"]]]
    if detect:
        predictions = _detector_predictions(by_row, z[probe_set.test], probe_set)
    else:
        predictions = [{}] * len(probe_set.classes)
    return SetResult(
        probe_set,
        encoded.dense,
        few_latents(
            z, probe_set, probe_set.y, strongest_latents(encoded.z[fit], probe_set.y[fit], k)
        ),
        few_latents(z, probe_set, probe_set.y, strongest_latents(by_row, probe_set.y[train], k)),
        few_latents(z, probe_set, permuted_y, strongest_latents(by_row, permuted_y[train], k)),
        wide,
        predictions,
    )


def _detector_predictions(
    train: csr_matrix, test: csc_matrix, probe_set: ProbeSet
) -> list[dict[F1Metric, Bool[np.ndarray, " test_rows"]]]:
    """What the best latent of each label predicts on the test rows, by metric."""
    return [
        dict(zip(F1_METRICS, (detector.says(test) for detector in pair), strict=True))
        for pair in best_latents(train, probe_set.y[probe_set.train])
    ]


def permute_labels(probe_set: ProbeSet, seed: int) -> Labels:
    """Labels with those of the train rows permuted, one set of columns for each permutation.

    Test rows keep their labels.
    """
    parts, rows = [], np.flatnonzero(probe_set.train)
    for number in range(PERMUTATIONS):
        rng, y = generator(seed, f"permutation/{number}/{probe_set.key}"), probe_set.y.copy()
        y[rows] = probe_set.y[rng.permutation(rows)]
        parts.append(y)
    return np.hstack(parts)
