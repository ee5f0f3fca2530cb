"""How well an SAE recovers a known dictionary: by its directions, and by when its latents fire.

Functions return one number per latent, pair or feature, so that a task can store them as evidence.
A score is their mean, or the ratio of two of their sums.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from saeval.errors import DataError

RECOVERED = 0.8
"""|cosine| from which a feature counts as covered. Source: arXiv 2602.14111."""


def cosines(
    W_dec: Float[np.ndarray, "d_sae d"], dictionary: Float[np.ndarray, "features d_truth"]
) -> Float[np.ndarray, "d_sae features"]:
    """|cosine| of each latent's direction with each feature's, 0 to 1; 0 for a row of zeros.

    Raises:
        DataError: if the two have different widths.
    """
    if W_dec.shape[1] != dictionary.shape[1]:
        raise DataError(
            f"The SAE writes {W_dec.shape[1]} dimensions, but the truth has {dictionary.shape[1]}. "
            "It belongs to another world."
        )
    return np.minimum(np.abs(_unit(W_dec) @ _unit(dictionary).T), 1.0)


def _unit(rows: Float[np.ndarray, "rows d"]) -> Float[np.ndarray, "rows d"]:
    rows = rows.astype(np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)


@dataclass(frozen=True)
class Matching:
    """Latents and features paired one to one."""

    latent: Int[np.ndarray, " pairs"]
    feature: Int[np.ndarray, " pairs"]
    cosine: Float[np.ndarray, " pairs"]
    """|cosine| of each pair. Their mean is the MCC."""


def match(cosine: Float[np.ndarray, "d_sae features"]) -> Matching:
    """The pairing with the largest sum of |cosine|, with as many pairs as possible.

    Source: the MCC of nonlinear ICA and of SynthSAEBench, arXiv 2602.14687 (Hungarian algorithm).
    """
    latent, feature = linear_sum_assignment(cosine, maximize=True)
    return Matching(latent, feature, cosine[latent, feature])


def nearest_feature(cosine: Float[np.ndarray, "d_sae features"]) -> Int[np.ndarray, " d_sae"]:
    """Feature that each latent's direction comes closest to. Several latents may share one."""
    return cosine.argmax(1)


def distinctness(nearest: Int[np.ndarray, " d_sae"]) -> Float[np.ndarray, " d_sae"]:
    """1 over the number of latents that share each latent's nearest feature, itself included.

    Their mean is the uniqueness.
    """
    return 1 / np.bincount(nearest)[nearest]


def covered(
    cosine: Float[np.ndarray, "d_sae features"], least: float = RECOVERED
) -> Float[np.ndarray, " features"]:
    """1 for each feature that some latent comes close to, else 0. Their mean is the coverage."""
    return (cosine.max(0) >= least).astype(np.float64)


@dataclass(frozen=True)
class Firing:
    """How each latent's firing agrees with a feature's. Fires means not 0, whatever the sign."""

    both: Int[np.ndarray, " d_sae"]
    """Tokens on which latent and feature fire: true positives."""
    latent_only: Int[np.ndarray, " d_sae"]
    """False positives."""
    feature_only: Int[np.ndarray, " d_sae"]
    """False negatives."""

    def __add__(self, other: "Firing") -> "Firing":
        return Firing(
            self.both + other.both,
            self.latent_only + other.latent_only,
            self.feature_only + other.feature_only,
        )

    @property
    def f1(self) -> Float[np.ndarray, " d_sae"]:
        """2 TP / (2 TP + FP + FN), 0 to 1; 0 where neither ever fires."""
        double = 2 * self.both
        return double / np.maximum(double + self.latent_only + self.feature_only, 1)

    @property
    def dead(self) -> Float[np.ndarray, " d_sae"]:
        """1 for each latent that never fires, else 0."""
        return (self.both + self.latent_only == 0).astype(np.float64)


def firing(acts: sp.csr_matrix, truth: sp.csr_matrix, feature: Int[np.ndarray, " d_sae"]) -> Firing:
    """Compare each latent with the feature assigned to it.

    Counts of several batches of tokens add up.

    Args:
        acts: Latent activations [tokens, d_sae]; no zeros are stored.
        truth: Magnitudes of the features [tokens, features]; likewise.
        feature: Feature of each latent, such as `nearest_feature`.
    """
    latent, count = np.asarray(acts.indices), len(feature)
    fires = np.bincount(latent, minlength=count)
    active = np.bincount(np.asarray(truth.indices), minlength=feature.max(initial=0) + 1)[feature]
    both = np.bincount(latent[_counterpart(acts, truth, feature) > 0], minlength=count)
    return Firing(both, fires - both, active - both)


def _counterpart(
    acts: sp.csr_matrix, truth: sp.csr_matrix, feature: Int[np.ndarray, " d_sae"]
) -> Float[np.ndarray, " active"]:
    """For each active latent of each token, the magnitude of its feature on that token."""
    active = np.diff(np.asarray(acts.indptr))
    token = np.repeat(np.arange(len(active)), active)
    of_latent = feature[np.asarray(acts.indices)]
    if not len(token):  # scipy then gives a matrix, not numbers
        return np.zeros(0)
    return np.asarray(truth[token, of_latent], np.float64).ravel()


@dataclass(frozen=True)
class Magnitudes:
    """Sums over the tokens on which a latent and its feature both fire."""

    act: Float[np.ndarray, " d_sae"]
    """What the latent adds along its direction: |act| times the norm of its decoder row."""
    truth: Float[np.ndarray, " d_sae"]
    """What the feature adds in truth."""

    def __add__(self, other: "Magnitudes") -> "Magnitudes":
        return Magnitudes(self.act + other.act, self.truth + other.truth)

    @property
    def lost(self) -> Float[np.ndarray, " d_sae"]:
        """What each latent lacks of its feature's magnitude; negative if it has too much."""
        return self.truth - self.act


def magnitudes(
    acts: sp.csr_matrix,
    truth: sp.csr_matrix,
    feature: Int[np.ndarray, " d_sae"],
    W_dec: Float[np.ndarray, "d_sae d"],
) -> Magnitudes:
    """Compare sizes of latents with those of the features assigned to them."""
    norm = np.linalg.norm(W_dec.astype(np.float64), axis=1)
    latent, count = np.asarray(acts.indices), len(feature)
    target = _counterpart(acts, truth, feature)
    act = np.abs(np.asarray(acts.data, np.float64)) * norm[latent] * (target > 0)
    sums = (np.bincount(latent, sizes, count).astype(np.float64) for sizes in (act, target))
    return Magnitudes(*sums)
