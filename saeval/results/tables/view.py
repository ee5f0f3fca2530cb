"""Which scores the tables show: the headline of each task, or the columns that the user names."""

import fnmatch
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from saeval.errors import UsageError, suggestion
from saeval.results.score import Score
from saeval.results.task_seeds import EvidenceOf, seeds_number, seeds_text
from saeval.results.text import one_line

HEADLINE = 8
"""Most metrics shown of all tasks together, if there are several SAEs."""
FEWEST = 2
"""Fewest metrics shown per task, however many tasks there are."""
PARTS_SHOWN = 6
"""Most parts shown of a metric that has no figure over all parts."""

Subject = tuple[str, str]
"""SAE (or set) and task."""
Figure = tuple[str, str | None]
"""A metric, and the part of the data that its figure is about; None for all data."""


@dataclass(frozen=True)
class TaskScores:
    """Scores of one task, and the figures to show of them."""

    name: str
    version: int
    scores: tuple[Score, ...]
    figures: tuple[Figure, ...]
    seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """SAE or set -> the seeds of which its figures are means."""

    @property
    def title(self) -> str:
        """Name and version."""
        return one_line(f"{self.name} v{self.version}")

    @property
    def rows(self) -> tuple[tuple[str, int], ...]:
        """SAEs (or sets) and seeds, each pair once."""
        return tuple(dict.fromkeys((label_of(score), score.seed) for score in self.scores))

    @property
    def shown_scores(self) -> list[Score]:
        """Scores of the figures to show."""
        figures = set(self.figures)
        return [score for score in self.scores if (score.metric, score.part) in figures]


@dataclass(frozen=True)
class View:
    """The user's choice of what to see of some scores."""

    columns: tuple[str, ...] = ()
    """Metrics by name or glob, `all` for every one; empty for each task's headline."""
    parts: bool = False
    """Whether figures of parts of the data are shown too."""
    headlines: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Metrics that a task names as its headline, the most telling first, by task."""
    seed_sets: Collection[str] = ()
    """Sets whose members differ in their training seed alone."""
    nulls: Collection[str] = ()
    """SAEs that are nulls: baselines that real SAEs should beat."""
    remarks: Sequence[str] = ()
    """What readers of the scores must know of how rows were read."""
    evidence_of: EvidenceOf | None = None
    """Reads the evidence of a result, for means over seeds; None: seeds stay apart."""
    chosen: Collection[str] = ()
    """Metrics whose intervals are about units given what texts, words or splits of a seed chose."""
    seeds: Mapping[Subject, tuple[int, ...]] = field(default_factory=dict)
    """The seeds of which figures are means."""
    moved: Collection[Subject] = ()
    """Those of `seeds` whose figures differ between seeds."""
    how: str = "--columns all, --parts, --json"
    """Text that says how to see what is not shown."""


def seed_text(task: TaskScores, label: str, seed: int) -> str:
    """The seed of a row, or those of which it is the mean."""
    return seeds_text(task.seeds[label]) if label in task.seeds else str(seed)


def seed_title(task: TaskScores) -> str:
    """The seed that all rows have, `seed 0`, or `mean of seeds 0 to 2`; empty if they differ."""
    texts = {(seed_text(task, label, seed), task.seeds.get(label)) for label, seed in task.rows}
    if len(texts) != 1:
        return ""
    ((text, seeds),) = texts
    if seeds is None:
        return f"seed {text}"
    return f"mean of {text}" if text == seeds_number(seeds) else f"mean of seeds {text}"


def check_columns(columns: Sequence[str], scores: Iterable[Score]) -> None:
    """Make sure that every name stands for some metric.

    Raises:
        UsageError: naming the first name that does not, and the nearest metrics.
    """
    metrics = list(dict.fromkeys(score.metric for score in scores if score.metric))
    for name in columns:
        if metrics and name != "all" and not fnmatch.filter(metrics, name):
            raise UsageError(
                f"There is no metric '{name}' among these scores.{suggestion(name, metrics)} "
                "--columns all shows every one."
            )


def label_of(score: Score) -> str:
    """The SAE of a score, or its set for a score of a whole set."""
    return score.sae or score.set or ""


def subject_of(score: Score) -> Subject:
    """The SAE (or set) and the task of a score."""
    return label_of(score), score.task


def tasks_of(scores: Sequence[Score], view: View) -> list[TaskScores]:
    """Scores by task, with the figures to show of each."""
    grouped: dict[tuple[str, int], list[Score]] = {}
    for score in scores:
        grouped.setdefault((score.task, score.task_version), []).append(score)
    metrics = [shown_metrics(group, view) for group in grouped.values()]
    if len({(label_of(score), score.seed) for score in scores}) > 1 and not view.columns:
        room = shares([len(names) for names in metrics])
        metrics = [names[:count] for names, count in zip(metrics, room, strict=True)]
    return [
        TaskScores(
            name,
            version,
            tuple(group),
            tuple(figures(group, names_shown, parts=view.parts)),
            {label: seeds for (label, task), seeds in view.seeds.items() if task == name},
        )
        for ((name, version), group), names_shown in zip(grouped.items(), metrics, strict=True)
    ]


def shown_metrics(scores: Sequence[Score], view: View) -> list[str]:
    """Metrics of one task to show, in order."""
    metrics = list(dict.fromkeys(score.metric for score in scores if score.metric))
    if view.columns:
        patterns = ["*" if name == "all" else name for name in view.columns]
        return list(dict.fromkeys(m for name in patterns for m in fnmatch.filter(metrics, name)))
    scored = dict.fromkeys(score.metric for score in scores if score.status == "scored")
    declared = [name for name in view.headlines.get(scores[0].task, ()) if name in metrics]
    if declared:
        return declared[:HEADLINE]
    better = {score.metric for score in scores if score.better in ("higher", "lower")}
    directed = [name for name in metrics if name in better]
    return (directed or [name for name in metrics if name in scored])[:HEADLINE]


def shares(counts: Sequence[int], room: int = HEADLINE) -> list[int]:
    """How many metrics each task may show if all share `room`: dealt in turn, at least two each.

    Args:
        counts: Number of metrics of each task.
        room: Number of metrics in all.
    """
    counts_shown = [min(count, FEWEST) for count in counts]
    while sum(counts_shown) < room and counts_shown != list(counts):
        for number, count in enumerate(counts):
            if counts_shown[number] < count and sum(counts_shown) < room:
                counts_shown[number] += 1
    return counts_shown


def figures(scores: Sequence[Score], metrics: Sequence[str], *, parts: bool) -> list[Figure]:
    """Figures of some metrics: over all data, and of parts if asked or if there is nothing else."""
    parts_by_metric: dict[str, list[str | None]] = {metric: [] for metric in metrics}
    for score in scores:
        if score.metric in parts_by_metric and score.part not in parts_by_metric[score.metric]:
            parts_by_metric[score.metric].append(score.part)
    selection: list[Figure] = []
    for metric, places in parts_by_metric.items():
        if parts:
            selection += [(metric, part) for part in places]
        elif None in places:
            selection.append((metric, None))
        else:
            selection += [(metric, part) for part in places[:PARTS_SHOWN]]
    return selection
