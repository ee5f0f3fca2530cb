"""AUC, accuracy and log-loss of log-odds."""

import numpy as np
from jaxtyping import Bool, Float

from .choosing import Labels


def auc_components(
    score: Float[np.ndarray, " rows"], y: Bool[np.ndarray, " rows"]
) -> Float[np.ndarray, " rows"]:
    """What each row adds to the AUC: the mean of these numbers is the AUC, their spread its error.

    A row's number is the AUC plus the row's influence on it. Its placement is the share of rows of
    the other label that it lies on the right side of, ties counting half; its influence is
    (placement - AUC) / (share of rows with the row's label).

    Source: DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated
    receiver operating characteristic curves" (1988), for the placements.
    """
    ones, zeros = np.sort(score[y]), np.sort(score[~y])
    # Twice the number of rows below or above: a tie is in one of the two searches, so counts half.
    below = np.searchsorted(zeros, score) + np.searchsorted(zeros, score, side="right")
    above = 2 * len(ones) - np.searchsorted(ones, score) - np.searchsorted(ones, score, "right")
    placement = np.where(y, below / (2 * max(1, len(zeros))), above / (2 * max(1, len(ones))))
    value = placement[y].mean()
    return value + (placement - value) / np.where(y, y.mean(), 1 - y.mean())


def is_right(
    score: Float[np.ndarray, " rows"], y: Bool[np.ndarray, " rows"]
) -> Bool[np.ndarray, " rows"]:
    """Whether log-odds above 0 mean yes rightly, row by row. The mean is the accuracy."""
    return (score > 0) == y


def log_loss(
    scores: Float[np.ndarray, "rows problems"],
    y: Labels,
    weight: Labels | Float[np.ndarray, "rows problems"],
) -> Float[np.ndarray, " problems"]:
    """Mean of -log p(label) over weighted rows, to six digits so that rounding decides nothing.

    In nats; log 2 for log-odds of 0, 0 for certainty that is right.
    """
    loss = np.logaddexp(0, np.where(y, -scores, scores))
    return np.round((loss * weight).sum(0) / weight.sum(0), 6)
