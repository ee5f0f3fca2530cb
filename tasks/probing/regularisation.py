"""How strongly probes are regularised: one grid and one choice for every kind of probe."""

import numpy as np
from jaxtyping import Float

C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Weight of the loss against the penalty, from strong to weak regularisation, of probes on
features that are divided by their spread: few latents, all latents or the activations."""


def preferred(losses: Float[np.ndarray, "grid problems"]) -> Float[np.ndarray, " problems"]:
    """The value of `C_GRID` with the least loss on validation rows; of equals the strongest."""
    return np.array(C_GRID)[losses.argmin(0)]
