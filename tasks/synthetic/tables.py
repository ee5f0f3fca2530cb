"""How well an SAE recovers a synthetic world: a table of features and a table of latents."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from saeval.lab.synthetic import SyntheticWorld
from saeval.metrics.recovery import (
    Firing,
    Magnitudes,
    Matching,
    cosines,
    covered,
    distinctness,
    firing,
    magnitudes,
    match,
    nearest_feature,
)
from saeval.sae import Codes

Columns = Mapping[str, np.ndarray]
CodesAndTruth = tuple[Codes, sp.csr_matrix]
"""Latent activations of some tokens, and the magnitudes of the features there."""


@dataclass(frozen=True)
class RecoveryTables:
    """Columns by name, with one number per feature or latent."""

    features: Columns
    latents: Columns


@dataclass(frozen=True)
class Counts:
    """Counts of how latents and features fire, over all tokens."""

    matched: Firing
    """Latents of the matching against their features, pair by pair."""
    nearest: Firing
    """All latents against the features their directions come closest to."""
    sizes: Magnitudes
    """Magnitudes in the pairs of the matching."""

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.matched + other.matched, self.nearest + other.nearest, self.sizes + other.sizes
        )


def recovery_tables(
    W_dec: Float[np.ndarray, "d_sae d"],
    pairs: Iterable[CodesAndTruth],
    world: SyntheticWorld,
    least: float,
) -> RecoveryTables:
    """Match directions with features, then compare when they fire.

    Args:
        W_dec: Directions of the latents.
        pairs: Batches of tokens, at least one.
        world: The world whose features are to be recovered.
        least: |cosine| from which a feature counts as covered.
    """
    cosine = cosines(W_dec, world.dictionary)
    matching, nearest = match(cosine), nearest_feature(cosine)
    counts = [_count_firing(codes.csr(), truth, W_dec, matching, nearest) for codes, truth in pairs]
    total = sum(counts[1:], counts[0])
    return RecoveryTables(
        _feature_columns(cosine, matching, total, least),
        {
            "feature": nearest,
            "nearest_cosine": cosine.max(1),
            "distinct": distinctness(nearest),
            "fires": total.nearest.both + total.nearest.latent_only,
            "f1_nearest": total.nearest.f1,
            "dead": total.nearest.dead,
        },
    )


def _count_firing(
    acts: sp.csr_matrix,
    truth: sp.csr_matrix,
    W_dec: Float[np.ndarray, "d_sae d"],
    matching: Matching,
    nearest: Int[np.ndarray, " d_sae"],
) -> Counts:
    matched_acts = sp.csr_matrix(acts[:, matching.latent])
    return Counts(
        firing(matched_acts, truth, matching.feature),
        firing(acts, truth, nearest),
        magnitudes(matched_acts, truth, matching.feature, W_dec[matching.latent]),
    )


def _feature_columns(
    cosine: Float[np.ndarray, "d_sae features"], matching: Matching, counts: Counts, least: float
) -> Columns:
    """The features' columns; 0 (-1 for the latent) where a feature has no latent of its own."""
    pair_columns = {
        "cosine": matching.cosine,
        "f1": counts.matched.f1,
        "both_fire": counts.matched.both,
        "latent_only": counts.matched.latent_only,
        "feature_only": counts.matched.feature_only,
        "lost": counts.sizes.lost,
        "magnitude": counts.sizes.truth,
        "matched": np.ones(len(matching.latent)),
    }
    columns = {name: np.zeros(cosine.shape[1]) for name in pair_columns}
    for name, values in pair_columns.items():
        columns[name][matching.feature] = values
    latent = np.full(cosine.shape[1], -1)
    latent[matching.feature] = matching.latent
    return {"latent": latent, **columns, "covered": covered(cosine, least)}
