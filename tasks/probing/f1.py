"""The single latent that follows a label best: by being active, or by exceeding a threshold."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import csc_matrix, csr_matrix

from saeval.evidence import Metric

from .._f1 import f1_hits, f1_total
from .choosing import blocks, correlations, strongest
from .metrics import BEST_LATENT_F1, BEST_LATENT_F1_UNTUNED


@dataclass(frozen=True)
class F1Metric:
    """An F1 that is sum(hits) / sum(total), with the names of its two columns."""

    metric: Metric
    hits: str
    """2 TP."""
    total: str
    """2 TP + FP + FN."""


F1_METRICS = (
    F1Metric(BEST_LATENT_F1, "best_latent_f1_hits", "best_latent_f1_total"),
    F1Metric(
        BEST_LATENT_F1_UNTUNED,
        "best_latent_f1_untuned_hits",
        "best_latent_f1_untuned_total",
    ),
)
"""In the order in which `best_latents` gives their detectors."""
CANDIDATES = 16
"""Number of latents per problem whose threshold is tuned: the most correlated ones."""


@dataclass(frozen=True)
class Detector:
    """A latent that predicts yes where it is active, or where it exceeds a threshold."""

    latent: int
    threshold: float | None
    """None: active means yes."""

    def says(self, z: csc_matrix) -> Bool[np.ndarray, " rows"]:
        """The rows for which it predicts yes."""
        values = z[:, [self.latent]].toarray()[:, 0]
        return values != 0 if self.threshold is None else values > self.threshold


def f1_parts(
    predictions: Mapping[F1Metric, Bool[np.ndarray, " rows"]], y: Bool[np.ndarray, " rows"]
) -> dict[str, Int[np.ndarray, " rows"]]:
    """What each row adds to the sums whose ratio is F1."""
    columns = {}
    for f1, prediction in predictions.items():
        columns[f1.hits] = f1_hits(prediction, y)
        columns[f1.total] = f1_total(prediction, y)
    return columns


def best_latents(
    z: csr_matrix, y: Bool[np.ndarray, "rows problems"]
) -> list[tuple[Detector, Detector]]:
    """For each label the best detector with a threshold of its own, and the best without."""
    columns, detectors = csc_matrix(z), []
    for block in blocks(y.shape[1], z.get_shape()[1]):
        candidates = strongest(correlations(z, y[:, block]), CANDIDATES)
        for correlated, untuned_detector, label in zip(
            candidates, untuned(z, y[:, block]), y[:, block].T, strict=True
        ):
            tuned_detector = tuned(
                columns, label, np.unique([*correlated, untuned_detector.latent])
            )
            detectors.append((tuned_detector, untuned_detector))
    return detectors


def untuned(z: csr_matrix, y: Bool[np.ndarray, "rows problems"]) -> list[Detector]:
    """For each label, the latent whose activity has the highest F1 on these rows."""
    active = csr_matrix((np.ones_like(z.data), z.indices, z.indptr), shape=z.shape)
    hits = np.asarray((active.T @ y.astype(np.float64)).T)
    fires = np.asarray(active.sum(0), dtype=np.float64).ravel()
    scores = 2 * hits / (fires + y.sum(0)[:, None])
    return [Detector(int(latent), None) for latent in scores.argmax(1)]


def tuned(
    z: csc_matrix,
    y: Bool[np.ndarray, " rows"],
    candidates: Int[np.ndarray, " candidates"],
) -> Detector:
    """The candidate and threshold with the highest F1 on these rows."""
    values = z[:, candidates].toarray().astype(np.float64)
    order = np.argsort(-values, axis=0, kind="stable")
    ranked = np.take_along_axis(values, order, 0)
    hits = np.cumsum(y[order], axis=0)
    predicted = np.arange(1, len(y) + 1)[:, None]
    below = np.vstack([ranked[1:], ranked[-1:] - 1])
    scores = np.where(ranked > below, 2 * hits / (predicted + y.sum()), -1.0)
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    threshold = (ranked[row, column] + below[row, column]) / 2
    return Detector(int(candidates[column]), float(threshold))
