"""The single latent that follows a label best: by being active, or by exceeding a threshold."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import csc_matrix, csr_matrix, hstack

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
    """A latent that predicts yes beyond a threshold."""

    latent: int
    threshold: float
    """0: being active is enough."""
    sign: int = 1
    """-1: acts below minus the threshold mean yes. Only latents that can be negative have it."""

    def says(self, z: csc_matrix) -> Bool[np.ndarray, " rows"]:
        """The rows for which it predicts yes."""
        return self.sign * z[:, [self.latent]].toarray()[:, 0] > self.threshold


@dataclass(frozen=True)
class Sides:
    """Both sides of each latent, as if they were latents of their own.

    A latent that is negative somewhere has two: acts above 0 and acts below 0 can stand for two
    concepts. Others have one.
    """

    z: csr_matrix
    """[rows, sides]: acts of all latents, then minus the acts of those with a second side."""
    latent: Int[np.ndarray, " sides"]
    sign: Int[np.ndarray, " sides"]
    """1, and -1 for second sides."""

    @classmethod
    def of(cls, z: csr_matrix) -> "Sides":
        """The sides of the latents whose acts on some rows are z."""
        width = z.get_shape()[1]
        negative = np.unique(z.indices[z.data < 0])
        both = csr_matrix(hstack([z, -z[:, negative]])) if len(negative) else z
        sign = np.repeat([1, -1], [width, len(negative)])
        return cls(both, np.concatenate([np.arange(width), negative]), sign)

    def detector(self, on_sides: Detector) -> Detector:
        """The detector on latents that one on sides is."""
        side = on_sides.latent
        return Detector(int(self.latent[side]), on_sides.threshold, int(self.sign[side]))


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
    sides, detectors = Sides.of(z), []
    columns = csc_matrix(sides.z)
    for block in blocks(y.shape[1], len(sides.sign)):
        candidates = strongest(correlations(sides.z, y[:, block]), CANDIDATES)
        for correlated, untuned_detector, label in zip(
            candidates, untuned(sides.z, y[:, block]), y[:, block].T, strict=True
        ):
            tuned_detector = tuned(
                columns, label, np.unique([*correlated, untuned_detector.latent])
            )
            detectors.append((sides.detector(tuned_detector), sides.detector(untuned_detector)))
    return detectors


def untuned(z: csr_matrix, y: Bool[np.ndarray, "rows problems"]) -> list[Detector]:
    """For each label, the latent (or side) whose activity, above 0, has the highest F1."""
    active = csr_matrix(((z.data > 0).astype(np.float64), z.indices, z.indptr), shape=z.shape)
    hits = np.asarray((active.T @ y.astype(np.float64)).T)
    fires = np.asarray(active.sum(0), dtype=np.float64).ravel()
    scores = 2 * hits / (fires + y.sum(0)[:, None])
    return [Detector(int(latent), 0.0) for latent in scores.argmax(1)]


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
