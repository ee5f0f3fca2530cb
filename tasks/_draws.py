"""Random numbers: one generator for each component that draws, so that none shifts another's."""

import numpy as np


def generator(seed: int, component: str) -> np.random.Generator:
    """Numbers of one component, such as `prompts`; every seed gives it others."""
    return np.random.default_rng([seed, *component.encode()])
