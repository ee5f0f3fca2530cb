"""First-letter absorption of one SAE: which latents stand for a letter, and where others step in.

Source: Chanin et al. 2024, "A is for Absorption", arXiv 2409.14507; SAEBench's projection
criterion for the two measures. `docs/tasks/absorption.md` says what differs and why.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csc_matrix, csr_matrix

from saeval.sae import SAE

from .._encoded import Encoded, padded_rows, unit_projections
from .._f1 import f1_score

SPLIT_GAIN = 0.03
"""F1 on validation words that a further main latent must add. Source: SAEBench (tau_fs)."""
MOST_MAIN = 10
"""Main latents a letter can have. Source: SAEBench."""
SHARE = 0.4
"""Of the probe's projection that absorbing latents must carry. Source: SAEBench."""
ALIGNED = 0.1
"""Cosine with the probe that a latent needs to absorb in part. Source: SAEBench."""
SLIGHTLY_ALIGNED = 0.025
"""Cosine that the one latent needs which absorbs a word whole. Source: SAEBench."""
ABSORBERS = 3
"""Latents that may share in absorbing a word. Source: SAEBench."""


@dataclass(frozen=True)
class Letters:
    """What is known of the words before any SAE."""

    x: Float[np.ndarray, "words d_in"]
    letter: Int[np.ndarray, " words"]
    split: Int[np.ndarray, " words"]
    """0 training, 1 validation, 2 test."""
    direction: Float[np.ndarray, "letters d_in"]
    says_yes: Bool[np.ndarray, "words letters"]
    usable: Bool[np.ndarray, " letters"]
    """Letters whose probe is good enough to judge an SAE by."""

    def scored(self, letter: int) -> Int[np.ndarray, " scored"]:
        """Test words of a letter that its probe recognises."""
        there = (self.letter == letter) & (self.split == 2) & self.says_yes[:, letter]
        return np.flatnonzero(there)


@dataclass(frozen=True)
class Main:
    """The main latents of a letter."""

    latents: tuple[int, ...]
    """At least one, best first."""
    test_hits: Mapping[str, float]
    """`tp`, `fp` and `fn` of "any of them is active" on test words."""

    @property
    def f1(self) -> float:
        """Of that on test words."""
        hits = self.test_hits
        return 2 * hits["tp"] / max(2 * hits["tp"] + hits["fp"] + hits["fn"], 1)


@dataclass(frozen=True)
class Absorbed:
    """What happens to each scored word of a letter."""

    words: Int[np.ndarray, " scored"]
    fraction: Float[np.ndarray, " scored"]
    """Of the letter's projection that absorbing latents carry, from 0 to 1."""
    whole: Bool[np.ndarray, " scored"]
    """Main latents are silent and one other latent carries the letter."""
    lost: Bool[np.ndarray, " scored"]
    """Main latents are silent and no other latent by itself carries the letter."""


def main_latents(
    active: csc_matrix, is_letter: Bool[np.ndarray, " words"], split: Int[np.ndarray, " words"]
) -> Main:
    """The latents that best say "this letter" by being active, any of them.

    The first has the largest F1 on training words; another joins, again the best there, as long
    as F1 on validation words rises by more than `SPLIT_GAIN`.

    Args:
        active: Whether each latent is active on each word, as numbers.
        is_letter: Words that begin with the letter.
        split: Of each word.
    """
    train, valid, test = (split == i for i in range(3))
    said = np.zeros(len(split), bool)
    chosen: list[int] = []
    score = -np.inf
    while len(chosen) < MOST_MAIN:
        latent = _best_addition(active, said, is_letter, train)
        joined = said | (active[:, [latent]].toarray()[:, 0] != 0)
        new = float(f1_score(joined[valid], is_letter[valid]))
        if chosen and new <= score + SPLIT_GAIN:
            break
        said, score = joined, new
        chosen.append(latent)
    hits = {
        "tp": float((said & is_letter)[test].sum()),
        "fp": float((said & ~is_letter)[test].sum()),
        "fn": float((~said & is_letter)[test].sum()),
    }
    return Main(tuple(chosen), hits)


