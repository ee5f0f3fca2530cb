"""Seeds of a task: one score of an SAE over three or more, with an interval that includes the seed.

These are seeds of the evaluation, which draw texts, words and splits. Training seeds, which make
other SAEs, are in `training_seeds`.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from saeval.errors import ResultError
from saeval.results.score import Score

if TYPE_CHECKING:
    from saeval.evidence import Evidence

LEAST_SEEDS = 3
"""Fewest seeds of which a mean is shown in place of each."""
Name = tuple[str, str | None, str | None]
"""Task, metric and part of a score."""
EvidenceOf = Callable[[str], Sequence["Evidence"]]
"""Evidence of a result by its id; raises ResultError where it cannot be read."""


@dataclass(frozen=True)
class OverSeeds:
    """Scores in which those of several seeds are one."""

    scores: tuple[Score, ...]
    """The joined ones have the lowest of their seeds."""
    seeds: dict[tuple[str | None, str | None], tuple[int, ...]]
    """SAE and set -> the seeds that were joined; without those whose seeds stay apart."""


def join_seeds(
    scores: Sequence[Score], shown: Collection[Name], evidence_of: EvidenceOf
) -> OverSeeds:
    """The scores, those of three or more seeds of an SAE joined to their mean.

    Joined are SAEs of which every shown figure has a value in the same three or more seeds, in one
    version of its task, and evidence that can be read. The others stay as they are.

    Args:
        scores: Of any SAEs and seeds.
        shown: Figures whose intervals are computed. Others are left as they are in the first seed.
        evidence_of: The evidence of a result.
    """
    by_sae: dict[tuple[str | None, str | None], list[Score]] = {}
    for score in scores:
        by_sae.setdefault((score.sae, score.set), []).append(score)
    joined: dict[tuple[str | None, str | None], tuple[list[Score], tuple[int, ...]]] = {}
    for label, own in by_sae.items():
        seeds = tuple(sorted({score.seed for score in own}))
        if len(seeds) >= LEAST_SEEDS and (mean := _joined(own, seeds, shown, evidence_of)):
            joined[label] = (mean, seeds)
    result: list[Score] = []
    for label, own in by_sae.items():
        result += joined[label][0] if label in joined else own
    return OverSeeds(tuple(result), {label: seeds for label, (_, seeds) in joined.items()})


def seeds_text(seeds: Sequence[int]) -> str:
    """Seeds in few words: `0 to 11` where none between is absent, `0, 3, 7`, or `12 seeds`."""
    if len(seeds) > 1 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]} to {seeds[-1]}"
    listed = ", ".join(map(str, seeds))
    return listed if len(listed) <= 10 else f"{len(seeds)} seeds"


def _joined(
    scores: Sequence[Score], seeds: Sequence[int], shown: Collection[Name], evidence_of: EvidenceOf
) -> list[Score] | None:
    """The scores of one SAE over its seeds; None if they cannot be joined."""
    by_name: dict[Name, list[Score]] = {}
    for score in scores:
        by_name.setdefault((score.task, score.metric, score.part), []).append(score)
    means = []
    for name, own in by_name.items():
        if name not in shown:
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
        reason=found.reason,
    )
