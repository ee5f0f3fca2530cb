"""Pages of a site from templates. Every string is escaped where it enters one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from saeval.leaderboard import cell_texts
from saeval.leaderboard.build import BuiltBoard, Row
from saeval.leaderboard.cells import Cell
from saeval.leaderboard.columns import Column
from saeval.leaderboard.markdown import figure_text
from saeval.leaderboard.rank_sets import RankSet
from saeval.leaderboard.site.embedded import embedded
from saeval.results.folder import slug
from saeval.results.tables.cells import brief, count_text, number

_FARTHEST = 1e300
"""Sorts cells without a value last, whichever way is better."""


@dataclass(frozen=True)
class Bar:
    """A rank set as a bar: where it begins and how wide it is, of 100."""

    start: float
    width: float


@cache
def environment() -> Environment:
    """The templates, with escaping on for every one of them."""
    env = Environment(
        loader=PackageLoader("saeval.leaderboard.site"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "value_text": cell_texts.value_text,
        "interval_text": cell_texts.interval_text,
        "anchored_text": cell_texts.anchored_text,
        "rank_text": cell_texts.rank_text,
        "null_text": cell_texts.null_text,
        "bar": bar,
        "embedded": embedded,
        "sort_key": sort_key,
        "count_text": count_text,
        "slug": slug,
    }
    env.globals |= {
        "is_grey": cell_texts.is_grey,
        "MARKS": cell_texts.MARKS,
        "number": lambda value, size=None: brief(number(value, size)),
        "figure_text": figure_text,
    }
    return env


def bar(rank: RankSet) -> Bar:
    """The ranks that an SAE may have, the best on the left."""
    return Bar(100 * (rank.best - 1) / rank.of, 100 * (rank.worst - rank.best + 1) / rank.of)


def sort_key(cell: Cell, column: Column) -> float:
    """What a table sorts a cell by: its value; without one it comes last, best first."""
    if cell.value is not None:
        return cell.value
    return -_FARTHEST if column.direction > 0 else _FARTHEST


def render(template: str, depth: int, **values: Any) -> str:
    """A page.

    Args:
        template: Its template, without endings.
        depth: Folders between the page and the top of the site.
        values: What the template names.
    """
    page = environment().get_template(f"{template}.html.jinja")
    return page.render(up="../" * depth, **values)


def remarks(built: BuiltBoard) -> list[tuple[str, str, Sequence[str]]]:
    """What cells say that have no rank: kind, reason, and which they are, each reason once."""
    found: dict[tuple[str, str], list[str]] = {}
    for column in built.columns:
        for row in built.rows:
            cell = column.cells[row.place.label]
            if cell.status != "scored":
                key = (cell_texts.MARKS[cell.status], cell.reason or "no reason is recorded")
                found.setdefault(key, []).append(f"{column.asked.metric} of {row.place.label}")
    return [(kind, reason, names) for (kind, reason), names in found.items()]


def figures_of(row: Row) -> list[Mapping[str, Any]]:
    """All results of an SAE, the scores of each over all data first and its parts after them."""
    shown = []
    for filed in sorted(row.entrant.filed, key=lambda one: (one.result.task, one.result.seed)):
        scores = [score for score in filed.result.scores if score.metric is not None]
        shown.append(
            {
                "result": filed.result,
                "badge": filed.badge,
                "whole": [score for score in scores if score.part is None],
                "parts": [score for score in scores if score.part is not None],
            }
        )
    return shown
