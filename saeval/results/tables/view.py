"""Which of many scores a person is shown: the headline of each task, or what was asked for."""

import fnmatch
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from saeval.errors import UsageError, suggestion
from saeval.results.score import Score
from saeval.results.text import one_line

HEADLINE = 8
"""Metrics shown of all tasks together where several SAEs stand in one table."""
FEWEST = 2
"""Metrics shown of a task, however many tasks there are."""
PARTS_SHOWN = 6
"""Parts shown of a metric that has no figure over all of them."""

Figure = tuple[str, str | None]
"""A metric, and the part of the data that its figure is about; None for all of it."""


@dataclass(frozen=True)
class Task:
    """Scores of one task, and which of their figures are shown."""

    name: str
    version: int
    scores: tuple[Score, ...]
    figures: tuple[Figure, ...]

    @property
    def title(self) -> str:
        """Name and version."""
        return one_line(f"{self.name} v{self.version}")

    @property
    def rows(self) -> tuple[tuple[str, int], ...]:
        """SAEs (or sets) and seeds, each pair once."""
        return tuple(dict.fromkeys((label_of(score), score.seed) for score in self.scores))

    @property
    def shown(self) -> list[Score]:
        """Scores of the figures."""
        chosen = set(self.figures)
        return [score for score in self.scores if (score.metric, score.part) in chosen]


@dataclass(frozen=True)
class View:
    """What a person wants to see of some scores."""

    columns: tuple[str, ...] = ()
    """Metrics by name or glob, `all` for every one; empty for each task's headline."""
    parts: bool = False
    """Whether figures of parts of the data are wanted too."""
    headlines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Metrics that a task names as its headline, the most telling first, by task."""
    seed_sets: Collection[str] = ()
    """Sets whose members differ in their training seed alone."""
    nulls: Collection[str] = ()
    """SAEs that are nulls, there to be beaten."""
    how: str = "--columns all, --parts, --json"
    """How to see what is not shown."""


def check_columns(columns: Sequence[str], scores: Iterable[Score]) -> None:
    """Every name stands for some metric.

    Raises:
        UsageError: naming the first that does not, and the nearest metric.
    """
    known = list(dict.fromkeys(score.metric for score in scores if score.metric))
    for name in columns:
        if known and name != "all" and not fnmatch.filter(known, name):
            raise UsageError(
                f"There is no metric '{name}' among these scores.{suggestion(name, known)} "
                "--columns all shows every one."
            )


def label_of(score: Score) -> str:
    """The SAE, or the set where it is about a set."""
    return score.sae or score.set or ""


def tasks_of(scores: Sequence[Score], view: View) -> list[Task]:
    """Scores by task, with the figures of each that are shown."""
    grouped: dict[tuple[str, int], list[Score]] = {}
    for score in scores:
        grouped.setdefault((score.task, score.task_version), []).append(score)
    metrics = [shown_metrics(alike, view) for alike in grouped.values()]
    if len({(label_of(score), score.seed) for score in scores}) > 1 and not view.columns:
        room = shares([len(names) for names in metrics])
        metrics = [names[:count] for names, count in zip(metrics, room, strict=True)]
    return [
        Task(name, version, tuple(alike), tuple(figures(alike, chosen, parts=view.parts)))
        for ((name, version), alike), chosen in zip(grouped.items(), metrics, strict=True)
    ]


def shown_metrics(scores: Sequence[Score], view: View) -> list[str]:
    """Metrics of one task to show, in order."""
    metrics = list(dict.fromkeys(score.metric for score in scores if score.metric))
    if view.columns:
        asked = ["*" if name == "all" else name for name in view.columns]
        return list(dict.fromkeys(m for name in asked for m in fnmatch.filter(metrics, name)))
    scored = dict.fromkeys(score.metric for score in scores if score.status == "scored")
    declared = [name for name in view.headlines.get(scores[0].task, ()) if name in metrics]
    if declared:
        return declared[:HEADLINE]
    better = {score.metric for score in scores if score.better in ("higher", "lower")}
    directed = [name for name in metrics if name in better]
    return (directed or [name for name in metrics if name in scored])[:HEADLINE]


def shares(counts: Sequence[int], room: int = HEADLINE) -> list[int]:
    """How many metrics each task may show where all share `room`: in turn, at least two each.

    Args:
        counts: Metrics that each could show.
        room: Metrics in all.
    """
    given = [min(count, FEWEST) for count in counts]
    while sum(given) < room and given != list(counts):
        for number, count in enumerate(counts):
            if given[number] < count and sum(given) < room:
                given[number] += 1
    return given


def figures(scores: Sequence[Score], metrics: Sequence[str], *, parts: bool) -> list[Figure]:
    """Figures of some metrics: over everything, and of parts where asked or where this is all."""
    there: dict[str, list[str | None]] = {metric: [] for metric in metrics}
    for score in scores:
        if score.metric in there and score.part not in there[score.metric]:
            there[score.metric].append(score.part)
    chosen: list[Figure] = []
    for metric, places in there.items():
        if parts:
            chosen += [(metric, part) for part in places]
        elif None in places:
            chosen.append((metric, None))
        else:
            chosen += [(metric, part) for part in places[:PARTS_SHOWN]]
    return chosen
