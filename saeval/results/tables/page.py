"""The page of some scores: their tables, and the notes that explain them below."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from html import escape

from saeval.results.score import Score
from saeval.results.tables.grid import Grid, grid_html, grid_text, natural_width
from saeval.results.tables.names import Names, short_names
from saeval.results.tables.notes import (
    counts_note,
    hidden_note,
    interval_note,
    no_interval_note,
    not_scored_notes,
    seeds_note,
    task_seeds_note,
    units_note,
)
from saeval.results.tables.one_sae import counts_as_numbers, has_unit, one_sae, without_unit
from saeval.results.tables.several_saes import several_saes
from saeval.results.tables.view import TaskScores, View, label_of, tasks_of
from saeval.results.task_seeds import Name, join_seeds
from saeval.results.text import wrapped
from saeval.results.training_seeds import over_training_seeds

NAME_SHARE = 3
"""A name of an SAE takes at most the width divided by this."""
SHORTEST_NAME = 16
PAGE = 160
"""Assumed width of a page in a notebook, in columns."""
ALL = View()


def score_tables(scores: Iterable[Score], view: View = ALL, *, width: int = 80) -> str:
    """Tables and notes as text, no line wider than `width`.

    Args:
        scores: In the order of the request.
        view: What to show of the scores.
        width: Columns of the terminal, at least 40.
    """
    grids, notes = score_grids(list(scores), view, width)
    lines = [line for note in notes for line in wrapped(note, width, hanging=4)]
    return "\n\n".join([*(grid_text(grid, width) for grid in grids), "\n".join(lines)]).strip("\n")


def score_html(scores: Iterable[Score], view: View = ALL) -> str:
    """Tables and notes as HTML for a notebook; every text is escaped."""
    grids, notes = score_grids(list(scores), view, PAGE)
    paragraphs = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f"<div>{''.join(map(grid_html, grids))}{paragraphs}</div>"


def score_grids(scores: Sequence[Score], view: View, width: int) -> tuple[list[Grid], list[str]]:
    """The tables, and the notes below them.

    Args:
        scores: In the order of the request.
        view: What to show of the scores.
        width: Columns of the terminal, which names and units are made to fit.
    """
    tasks = tasks_of(scores, view)
    if view.evidence_of:
        joined = join_seeds(scores, _shown_names(tasks), view.evidence_of)
        seeds = {
            (sae or group or "", task): own for (sae, group, task), own in joined.seeds.items()
        }
        moved = {(sae or group or "", task) for sae, group, task in joined.moved}
        scores, view = joined.scores, replace(view, seeds=seeds, moved=moved)
        tasks = tasks_of(scores, view)
    labels = list(dict.fromkeys(map(label_of, scores)))
    names = short_names(labels, max(width // NAME_SHARE, SHORTEST_NAME), view.nulls)
    together = _joint_table(tasks, view, names, width)
    grids = [together] if together else [_task_table(t, view, names) for t in tasks if t.figures]
    if any(natural_width(grid) > width for grid in grids):
        grids = [without_unit(grid) for grid in grids]
    legend = names.legend if any(len(task.rows) > 1 for task in tasks) else ()
    counts: list[str] = []
    single = [len(task.rows) == 1 for task in tasks if task.figures]
    if not together and any(
        is_single and natural_width(grid) > width
        for grid, is_single in zip(grids, single, strict=True)
    ):
        of_grids = [task for task in tasks if task.figures]
        grids = [
            counts_as_numbers(grid, task) if len(task.rows) == 1 else grid
            for grid, task in zip(grids, of_grids, strict=True)
        ]
        counts = counts_note(
            [s for task in of_grids if len(task.rows) == 1 for s in task.shown_scores], view.seeds
        )
    return grids, [*legend, *counts, *_notes(tasks, scores, view, names.short, grids)]


def _shown_names(tasks: Sequence[TaskScores]) -> set[Name]:
    return {(s.task, s.metric, s.part) for task in tasks for s in task.shown_scores}


def _joint_table(tasks: Sequence[TaskScores], view: View, names: Names, width: int) -> Grid | None:
    """All tasks in one table, if they have the same rows and the table fits."""
    if len(tasks) < 2 or len(tasks[0].rows) < 2:
        return None
    if any((task.rows, task.seeds) != (tasks[0].rows, tasks[0].seeds) for task in tasks):
        return None
    together = several_saes(tasks, view, names)
    return together if natural_width(together) <= width else None


def _task_table(task: TaskScores, view: View, names: Names) -> Grid:
    return one_sae(task, view) if len(task.rows) == 1 else several_saes([task], view, names)


def _notes(
    tasks: Sequence[TaskScores],
    scores: Sequence[Score],
    view: View,
    names: Mapping[str, str],
    grids: Sequence[Grid],
) -> list[str]:
    """Notes on what the numbers mean, what is missing and why, and how to see more."""
    shown_scores = [score for task in tasks for score in task.shown_scores]
    shown_set = set(shown_scores)
    scored = [score for score in shown_scores if score.status == "scored"]
    side_by_side = [s for task in tasks if len(task.rows) > 1 for s in task.shown_scores]
    without_value = [
        s for s in scores if s.metric is None or s.status == "failed" or s in shown_set
    ]
    return [
        *interval_note(side_by_side, view.seeds),
        *task_seeds_note(scored, view),
        *seeds_note(over_training_seeds(side_by_side, view.seed_sets)),
        *([] if all(map(has_unit, grids)) else units_note(scored)),
        *no_interval_note(scored, names),
        *not_scored_notes(without_value, names),
        *view.remarks,
        *hidden_note(scores, scored, view.how),
    ]
