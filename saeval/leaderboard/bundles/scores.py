"""Scores of a submitted result, computed again from its evidence."""

from saeval.leaderboard.bundles.records import Submitted
from saeval.results.verification import faults_of


def score_faults(result: Submitted) -> tuple[str, ...]:
    """All scores, intervals and n that do not follow from the evidence to 1e-9.

    A result of another harness has no evidence: that it is marked as such is all there is to check.
    """
    return tuple(f"{result.place}: {fault}" for fault in faults_of(result.folder))
