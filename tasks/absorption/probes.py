"""Dense probes of first letters: what the model itself knows, before any SAE is asked."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from .._f1 import f1_score
from .._logistic import fit_logistic
from .words import LETTERS

C_GRID = (1e-3, 1e-2, 1e-1)
"""Weights of the loss against the penalty; validation words select one. Features have unit
variance, and with some thousand words these values span what helps."""
LEAST_WORDS = 3
"""Words that a letter needs in each split."""


@dataclass(frozen=True)
class LetterProbes:
    """One linear probe per letter. Letters without enough words have a direction of zeros."""

    direction: Float[np.ndarray, "letters d_in"]
    """Of unit length, in the units of the activations."""
    says_yes: Bool[np.ndarray, "words letters"]
    """Whether each probe says that a word begins with its letter."""
    valid_f1: Float[np.ndarray, " letters"]
    """On validation words, which also chose penalty and threshold."""


def fit_letter_probes(
    x: Float[np.ndarray, "words d_in"],
    letter: Int[np.ndarray, " words"],
    split: Int[np.ndarray, " words"],
) -> LetterProbes:
    """Fit on training words; penalty (one for all) and thresholds are best on validation words."""
    is_letter = letter[:, None] == np.arange(len(LETTERS))
    probed = probed_letters(letter, split)
    yes = np.zeros(is_letter.shape, bool)
    direction = np.zeros((len(LETTERS), x.shape[1]), np.float32)
    valid_f1 = np.zeros(len(LETTERS))
    if not len(probed):
        return LetterProbes(direction, yes, valid_f1)
    train, valid = split == 0, split == 1
    scale = x[train].std(0) + 1e-6  # not 0 where a dimension never varies
    z, y = torch.from_numpy(x / scale), torch.from_numpy(is_letter[:, probed])
    fits = []
    for c in C_GRID:
        probes = fit_logistic(z[train], y[train], c)
        scores = probes.scores(z).numpy()
        cuts = [
            best_threshold(scores[valid, i], is_letter[valid, letter_number])
            for i, letter_number in enumerate(probed)
        ]
        prediction = scores > cuts
        f1 = f1_score(prediction[valid], is_letter[valid][:, probed])
        fits.append((f1.mean(), f1, prediction, probes.coef.numpy() / scale))
    _, valid_f1[probed], yes[:, probed], coef = max(fits, key=lambda fit: fit[0])
    direction[probed] = coef / np.linalg.norm(coef, axis=1, keepdims=True)
    return LetterProbes(direction, yes, valid_f1)


def probed_letters(
    letter: Int[np.ndarray, " words"], split: Int[np.ndarray, " words"]
) -> Int[np.ndarray, " probed"]:
    """Letters with enough words in each split, and enough words of others."""
    counts = np.zeros((len(LETTERS), 3), int)
    np.add.at(counts, (letter, split), 1)
    others = counts.sum(0) - counts
    return np.flatnonzero((counts >= LEAST_WORDS).all(1) & (others >= LEAST_WORDS).all(1))


def best_threshold(scores: Float[np.ndarray, " rows"], label: Bool[np.ndarray, " rows"]) -> float:
    """The threshold with the largest F1, half way between two scores.

    A letter has few validation words, so several thresholds often share the largest F1 and lie
    far apart. The middle one of these is taken, which is farthest from where F1 falls. Both
    labels must occur among the rows.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    hits = np.cumsum(label[order])
    f1 = 2 * hits / (np.arange(1, len(scores) + 1) + label.sum())
    f1[:-1][ranked[:-1] == ranked[1:]] = -1  # a threshold cannot part equal scores
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    last = int(best[len(best) // 2])
    below = ranked[last + 1] if last + 1 < len(ranked) else ranked[last] - 1
    return float(ranked[last] + below) / 2
