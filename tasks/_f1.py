"""F1 of yes-or-no predictions, and the F1 of knowing nothing."""

import numpy as np
from jaxtyping import Bool, Float, Int


def f1_hits(
    prediction: Bool[np.ndarray, "rows *problems"], label: Bool[np.ndarray, "rows *problems"]
) -> Int[np.ndarray, "rows *problems"]:
    """What each row adds to the numerator of F1: 2 where yes is predicted and right (2 TP)."""
    return 2 * (prediction & label)


def f1_total(
    prediction: Bool[np.ndarray, "rows *problems"], label: Bool[np.ndarray, "rows *problems"]
) -> Int[np.ndarray, "rows *problems"]:
    """What each row adds to the denominator of F1, which is 2 TP + FP + FN.

    1 where yes is predicted, and 1 where it is true.
    """
    return prediction.astype(np.int64) + label


def f1_score(
    prediction: Bool[np.ndarray, "rows *problems"], label: Bool[np.ndarray, "rows *problems"]
) -> Float[np.ndarray, "*problems"]:
    """2 TP / (2 TP + FP + FN) over the rows; 0 where no row is yes, in truth or prediction."""
    total = f1_total(prediction, label).sum(0)
    return np.asarray(f1_hits(prediction, label).sum(0) / np.maximum(total, 1))


def always_yes_f1(share: Float[np.ndarray, "*problems"]) -> Float[np.ndarray, "*problems"]:
    """F1 of saying yes to all rows, of which this share is yes: the best that ignorance can do."""
    return np.asarray(2 * share / (1 + share))
