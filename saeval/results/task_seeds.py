"""Seeds of a task: one score of an SAE over three or more, with an interval that includes the seed.

These are seeds of the evaluation, which draw texts, words and splits. Training seeds, which make
other SAEs, are in `training_seeds`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

from saeval.errors import ResultError
from saeval.results.score import Score

if TYPE_CHECKING:
    from saeval.evidence import Evidence

Name = tuple[str, str | None, str | None]
"""Task, metric and part of a score."""
Subject = tuple[str | None, str | None, str]
"""SAE, set and task."""
EvidenceOf = Callable[[str], Sequence["Evidence"]]
"""Evidence of a result by its id; raises ResultError where it cannot be read."""


@dataclass(frozen=True)
class OverSeeds:
    """Scores in which those of several seeds are one."""

    scores: tuple[Score, ...]
    """The joined ones have the lowest of their seeds."""
    seeds: Mapping[Subject, tuple[int, ...]]
    """The seeds that were joined; without what stays apart."""
    moved: frozenset[Subject]
    """What was joined and has a shown figure that differs between seeds."""


def join_seeds(
    scores: Sequence[Score], shown: Collection[Name], evidence_of: EvidenceOf
) -> OverSeeds:
    """The scores, those of one SAE and task over three or more seeds joined to their mean.

    Joined is what has every shown figure in all of its seeds, in one version of the task, with
    evidence that can be read. A figure that has a value in no seed does not hinder it, and is one
    row. All else stays as it is.

    Args:
        scores: Of any SAEs, tasks and seeds.
        shown: Figures whose intervals are computed. Others are left as they are in the first seed.
        evidence_of: The evidence of a result.
    """
    from saeval.evidence.pooling import LEAST_SEEDS

    by_subject: dict[Subject, list[Score]] = {}
    for score in scores:
        by_subject.setdefault((score.sae, score.set, score.task), []).append(score)
    joined: list[Score] = []
    seeds: dict[Subject, tuple[int, ...]] = {}
    moved: set[Subject] = set()
    for subject, own in by_subject.items():
        of_subject = tuple(sorted({score.seed for score in own}))
        enough = len(of_subject) >= LEAST_SEEDS
        means = _joined(own, of_subject, shown, evidence_of) if enough else None
        joined += own if means is None else means
        if means is not None:
            seeds[subject] = of_subject
            if _differ(score for score in own if _name(score) in shown):
                moved.add(subject)
    return OverSeeds(tuple(joined), seeds, frozenset(moved))


def seeds_text(seeds: Sequence[int]) -> str:
    """Seeds in few words: `0 to 11` where none between is absent, `0, 3, 7`, or `12 seeds`."""
    if len(seeds) > 1 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    listed = ", ".join(map(str, seeds))
    return listed if len(listed) <= 10 else seeds_number(seeds)


def seeds_number(seeds: Sequence[int]) -> str:
    """`12 seeds`."""
    return f"{len(seeds)} seeds"


def _name(score: Score) -> Name:
    return score.task, score.metric, score.part


def _differ(scores: Iterable[Score]) -> bool:
    """Whether a figure has more than one value among scores of several seeds."""
    values: dict[Name, set[float | None]] = {}
    for score in scores:
        values.setdefault(_name(score), set()).add(score.value)
    return any(len(own) > 1 for own in values.values())


def _joined(
    scores: Sequence[Score], seeds: Sequence[int], shown: Collection[Name], evidence_of: EvidenceOf
) -> list[Score] | None:
    """The scores of one SAE and task over its seeds; None if they cannot be joined."""
    by_name: dict[Name, list[Score]] = {}
    for score in scores:
        by_name.setdefault(_name(score), []).append(score)
    means = []
    for name, own in by_name.items():
        if name not in shown or all(score.value is None for score in own):
            means.append(replace(own[0], seed=seeds[0]))
            continue
        is_whole = {score.seed for score in own} == set(seeds) and len(own) == len(seeds)
        is_alike = len({score.task_version for score in own}) == 1
        if not is_whole or not is_alike or any(score.value is None for score in own):
            return None
        try:
            means.append(replace(_mean_score(own, evidence_of), seed=seeds[0]))
        except ResultError:
            return None
    return means


def _mean_score(scores: Sequence[Score], evidence_of: EvidenceOf) -> Score:
    """The mean of a figure, and of its anchors, which each seed's data may set anew."""
    from saeval.evidence import over_seeds

    evidence = []
    for score in scores:
        own = [
            entry
            for entry in evidence_of(score.result_id or "")
            if (entry.metric, entry.part) == (score.metric, score.part)
        ]
        if not own:
            raise ResultError(f"There is no evidence of '{score.metric}' of seed {score.seed}.")
        evidence += own
    found = over_seeds(evidence)
    return replace(
        scores[0],
        value=found.mean,
        stderr=found.stderr,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        floor=_mean([score.floor for score in scores]),
        ceiling=_mean([score.ceiling for score in scores]),
        reason=found.reason,
    )


def _mean(anchors: Sequence[float | None]) -> float | None:
    """Mean of the anchors; None where a seed has none."""
    known = [anchor for anchor in anchors if anchor is not None]
    return fmean(known) if len(known) == len(anchors) else None
