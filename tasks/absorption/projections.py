"""How much of a letter's direction latents carry, and when they absorb it. Source: SAEBench."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csc_matrix, csr_matrix

from saeval.sae import SAE

SHARE = 0.4
"""Share of the projection on the probe that absorbing latents must carry. Source: SAEBench."""
ALIGNED = 0.1
"""Cosine with the probe that a latent needs to absorb in part. Source: SAEBench."""
SLIGHTLY_ALIGNED = 0.025
"""Cosine with the probe that one latent needs to absorb a word whole. Source: SAEBench."""
ABSORBERS = 3
"""Latents that may share in absorbing a word. Source: SAEBench."""
ROWS = 256
"""Rows that are reconstructed at a time."""


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
    rows = decoder_rows(sae, latents)
    dot = rows @ direction
    length = np.linalg.norm(rows, axis=1)
    return dot, dot / np.where(length > 0, length, 1)


def decoder_rows(
    sae: SAE, latents: Int[np.ndarray, " latents"]
) -> Float[np.ndarray, "latents d_in"]:
    """The directions that some latents write."""
    index = torch.from_numpy(latents).to(sae.W_dec.device)
    return sae.W_dec[index].detach().float().cpu().numpy()


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


def written(sae: SAE, acts: csr_matrix) -> Float[np.ndarray, "rows d_in"]:
    """What the latents add to each reconstruction: acts times W_dec, a few rows at a time."""
    parts = []
    for start in range(0, len(acts.indptr) - 1, ROWS):
        some = acts[start : start + ROWS]
        latents, place = np.unique(some.indices, return_inverse=True)
        size = (len(some.indptr) - 1, len(latents))
        codes = csr_matrix((some.data, place, some.indptr), shape=size)
        parts.append(codes @ decoder_rows(sae, latents))
    return np.concatenate(parts)


def best_scale(
    x: Float[np.ndarray, "rows d_in"], reconstruction: Float[np.ndarray, "rows d_in"]
) -> float:
    """The factor, at least 0, that brings reconstructions nearest to x, both about their means."""
    centred = reconstruction - reconstruction.mean(0, dtype=np.float64)
    squared = (centred**2).sum()
    return max(0.0, float((centred * x).sum() / squared)) if squared > 0 else 0.0


def fitted(
    sae: SAE, acts: csr_matrix, x: Float[np.ndarray, "rows d_in"], rows: Bool[np.ndarray, " rows"]
) -> csr_matrix:
    """Acts times the one factor with which reconstructions of some rows fit best.

    Without it an SAE would gain by writing everything more strongly: written eight times as
    strongly, random directions carry the letter on every word that they fire on.
    """
    return acts * best_scale(x[rows], written(sae, acts[rows]))


def excess(
    values: Float[np.ndarray, " rows"], others: Bool[np.ndarray, " rows"]
) -> Float[np.ndarray, " rows"]:
    """Values less their mean over rows where the concept is absent."""
    return values - values[others].mean()


def kept(
    fires: Bool[np.ndarray, " rows"],
    carried: Float[np.ndarray, " rows"],
    total: Float[np.ndarray, " rows"],
) -> Bool[np.ndarray, " rows"]:
    """Whether a concept's own latents fire and carry it: neither absorbed nor lost.

    Args:
        fires: Whether any of them is active.
        carried: Projection of what they add together on the concept's direction.
        total: Projection of the activation.
    """
    return fires & (total > 0) & (carried >= SHARE * total)


def kept_by(
    sae: SAE,
    acts: csr_matrix | csc_matrix,
    latents: Int[np.ndarray, " latents"],
    direction: Float[np.ndarray, " d_in"],
    x: Float[np.ndarray, "rows d_in"],
    others: Bool[np.ndarray, " rows"],
) -> Bool[np.ndarray, " rows"]:
    """Whether a concept is kept on each row by the latents that stand for it.

    Args:
        sae: The SAE.
        acts: What `fitted` gives, of all rows.
        latents: The concept's own; none keeps nothing.
        direction: Of the concept, of unit length.
        x: Activations.
        others: Rows without the concept, over whose mean both projections are an excess.
    """
    own = acts[:, latents].toarray().astype(np.float64)
    dots, _ = unit_projections(sae, latents, direction)
    carried, total = excess(own @ dots, others), excess(x @ direction, others)
    return kept((own != 0).any(1), carried, total)
