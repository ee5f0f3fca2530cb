"""First-letter absorption of one SAE: which latents stand for a letter, and where others step in.

Source: Chanin et al. 2024, "A is for Absorption", arXiv 2409.14507; SAEBench's projection
criterion for the two measures. `docs/tasks/absorption.md` says what differs and why.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csc_matrix, csr_matrix

from saeval.sae import SAE

from .._f1 import f1_score
from .projections import (
    SLIGHTLY_ALIGNED,
    absorbed_whole,
    absorption_fraction,
    carried_by_others,
    kept_by,
    lost,
    unit_projections,
)

SPLIT_GAIN = 0.03
"""F1 on validation words that a further main latent must add. Source: SAEBench (tau_fs)."""
MOST_MAIN = 10
"""Main latents that a letter can have. Source: SAEBench."""


@dataclass(frozen=True)
class Letters:
    """The words, their letters, and the model's own probes of them: nothing here needs an SAE."""

    x: Float[np.ndarray, "words d_in"]
    letter: Int[np.ndarray, " words"]
    split: Int[np.ndarray, " words"]
    """0 training, 1 validation, 2 test."""
    direction: Float[np.ndarray, "letters d_in"]
    says_yes: Bool[np.ndarray, "words letters"]
    usable: Bool[np.ndarray, " letters"]
    """Letters whose probe is good enough to judge an SAE by."""

    @property
    def judged(self) -> Int[np.ndarray, " judged"]:
        """Letters that an SAE is judged by: usable, and with a test word that is recognised."""
        return np.array(
            [letter for letter in np.flatnonzero(self.usable).tolist() if len(self.scored(letter))],
            int,
        )

    def scored(self, letter: int) -> Int[np.ndarray, " scored"]:
        """Test words of a letter that its probe recognises: the scored ones of a usable letter."""
        return np.flatnonzero((self.letter == letter) & (self.split == 2) & is_recognised(self))


def is_recognised(letters: Letters) -> Bool[np.ndarray, " words"]:
    """Whether the probe of each word's own letter says yes to it."""
    return letters.says_yes[np.arange(len(letters.letter)), letters.letter]


def is_scored(letters: Letters) -> Bool[np.ndarray, " words"]:
    """Whether an SAE can be judged by each word: its letter is usable, its probe says yes."""
    return is_recognised(letters) & letters.usable[letters.letter]


@dataclass(frozen=True)
class MainLatents:
    """The main latents of a letter."""

    latents: tuple[int, ...]
    """At least one, best first."""
    f1: float
    """F1 of "any of them is active" on test words."""


@dataclass(frozen=True)
class WordOutcomes:
    """The outcome of each scored word of a letter: is the letter absorbed, or lost?"""

    words: Int[np.ndarray, " scored"]
    fraction: Float[np.ndarray, " scored"]
    """Share of the letter's projection that absorbing latents carry, from 0 to 1."""
    whole: Bool[np.ndarray, " scored"]
    """Main latents are silent and one other latent carries the letter."""
    lost: Bool[np.ndarray, " scored"]
    """Main latents are silent and no other latent by itself carries the letter."""


def main_latents(
    active: csc_matrix, is_letter: Bool[np.ndarray, " words"], split: Int[np.ndarray, " words"]
) -> MainLatents:
    """The latents that best say "this letter" by being active, any of them.

    The first has the largest F1 on training words; another joins, again the best there, as long
    as F1 on validation words rises by more than `SPLIT_GAIN`.

    Args:
        active: Whether each latent is active on each word, as numbers.
        is_letter: Words that begin with the letter.
        split: Of each word.
    """
    train, valid, test = (split == i for i in range(3))
    detected = np.zeros(len(split), bool)
    latents: list[int] = []
    score = -np.inf
    while len(latents) < MOST_MAIN:
        latent = _best_addition(active, detected, is_letter, train)
        extended = detected | (active[:, [latent]].toarray()[:, 0] != 0)
        new_score = float(f1_score(extended[valid], is_letter[valid]))
        if latents and new_score <= score + SPLIT_GAIN:
            break
        detected, score = extended, new_score
        latents.append(latent)
    return MainLatents(tuple(latents), float(f1_score(detected[test], is_letter[test])))


def _best_addition(
    active: csc_matrix,
    detected: Bool[np.ndarray, " words"],
    is_letter: Bool[np.ndarray, " words"],
    train: Bool[np.ndarray, " words"],
) -> int:
    """The latent that, added to those so far, gives the largest F1 on training words."""
    hits = (detected & is_letter & train).sum() + active.T @ (~detected & is_letter & train)
    positives = (detected & train).sum() + active.T @ (~detected & train)
    return int((2 * hits / (positives + (is_letter & train).sum())).argmax())


def word_outcomes(
    sae: SAE, acts: csr_matrix, letters: Letters, letter: int, main: MainLatents
) -> WordOutcomes:
    """What carries a letter's direction on each of its scored words.

    The projection of x on the probe's unit direction is taken as the excess over the training
    words of other letters, and so is what each latent adds to it. Then neither the mean
    activation nor a latent that is always on counts as carrying a letter.

    Args:
        sae: The SAE.
        acts: `contributions` of all words.
        letters: The words.
        letter: Which letter, usable.
        main: Its main latents.
    """
    words = letters.scored(letter)
    others = (letters.letter != letter) & (letters.split == 0)
    direction = letters.direction[letter].astype(np.float64)
    baseline = np.asarray(acts[others].mean(0, dtype=np.float64))[0]
    total = (letters.x[words] - letters.x[others].mean(0, dtype=np.float64)) @ direction
    main_index = np.array(main.latents)
    main_acts = acts[words][:, main_index].toarray()
    dots, _ = unit_projections(sae, main_index, direction)
    excess = acts[words].astype(np.float64)
    excess.data -= baseline[excess.indices]
    carried = carried_by_others(sae, excess, main_index, direction)
    best = np.where(carried.cosine >= SLIGHTLY_ALIGNED, carried.added, 0).max(1)
    silent = (main_acts == 0).all(1)
    whole = absorbed_whole(silent, best, total)
    fraction = absorption_fraction(
        (main_acts - baseline[main_index]) @ dots, carried.absorbing, total
    )
    return WordOutcomes(words, fraction, whole, lost(silent, whole))


def kept_letter_f1(
    sae: SAE, acts: csr_matrix, letters: Letters, letter: int, main: MainLatents
) -> float:
    """F1 of "the main latents have the letter" on test words.

    They have it on a scored word where they carry it, and on a word of another letter where one of
    them is active, which is a false alarm. The letter's own words that are not scored do not count.

    Args:
        sae: The SAE.
        acts: What `fitted` gives for all words.
        letters: The words.
        letter: Which letter, usable.
        main: Its main latents.
    """
    is_letter = letters.letter == letter
    main_index, others = np.array(main.latents), ~is_letter & (letters.split == 0)
    direction = letters.direction[letter].astype(np.float64)
    is_kept = kept_by(sae, acts, main_index, direction, letters.x, others)
    fires = (acts[:, main_index].toarray() != 0).any(1)
    counts = ~is_letter & (letters.split == 2)
    counts[letters.scored(letter)] = True
    return float(f1_score(np.where(is_letter, is_kept, fires)[counts], is_letter[counts]))


def active_of(acts: csr_matrix) -> csc_matrix:
    """1 where a latent is active, which is wherever it has an entry."""
    ones = np.ones(len(acts.data), np.float32)
    return csc_matrix(csr_matrix((ones, acts.indices, acts.indptr), shape=acts.shape))