def _best_addition(
    active: csc_matrix,
    said: Bool[np.ndarray, " words"],
    is_letter: Bool[np.ndarray, " words"],
    train: Bool[np.ndarray, " words"],
) -> int:
    """The latent with which, beside what is said already, F1 on training words is largest."""
    hits = (said & is_letter & train).sum() + active.T @ (~said & is_letter & train)
    yes = (said & train).sum() + active.T @ (~said & train)
    return int((2 * hits / (yes + (is_letter & train).sum())).argmax())


def absorbed(sae: SAE, acts: csr_matrix, letters: Letters, letter: int, main: Main) -> Absorbed:
    """Who carries a letter's direction on each of its scored words.

    The projection of x on the probe's unit direction is taken as the excess over the training
    words of other letters, and so is what each latent adds to it. Then neither the mean
    activation nor a latent that is always on counts as carrying a letter.

    Args:
        sae: The SAE.
        acts: `Encoded.contributions` of all words.
        letters: The words.
        letter: Which letter, usable.
        main: Its main latents.
    """
    words = letters.scored(letter)
    others = (letters.letter != letter) & (letters.split == 0)
    direction = letters.direction[letter].astype(np.float64)
    usual = np.asarray(acts[others].mean(0), np.float64)[0]
    total = (letters.x[words] - letters.x[others].mean(0)) @ direction
    own = np.array(main.latents)
    dots, _ = unit_projections(sae, own, direction)
    by_main = acts[words][:, own].toarray() - usual[own]
    carried, cosine = _carried(sae, acts[words], usual, own, direction)
    silent = (acts[words][:, own].toarray() == 0).all(1)
    partial = np.sort(np.where(cosine >= ALIGNED, carried, 0).clip(min=0), axis=1)
    best = np.where(cosine >= SLIGHTLY_ALIGNED, carried, 0).max(1, initial=0)
    whole = silent & (total > 0) & (best >= SHARE * total)
    return Absorbed(
        words,
        absorption_fraction(by_main @ dots, partial[:, -ABSORBERS:].sum(1), total),
        whole,
        silent & ~whole,
    )


def _carried(
    sae: SAE,
    acts: csr_matrix,
    usual: Float[np.ndarray, " d_sae"],
    own: Int[np.ndarray, " main"],
    direction: Float[np.ndarray, " d_in"],
) -> tuple[Float[np.ndarray, "words most"], Float[np.ndarray, "words most"]]:
    """What the active latents of each word add along a direction, and their cosine with it.

    Main latents add 0 here. Padded with zeros to the word with most active latents.
    """
    latents, place = np.unique(acts.indices, return_inverse=True)
    dots, cosines = unit_projections(sae, latents, direction)
    added = np.where(np.isin(acts.indices, own), 0, (acts.data - usual[acts.indices]) * dots[place])
    return padded_rows(acts, added), padded_rows(acts, cosines[place])


def absorption_fraction(
    main: Float[np.ndarray, " words"],
    absorbing: Float[np.ndarray, " words"],
    total: Float[np.ndarray, " words"],
) -> Float[np.ndarray, " words"]:
    """Share of a direction that absorbing latents carry, of what they and the main ones carry.

    a / (a + main) with a = min(absorbing, total - main), so that a latent is not blamed for more
    than the main ones leave; 0 where these leave nothing, or where the absorbing ones carry less
    than `SHARE` of the total; 1 where the main ones carry nothing.

    Args:
        main: Projection of the main latents' sum.
        absorbing: Projection of the absorbing latents' sum, at least 0.
        total: Projection of the activation.

    Source: SAEBench, absorption, `mean_absorption_fraction`.
    """
    none = (main >= total) | (absorbing < SHARE * total) | (total <= 0)
    blamed = np.minimum(absorbing, total - main)
    kept = np.maximum(main, 0)
    return np.where(none, 0.0, blamed / np.where(none, 1.0, blamed + kept)).clip(0, 1)


def active_of(encoded: Encoded) -> csc_matrix:
    """1 where a latent is active, which is wherever it is not 0."""
    acts = encoded.acts
    ones = np.ones(len(acts.data), np.float32)
    return csc_matrix(csr_matrix((ones, acts.indices, acts.indptr), shape=acts.shape))
