"""The planted directions of a synthetic world: unit vectors kept apart, in a hierarchy."""

import numpy as np
from jaxtyping import Float, Int

from saeval.errors import UsageError
from saeval.lab.worlds import WorldSpec

ROUNDS = 2000
"""Rounds of pushing apart after which a dictionary counts as impossible."""


def plant_hierarchy(spec: WorldSpec) -> Int[np.ndarray, " features"]:
    """Parent of each feature, -1 for none. Parents come before their children.

    Features 0 to roots - 1 are the roots, then level by level their descendants, then the rest.
    """
    parent = np.full(spec.features, -1)
    level = np.arange(spec.roots)
    first = spec.roots
    for _ in range(spec.depth - 1):
        count = len(level) * spec.children
        parent[first : first + count] = np.repeat(level, spec.children)
        level = np.arange(first, first + count)
        first += count
    return parent


def plant_dictionary(
    spec: WorldSpec, parent: Int[np.ndarray, " features"], rng: np.random.Generator
) -> Float[np.ndarray, "features d"]:
    """Unit directions no two of which are closer than the spec allows.

    Random directions are pushed apart, all close pairs at once, until no pair is too close.

    Raises:
        UsageError: if so many directions do not fit.
    """
    rows = _unit(rng.standard_normal((spec.features, spec.d)))
    child = np.flatnonzero(parent >= 0)
    target_cosine = np.zeros((spec.features, spec.features))
    if spec.child_cosine:
        target_cosine[child, parent[child]] = target_cosine[parent[child], child] = (
            spec.child_cosine
        )
    slack = np.where(target_cosine > 0, 0.01, spec.max_cosine)
    if spec.child_cosine:
        # Siblings share a part of their parent, which cannot be pushed out of them.
        siblings = (parent[:, None] == parent[None, :]) & (parent[:, None] >= 0)
        target_cosine[siblings] = spec.child_cosine**2
    np.fill_diagonal(target_cosine, 1.0)
    for _ in range(ROUNDS):
        excess = rows @ rows.T - target_cosine
        too_close = np.abs(excess) > slack
        if not too_close.any():
            return rows.astype(np.float32)
        # Aim a little inside the allowed range, in steps of a quarter: full steps overshoot, as
        # each direction is pushed by many others at once.
        target = np.sign(excess) * 0.95 * slack
        rows = _unit(rows - 0.25 * np.where(too_close, excess - target, 0) @ rows)
    raise UsageError(
        f"World '{spec.name}': {spec.features} directions in {spec.d} dimensions do not fit with "
        f"cosines up to {spec.max_cosine}. Allow more (`max_cosine`) or plant fewer."
    )


def _unit(rows: Float[np.ndarray, "features d"]) -> Float[np.ndarray, "features d"]:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)
