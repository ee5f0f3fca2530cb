"""F1 of yes and no, and that of knowing nothing."""

import numpy as np
from jaxtyping import Bool, Float, Int


def f1_hits(
    said: Bool[np.ndarray, "rows *problems"], label: Bool[np.ndarray, "rows *problems"]
) -> Int[np.ndarray, "rows *problems"]:
    """What each row adds to the numerator of F1: 2 where yes is said and right (2 TP)."""
    return 2 * (said & label)


def f1_total(
    said: Bool[np.ndarray, "rows *problems"], label: Bool[np.ndarray, "rows *problems"]
) -> Int[np.ndarray, "rows *problems"]:
    """What each row adds to its denominator: 1 where said, 1 where true (2 TP + FP + FN)."""
    return said.astype(np.int64) + label


def f1_score(
    said: Bool[np.ndarray, "rows *problems"], label: Bool[np.ndarray, "rows *problems"]
) -> Float[np.ndarray, "*problems"]:
    """2 TP / (2 TP + FP + FN) down the rows; 0 where nothing is there nor said to be."""
    total = f1_total(said, label).sum(0)
    return np.asarray(f1_hits(said, label).sum(0) / np.maximum(total, 1))


def always_yes_f1(share: Float[np.ndarray, "*problems"]) -> Float[np.ndarray, "*problems"]:
    """F1 of saying yes to all where this share is: the best that knowing nothing can do."""
    return np.asarray(2 * share / (1 + share))
