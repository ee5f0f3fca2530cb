"""The table of several SAEs: one row per SAE, one column per figure, and anchors below."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from saeval.results.score import Score
from saeval.results.tables.cells import anchors_text, brief, metric_name, number, value_and_half
from saeval.results.tables.grid import Column, Grid
from saeval.results.tables.names import Names
from saeval.results.tables.view import (
    Figure,
    TaskScores,
    View,
    label_of,
    seed_text,
    seed_title,
)
from saeval.results.text import one_line, shortened
from saeval.results.training_seeds import SeedSpread, over_training_seeds

ANCHORS = "floor → ceiling"
SET_NAME = 16
"""Width of a set's name, if several sets are in one table."""


@dataclass(frozen=True)
class TableRow:
    """The subject of one row."""

    label: str
    """An SAE or a set."""
    seed: int
    part: str | None
    """None for all data, or if the columns name the part."""


@dataclass(frozen=True)
class SpreadRow:
    """A row about all members of a set that differ in their training seed."""

    set: str
    seed: int
    part: str | None
    statistic: Literal["mean", "SD"]
    count: int
    """Training seeds."""


def several_saes(tasks: Sequence[TaskScores], view: View, names: Names) -> Grid:
    """One table of all tasks; they must have the same rows."""
    rows = _rows(tasks, view)
    shown_scores = [score for task in tasks for score in task.shown_scores]
    spreads = over_training_seeds(shown_scores, view.seed_sets)
    spread_rows = list(_spread_rows(spreads))
    anchors = [ANCHORS] if any(map(anchors_text, [[score] for score in shown_scores])) else []
    columns = []
    for task in tasks:
        for figure in _column_figures(task, view):
            scores = _scores(task, figure, rows)
            foot = [
                *(_spread_text(spreads, task, figure, row) for row in spread_rows),
                *([anchors_text([s for s in scores if s])] if anchors else []),
            ]
            head = _head(task, figure, scores, len(tasks) > 1)
            columns.append(Column(head, tuple(map(value_and_half, scores)), tuple(foot)))
    labels = _label_columns(tasks[0], rows, spread_rows, anchors, names.short, view)
    return Grid(_title(tasks, rows, names.common), labels, tuple(columns))


def _rows(tasks: Sequence[TaskScores], view: View) -> list[TableRow]:
    if not view.parts:
        return [TableRow(label, seed, None) for label, seed in tasks[0].rows]
    scored_rows = {
        (label_of(score), score.seed, score.part) for task in tasks for score in task.shown_scores
    }
    scored_rows |= {
        (label_of(s), s.seed, None) for task in tasks for s in task.scores if not s.metric
    }
    parts = dict.fromkeys(part for task in tasks for _, part in task.figures)
    return [
        TableRow(label, seed, part)
        for label, seed in tasks[0].rows
        for part in parts
        if (label, seed, part) in scored_rows
    ]


def _column_figures(task: TaskScores, view: View) -> list[Figure]:
    """The figure of each column. If every part has a row, columns name metrics alone."""
    if view.parts:
        return [(metric, None) for metric in dict.fromkeys(name for name, _ in task.figures)]
    return list(task.figures)


def _scores(task: TaskScores, figure: Figure, rows: Sequence[TableRow]) -> list[Score | None]:
    """The score of each row. A task that was not scored has one score without a metric instead."""
    metric, part = figure
    of_metric = {(label_of(s), s.seed, s.part): s for s in task.scores if s.metric == metric}
    task_scores = {(label_of(s), s.seed): s for s in task.scores if s.metric is None}
    return [
        of_metric.get((row.label, row.seed, part if part is not None else row.part))
        or task_scores.get((row.label, row.seed))
        for row in rows
    ]


def _head(
    task: TaskScores,
    figure: Figure,
    scores: Sequence[Score | None],
    with_task: bool,  # noqa: FBT001
) -> str:
    metric, part = figure
    example = next((score for score in scores if score and score.metric), None)
    words = [one_line(task.name)] if with_task else []
    words.append(metric_name(example) if example else one_line(metric))
    return " ".join([*words, *([one_line(part)] if part is not None else [])])


def _title(tasks: Sequence[TaskScores], rows: Sequence[TableRow], common: str) -> str:
    labels = {row.label for row in rows}
    words = [", ".join(task.title for task in tasks)]
    seeds = seed_title(tasks[0])
    words += [seeds] if seeds else []
    words.append(f"{len(labels)} SAE{'s' * (len(labels) != 1)}{f' of {common}' if common else ''}")
    return " · ".join(words)


def _label_columns(
    task: TaskScores,
    rows: Sequence[TableRow],
    spread_rows: Sequence[SpreadRow],
    anchors: Sequence[str],
    names: Mapping[str, str],
    view: View,
) -> tuple[Column, ...]:
    sets = {row.set for row in spread_rows}
    saes = [names[row.label] for row in rows]
    foot = [*(_spread_name(row, len(sets)) for row in spread_rows), *anchors]
    columns = [Column("SAE", tuple(saes), tuple(foot))]
    blanks = [""] * len(anchors)
    if not seed_title(task):
        seeds = [seed_text(task, row.label, row.seed) for row in rows]
        columns.append(
            Column("seed", tuple(seeds), (*(str(row.seed) for row in spread_rows), *blanks))
        )
    if view.parts:
        parts = [one_line(row.part or "all") for row in rows]
        of_spreads = [one_line(row.part or "all") for row in spread_rows]
        columns.append(Column("part", tuple(parts), (*of_spreads, *blanks), breaks="anywhere"))
    return tuple(columns)


def _spread_rows(spreads: Sequence[SeedSpread]) -> Iterator[SpreadRow]:
    """Two rows per set, seed and part: mean and SD."""
    counts: dict[tuple[str, int, str | None], int] = {}
    for spread in spreads:
        about = (spread.set, spread.seed, spread.part)
        counts[about] = max(spread.n, counts.get(about, 0))
    for (name, seed, part), count in counts.items():
        yield SpreadRow(name, seed, part, "mean", count)
        yield SpreadRow(name, seed, part, "SD", count)


def _spread_name(row: SpreadRow, sets: int) -> str:
    if sets == 1:
        return f"{row.statistic} of {row.count} seeds"
    return f"{shortened(one_line(row.set.rsplit('/')[-1]), SET_NAME)}: {row.statistic}"


def _spread_text(
    spreads: Sequence[SeedSpread], task: TaskScores, figure: Figure, row: SpreadRow
) -> str:
    metric, part = figure
    key = (row.set, task.name, row.seed, metric, part if part is not None else row.part)
    for spread in spreads:
        if (spread.set, spread.task, spread.seed, spread.metric, spread.part) == key:
            size = spread.sd or None
            text = number(spread.mean, size) if row.statistic == "mean" else number(spread.sd, size)
            fewer = f" (of {spread.n})" if spread.n < row.count else ""
            return brief(text) + fewer
    return ""
