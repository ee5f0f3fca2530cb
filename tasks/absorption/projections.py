"""How much of a letter's direction latents carry, and when they absorb it. Source: SAEBench."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix

from saeval.sae import SAE

SHARE = 0.4
"""Share of the projection on the probe that absorbing latents must carry. Source: SAEBench."""
ALIGNED = 0.1
"""Cosine with the probe that a latent needs to absorb in part. Source: SAEBench."""
SLIGHTLY_ALIGNED = 0.025
"""Cosine with the probe that one latent needs to absorb a word whole. Source: SAEBench."""
ABSORBERS = 3
"""Latents that may share in absorbing a word. Source: SAEBench."""


@dataclass(frozen=True)
class Carried:
    """What the active latents of each word add along a direction.

    Main latents add 0 here. Rows are padded with zeros to the word with most active latents.
    """

    added: Float[np.ndarray, "words most"]
    cosine: Float[np.ndarray, "words most"]
    """Cosine of each latent's decoder row with the direction."""

    @property
    def absorbing(self) -> Float[np.ndarray, " words"]:
        """Sum of the largest of those that are aligned, at least 0."""
        partial = np.where(self.cosine >= ALIGNED, self.added, 0).clip(min=0)
        return np.sort(partial, axis=1)[:, -ABSORBERS:].sum(1)


def carried_by_others(
    sae: SAE,
    acts: csr_matrix,
    main: Int[np.ndarray, " main"],
    direction: Float[np.ndarray, " d_in"],
    *,
    unit_rows: bool = False,
) -> Carried:
    """What latents that are not main ones add along a direction.

    Args:
        sae: The SAE.
        acts: [words, d_sae], an entry for each active latent.
        main: The main latents.
        direction: Of unit length.
        unit_rows: Whether decoder rows count as if they had length 1.
    """
    latents, latent_of_entry = np.unique(acts.indices, return_inverse=True)
    dots, cosines = unit_projections(sae, latents, direction)
    projections = (cosines if unit_rows else dots)[latent_of_entry]
    added = np.where(np.isin(acts.indices, main), 0, acts.data * projections)
    return Carried(_padded_rows(acts, added), _padded_rows(acts, cosines[latent_of_entry]))


def unit_projections(
    sae: SAE, latents: Int[np.ndarray, " latents"], direction: Float[np.ndarray, " d"]
) -> tuple[Float[np.ndarray, " latents"], Float[np.ndarray, " latents"]]:
    """Dot product and cosine of some decoder rows with a unit direction; a zero row has both 0."""
    rows = sae.W_dec[torch.from_numpy(latents).to(sae.W_dec.device)].detach().float().cpu().numpy()
    dot = rows @ direction
    length = np.linalg.norm(rows, axis=1)
    return dot, dot / np.where(length > 0, length, 1)


def _padded_rows(
    acts: csr_matrix, values: Float[np.ndarray, " nnz"]
) -> Float[np.ndarray, "words most"]:
    """A value for each entry of sparse acts, row by row, with zeros up to the longest row."""
    counts = np.diff(acts.indptr)
    padded = np.zeros((len(counts), max(1, counts.max(initial=0))))
    row = np.repeat(np.arange(len(counts)), counts)
    padded[row, np.arange(len(row)) - acts.indptr[row]] = values
    return padded


def absorption_fraction(
    main: Float[np.ndarray, " words"],
    absorbing: Float[np.ndarray, " words"],
    total: Float[np.ndarray, " words"],
) -> Float[np.ndarray, " words"]:
    """Absorbing latents' share of what they and the main latents carry of a direction.

    a / (a + main) with a = min(absorbing, total - main), so that a latent is not blamed for more
    than the main ones leave; 0 where these leave nothing, or where the absorbing ones carry less
    than `SHARE` of the total; 1 where the main ones carry nothing.

    Args:
        main: Projection of the main latents' sum.
        absorbing: Projection of the absorbing latents' sum, at least 0.
        total: Projection of the activation.

    Source: SAEBench, absorption, `mean_absorption_fraction`.
    """
    unabsorbed = (main >= total) | (absorbing < SHARE * total) | (total <= 0)
    absorbed = np.minimum(absorbing, total - main)
    main_part = np.maximum(main, 0)
    return np.where(
        unabsorbed, 0.0, absorbed / np.where(unabsorbed, 1.0, absorbed + main_part)
    ).clip(0, 1)


def absorbed_whole(
    silent: Bool[np.ndarray, " words"],
    best: Float[np.ndarray, " words"],
    total: Float[np.ndarray, " words"],
) -> Bool[np.ndarray, " words"]:
    """Whether one other latent carries a direction in the place of all main ones.

    Args:
        silent: Whether all main latents are silent.
        best: The most that one other latent adds, of those with a cosine of `SLIGHTLY_ALIGNED`.
        total: Projection of the activation.

    Source: SAEBench, absorption, `mean_full_absorption`.
    """
    return silent & (total > 0) & (best >= SHARE * total)


def lost(
    silent: Bool[np.ndarray, " words"], absorbed: Bool[np.ndarray, " words"]
) -> Bool[np.ndarray, " words"]:
    """Whether all main latents are silent and no other latent by itself stands in for them."""
    return silent & ~absorbed
