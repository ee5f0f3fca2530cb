"""Rank sets: where among others each of several SAEs may stand, from all pairwise tests at once.

An SAE that is significantly worse than b others and significantly better than w of the p has a
rank of 1 + b to p - w. With Holm's correction over all pairs, the sets of all SAEs contain their
true ranks together in at least 95 % of cases. Source: Mogstad, Romano, Shaikh and Wilhelm,
"Inference for ranks" (Review of Economic Studies, 2024), with Holm's steps in the place of their
bootstrap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from saeval.evidence.multiple import holm

Pair = tuple[str, str]
"""Names of two SAEs."""
LEVEL = 0.05


@dataclass(frozen=True)
class RankSet:
    """The ranks that an SAE may have, 1 the best."""

    best: int
    worst: int
    of: int
    """SAEs that are ranked with it."""


@dataclass(frozen=True)
class Contest:
    """One comparison: by how much the first is better, and the p-value of its test."""

    advantage: float
    """Above 0 where the first is better."""
    p: float | None
    """Not corrected; None where no test is valid, so that nothing can be told."""


def verdicts(tests: Mapping[Pair, Contest]) -> dict[Pair, int]:
    """1 where the first of a pair is significantly better, -1 where it is worse, else 0.

    Args:
        tests: All pairs that are shown together; the correction is over those with a p-value.
    """
    tested = {pair: test for pair, test in tests.items() if test.p is not None}
    corrected = dict(zip(tested, holm([test.p or 0.0 for test in tested.values()]), strict=True))
    return {
        pair: (1 if test.advantage > 0 else -1) if corrected.get(pair, 1.0) < LEVEL else 0
        for pair, test in tests.items()
    }


def rank_sets(members: Sequence[str], found: Mapping[Pair, int]) -> dict[str, RankSet]:
    """The rank set of each of some SAEs, from the verdicts on all their pairs.

    Args:
        members: SAEs that are ranked among each other.
        found: What `verdicts` says of each pair, in either order.
    """
    better = dict.fromkeys(members, 0)
    worse = dict.fromkeys(members, 0)
    for (first, second), verdict in found.items():
        if verdict and first in better and second in better:
            winner, loser = (first, second) if verdict > 0 else (second, first)
            better[loser] += 1
            worse[winner] += 1
    count = len(members)
    return {name: RankSet(1 + better[name], count - worse[name], count) for name in members}
