"""P-values of several comparisons that are shown together."""

from collections.abc import Sequence

import numpy as np


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values after Holm's correction, in the order given, each at most 1.

    Among all that fall below 0.05, one or more are false in at most 5 % of families, however the
    comparisons depend on each other. Source: Holm (1979), Scand. J. Statist. 6.
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted.tolist()
