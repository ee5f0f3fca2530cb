"""Scores and predictions for every label's test rows, by probes and detectors on latents."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csc_matrix, csr_matrix

from saeval.activations.memory import hand_back

from .._draws import generator
from .all_latents import wide_scores
from .choosing import Labels
from .evidence import DENSE, FULL_WIDTH, ProbeMetrics, Problem, top_k_probe
from .f1 import F1_METRICS, F1Metric, best_latents
from .few_latents import FewLatents, few_latents, sparse_scores
from .rows import FIT, VALIDATION, ProbeSet

MOST_ORDERS, PERMUTED_PROBLEMS = 3, 96
"""Random orders of a data set's train labels: at most three, and fewer where its labels make so
many permuted problems already. A single problem may point along a real direction by chance."""


@dataclass(frozen=True)
class EncodedSet:
    """A data set, its latents, and the dense probe's log-odds of its rows."""

    set: ProbeSet
    z: csr_matrix
    """[rows, d_sae]"""
    dense: Float[np.ndarray, "rows classes"] | None
    """None: neither the activations nor all latents are asked, only few latents are."""


@dataclass(frozen=True)
class SetResult:
    """What remains of a data set once its latents are released from memory."""

    set: ProbeSet
    few: FewLatents
    shuffled: FewLatents
    """Of permuted labels: the columns of one order, then those of the next."""
    many: Mapping[ProbeMetrics, Float[np.ndarray, "rows classes"]]
    """Log-odds of probes on all latents and on the activations."""
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
    scores = {top_k_probe(k): sparse_scores([result.few for result in results], k) for k in ks}
    permuted_scores = sparse_scores([result.shuffled for result in results], largest_k)
    problem_list, start, permuted_start = [], 0, 0
    for result in results:
        count, test = len(result.set.classes), result.set.test
        permuted_stop = permuted_start + len(result.shuffled.test)
        for class_number, part in enumerate(result.set.parts):
            few = {probe: score[start + class_number] for probe, score in scores.items()}
            many = {probe: score[test, class_number] for probe, score in result.many.items()}
            problem_list.append(
                Problem(
                    part,
                    result.set.text[test],
                    result.set.y[test, class_number],
                    few | many,
                    permuted_scores[permuted_start + class_number : permuted_stop : count],
                    result.predictions[class_number],
                )
            )
        start, permuted_start = start + count, permuted_stop
    return problem_list


def _set_result(encoded: EncodedSet, k: int, seed: int, *, detect: bool) -> SetResult:
    probe_set, z = encoded.set, csc_matrix(encoded.z)
    many = {}
    if encoded.dense is not None:
        many = {FULL_WIDTH: wide_scores(z, probe_set), DENSE: encoded.dense}
    predictions: Sequence[Mapping[F1Metric, Bool[np.ndarray, " test_rows"]]]
    if detect:
        train_rows = encoded.z[probe_set.train]
        predictions = _detector_predictions(train_rows, z[probe_set.test], probe_set)
    else:
        predictions = [{}] * len(probe_set.classes)
    return SetResult(
        probe_set,
        few_latents(encoded.z, probe_set, probe_set.y, k),
        few_latents(encoded.z, probe_set, permute_labels(probe_set, seed), k),
        many,
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
    """Each label of the fit rows in a random order of its own, likewise of the validation rows.

    So a fifth of each label's train rows are validation rows still, as where the labels are true.

    Returns:
        [rows, orders * classes]: all labels in one order, then in the next. Test rows keep theirs.
    """
    orders = min(MOST_ORDERS, math.ceil(PERMUTED_PROBLEMS / len(probe_set.classes)))
    parts = []
    for number in range(orders):
        rng, y = generator(seed, f"permutation/{number}/{probe_set.key}"), probe_set.y.copy()
        for role in (FIT, VALIDATION):
            rows = probe_set.role == role
            y[rows] = rng.permuted(probe_set.y[rows], axis=0)
        parts.append(y)
    return np.hstack(parts)
