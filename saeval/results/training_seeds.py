"""Effect of training seeds on a score: mean and spread over SAEs that differ only in their seed.

An interval says how much a score would vary on other texts. The spread says how much it varies
when the SAE is trained again, which no interval over texts can tell.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from statistics import fmean, stdev

from saeval.results.score import Score


@dataclass(frozen=True)
class SeedSpread:
    """One metric over the members of a set of kind `seeds`."""

    set: str
    task: str
    task_version: int
    seed: int
    """Seed of the task; each member has a training seed of its own."""
    part: str | None
    metric: str
    unit: str | None
    mean: float
    """Over the members, each counting once."""
    sd: float | None
    """Standard deviation over the members (divisor n - 1), in the metric's unit, at least 0; None
    of a single one."""
    n: int
    """Members that have a value: training seeds, not texts."""
    lacking: int
    """Members of the set that were scored on the task but have no value of this metric."""


def over_training_seeds(scores: Iterable[Score], sets: Collection[str]) -> tuple[SeedSpread, ...]:
    """Mean and standard deviation over training seeds, of each metric and part.

    Args:
        scores: Scores of the members, each with the name of its set.
        sets: Names of the sets whose members differ only in their training seed.
    """
    values: dict[tuple[Score, ...] | tuple, list[Score]] = {}
    members: dict[tuple[str, str, int], set[str]] = {}
    for score in scores:
        if score.set in sets and score.set is not None and score.sae is not None:
            members.setdefault((score.set, score.task, score.seed), set()).add(score.sae)
            if score.value is not None:
                labels = (score.set, score.task, score.task_version, score.seed, score.part)
                values.setdefault((*labels, score.metric), []).append(score)
    return tuple(
        _spread(group, len(members[group[0].set or "", group[0].task, group[0].seed]))
        for group in values.values()
    )


def _spread(scores: list[Score], members: int) -> SeedSpread:
    example, numbers = scores[0], [score.value for score in scores if score.value is not None]
    return SeedSpread(
        set=example.set or "",
        task=example.task,
        task_version=example.task_version,
        seed=example.seed,
        part=example.part,
        metric=example.metric or "",
        unit=example.unit,
        mean=fmean(numbers),
        sd=stdev(numbers) if len(numbers) > 1 else None,
        n=len(numbers),
        lacking=members - len(numbers),
    )
