"""The table of one SAE on one task: one row per figure, with interval, n, anchors and unit."""

from dataclasses import replace

from saeval.results.tables.cells import (
    brief,
    count_text,
    interval_text,
    metric_name,
    number,
    value_text,
)
from saeval.results.tables.grid import Column, Grid
from saeval.results.tables.names import NULL
from saeval.results.tables.view import TaskScores, View, seed_title
from saeval.results.text import NO_BREAK, one_line

COUNT, UNIT = "n", "unit"
COUNT_OF_MEAN = "n a seed"


def one_sae(task: TaskScores, view: View) -> Grid:
    """Value, interval, n, floor, ceiling and unit; with columns that the user names, `anchored`."""
    label = task.rows[0][0]
    by_figure = {(score.metric, score.part): score for score in task.shown_scores}
    rows = [by_figure[figure] for figure in task.figures]
    labels = [Column("metric", tuple(map(metric_name, rows)), (), breaks="anywhere")]
    if any(score.part is not None for score in rows):
        labels.append(
            Column("part", tuple(one_line(s.part or "") for s in rows), (), breaks="anywhere")
        )
    count = COUNT_OF_MEAN if task.seeds else COUNT
    texts = {
        "value": [value_text(score) for score in rows],
        "95 % interval".replace(" ", NO_BREAK): [interval_text(score) for score in rows],
        count: [one_line(count_text(score.n, score.unit_of_n)) for score in rows],
        "floor": [brief(number(score.floor)) for score in rows],
        "ceiling": [brief(number(score.ceiling)) for score in rows],
        "anchored": [brief(number(score.anchored)) for score in rows if view.columns],
        UNIT: [one_line(score.unit or "") for score in rows],
    }
    columns = [
        Column(head, tuple(cells), (), breaks="at spaces" if head in (count, UNIT) else "never")
        for head, cells in texts.items()
        if any(cells)
    ]
    name = one_line(label) + NULL * (label in view.nulls)
    return Grid(f"{task.title} · {name} · {seed_title(task)}", tuple(labels), tuple(columns))


def has_unit(grid: Grid) -> bool:
    """Whether the table has the column of units."""
    return any(column.head == UNIT for column in grid.columns)


def counts_as_numbers(grid: Grid, task: TaskScores) -> Grid:
    """The table with n as a number alone, for a narrow terminal. A note says what it counts."""
    by_figure = {(score.metric, score.part): score for score in task.shown_scores}
    numbers = tuple(number(by_figure[figure].n) for figure in task.figures)
    columns = [
        replace(column, cells=numbers, breaks="never")
        if column.head in (COUNT, COUNT_OF_MEAN)
        else column
        for column in grid.columns
    ]
    return replace(grid, columns=tuple(columns))


def without_unit(grid: Grid) -> Grid:
    """The table without units, for a narrow terminal. A note lists them instead."""
    return replace(grid, columns=tuple(c for c in grid.columns if c.head != UNIT))
