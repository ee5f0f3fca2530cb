"""What plots show of each SAE: its value with interval, its L0, and what it is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from saeval.errors import UsageError, suggestion
from saeval.results.comparison.kin import Kin
from saeval.results.comparison.measured import L0, L0_TASK
from saeval.results.comparison.pool import Item
from saeval.results.score import Score
from saeval.results.task_seeds import join_seeds


@dataclass(frozen=True)
class Point:
    """One SAE in a plot."""

    label: str
    family: str
    """Its architecture, or how it was trained where several share one."""
    is_null: bool
    score: Score
    """The metric, over all data; the mean over seeds where there are three or more."""
    l0: float | None
    """Active latents per token."""


def points(kin: Kin, metric: str, task: str | None = None) -> list[Point]:
    """A point for each SAE that has a value of the metric.

    Raises:
        UsageError: if no SAE has one, or several tasks report it and none is named.
    """
    pool = kin.pool
    names = [s.metric or "" for item in pool.items for s in item.result.scores if s.part is None]
    tasks = dict.fromkeys(
        item.result.task
        for item in pool.items
        if item.score(metric) and task in (None, item.result.task)
    )
    if not tasks:
        raise UsageError(
            f"There is no metric '{metric}' in these results.{suggestion(metric, names)}"
        )
    if len(tasks) > 1:
        raise UsageError(f"'{metric}' is a metric of {', '.join(tasks)}; say which task is meant.")
    own = next(iter(tasks))
    found = []
    for label in pool.labels:
        score = _score(pool.of_task(label, own), metric)
        if score is None or score.value is None:
            continue
        about = pool.about[label]
        places = [s.value for i in pool.of_task(label, L0_TASK) if (s := i.score(L0)) and s.value]
        found.append(
            Point(
                label,
                kin.family_name(label),
                about.is_null,
                score,
                fmean(places) if places else None,
            )
        )
    if not found:
        raise UsageError(f"No SAE of these results has a value of '{metric}'.")
    return found


def _score(items: Sequence[Item], metric: str) -> Score | None:
    """The metric of one SAE: over three seeds or more their mean, else that of the first seed."""
    scores = {
        item.result.seed: score for item in items if (score := item.score(metric)) is not None
    }
    if not scores:
        return None
    own = [scores[seed] for seed in sorted(scores)]
    joined = join_seeds(own, {(own[0].task, metric, None)}, items[0].evidence_of).scores
    return joined[0]


def error_bars(scores: Iterable[Score]) -> dict[str, object]:
    """Intervals as plotly's error bars; of length 0 where there is none."""
    own = list(scores)
    return {
        "type": "data",
        "symmetric": False,
        "array": [
            (s.ci_high - s.value) if s.ci_high is not None and s.value is not None else 0
            for s in own
        ],
        "arrayminus": [
            (s.value - s.ci_low) if s.ci_low is not None and s.value is not None else 0 for s in own
        ],
        "thickness": 1.4,
        "width": 4,
    }
