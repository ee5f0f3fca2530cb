"""Does the lab's model take a child for its parent? A discriminant that leaves the child out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from .occurrences import Occurrences

SHRINKAGE = 0.1
"""Shrinkage of the covariance towards a sphere. With little of it a probe learns its words by
heart; with this value it finds that the lab's model takes 97 % of children for their parent, and
1 to 3 % of the matched words for their companion."""


@dataclass(frozen=True)
class Discriminant:
    """Tells a parent's words from others, fitted without one child of the parent's."""

    direction: Float[np.ndarray, " d_in"]
    """Of unit length: (mean of the family's words - mean of others) by the inverse covariance."""
    threshold: float
    """Half way between the two means, along the direction."""


def discriminants(occurrences: Occurrences) -> Mapping[str, Discriminant]:
    """Child -> the discriminant of its parent, of choosing rows, whose means leave the child out.

    A child whose parent and siblings do not occur among the choosing rows has none.
    """
    choosing = ~occurrences.counts
    x, word = occurrences.x[choosing].astype(np.float64), occurrences.word[choosing]
    if not (word >= 0).any():
        return {}
    covariance = np.cov(x.T)
    size = np.trace(covariance) / len(covariance)
    inverse = np.linalg.inv(covariance + SHRINKAGE * size * np.eye(len(covariance)))
    present, group = np.unique(word[word >= 0], return_inverse=True)
    means = np.zeros((len(occurrences.words), x.shape[1]))
    np.add.at(means, present[group], x[word >= 0])
    means[present] /= np.bincount(group)[:, None]
    found = {}
    for family in occurrences.families:
        members = [occurrences.words.index(word) for word in (family.parent, *family.children)]
        others = means[np.setdiff1d(present, members)].mean(0)
        for child, name in zip(members[1:], family.children, strict=True):
            relatives = [member for member in members if member != child and member in present]
            if relatives:
                centre = means[relatives].mean(0)
                normal = inverse @ (centre - others)
                direction = normal / max(np.linalg.norm(normal), np.finfo(float).tiny)
                threshold = float((centre + others) @ direction / 2)
                found[name] = Discriminant(direction, threshold)
    return found


def seen_as_parent(
    occurrences: Occurrences, found: Mapping[str, Discriminant]
) -> Bool[np.ndarray, " rows"]:
    """Where the model takes a child for an instance of its parent; False on all other rows.

    The means of the discriminant leave out the child in question, so that it passes only if the
    model puts it near its parent and its siblings.
    """
    recognised = np.zeros(len(occurrences.x), bool)
    for child, discriminant in found.items():
        rows = occurrences.rows_of([child])
        recognised[rows] = occurrences.x[rows] @ discriminant.direction > discriminant.threshold
    return recognised
