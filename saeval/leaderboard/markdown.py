"""A built board as a Markdown page: a short table first, then each column in full."""

import re
from collections.abc import Iterator, Mapping, Sequence

from tabulate import tabulate

from saeval.leaderboard.build import BuiltBoard, MethodFigure, Row
from saeval.leaderboard.cell_texts import (
    MARKS,
    anchored_text,
    interval_text,
    null_text,
    rank_text,
    value_text,
)
from saeval.leaderboard.cells import Cell
from saeval.leaderboard.columns import Column
from saeval.results.tables.cells import ARROWS, brief, number
from saeval.results.text import one_line

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#])")


LEGEND = """\
Each cell: the value, and the ranks that the SAE may have among the entries of its range of L0.
Ranks follow from paired tests of all pairs in a column, with Holm's correction: an SAE has rank
1 + (how many are significantly better) to p - (how many are significantly worse). Where ranks
overlap, the order is not known. ◆ no other entry is as sparse and better. † cannot be told from
the best null, or is worse. Nulls and anchors are not ranked. A claim about a method needs three
trainings; ranks are about these SAEs alone.
"""


def markdown(built: BuiltBoard) -> str:
    """The board as a page: a table for each range of L0, nulls and anchors, and methods."""
    board = built.board
    lines = [f"# {_escaped(board.title)}", ""]
    if board.about:
        lines += [_escaped(board.about), ""]
    if built.prefix:
        lines += [f"Names begin with {_escaped(built.prefix)}, which is left out.", ""]
    lines += [LEGEND]
    for title, rows in _sections(built):
        lines += [f"## {title}", "", _table(built, rows), ""]
    for column in built.columns:
        lines += [f"## {_head(column)}", "", _about(column), "", _in_full(built, column), ""]
    if built.methods:
        lines += ["## Methods: mean and standard deviation over trainings", ""]
        lines += [_methods_table(built), ""]
    lines += _remarks(built)
    return "\n".join(lines).rstrip() + "\n"


def _sections(built: BuiltBoard) -> Iterator[tuple[str, list[Row]]]:
    entries = [row for row in built.rows if row.place.kind == "entry"]
    for group in dict.fromkeys(row.place.group for row in entries):
        title = f"L0 {group}" if group else "SAEs"
        yield title, [row for row in entries if row.place.group == group]
    others = [row for row in built.rows if row.place.kind != "entry"]
    if others:
        yield "Nulls and anchors", others


def _table(built: BuiltBoard, rows: Sequence[Row]) -> str:
    heads = ["SAE", "badge", "L0", *map(_head, built.columns), "seconds", "MB"]
    body = [
        [
            _name(built, row),
            row.entrant.badge,
            number(row.place.l0, 0.1) if row.place.l0 is not None else "",
            *(_cell(column.cells[row.place.label]) for column in built.columns),
            number(row.seconds, 0.1),
            number(row.peak_mb, 10.0),
        ]
        for row in rows
    ]
    return tabulate(body, heads, tablefmt="pipe", disable_numparse=True)


def _head(column: Column) -> str:
    return _escaped(column.asked.metric) + ARROWS.get(column.better, "")


def _name(built: BuiltBoard, row: Row) -> str:
    mark = {"entry": "", "null": " (null)", "anchor": " (anchor)"}[row.place.kind]
    return _escaped(built.short(row.place.label)) + mark


def _cell(cell: Cell) -> str:
    if cell.status != "scored":
        return " ".join(filter(None, [value_text(cell), f"({MARKS[cell.status]})"]))
    test = cell.against_null
    marks = "◆" * cell.frontier
    marks += "†" if test and test.verdict in ("cannot be told", "worse") else ""
    ranks = rank_text(cell.rank)
    return " ".join(filter(None, [value_text(cell), f"· {ranks}" if ranks else "", marks]))


def _about(column: Column) -> str:
    """Unit, direction and task of a column, in one line."""
    direction = {1: "higher is better", -1: "lower is better", 0: "no direction is better"}
    task = f"{column.asked.task} v{column.asked.version}"
    return _escaped(f"{task}, {column.unit or 'no unit'}, {direction[column.direction]}")


def _in_full(built: BuiltBoard, column: Column) -> str:
    """Every SAE in a column: value, interval, anchored, ranks, nulls."""
    heads = ["SAE", "L0", "value", "95 % interval", "anchored", "ranks", "nulls"]
    body = []
    for row in built.rows:
        cell = column.cells[row.place.label]
        value = value_text(cell)
        body.append(
            [
                _name(built, row),
                row.place.group,
                value if cell.status == "scored" else f"{value} ({MARKS[cell.status]})".strip(),
                interval_text(cell),
                anchored_text(cell),
                rank_text(cell.rank),
                _escaped(null_text(cell)),
            ]
        )
    return tabulate(body, heads, tablefmt="pipe", disable_numparse=True)


def _methods_table(built: BuiltBoard) -> str:
    columns = [c for c in built.columns if any(c.name in m.figures for m in built.methods)]
    heads = ["SAEs", "trainings", "L0", *map(_head, columns)]
    body = [
        [
            _escaped(built.short(method.name)),
            str(len(method.members)),
            number(method.l0, 0.1),
            *(figure_text(method.figures, column.name) for column in columns),
        ]
        for method in built.methods
    ]
    return tabulate(body, heads, tablefmt="pipe", disable_numparse=True)


def figure_text(figures: Mapping[str, MethodFigure], name: str) -> str:
    """Mean and standard deviation over trainings, `.482 ±.011`; empty without a value of each."""
    if name not in figures:
        return ""
    figure = figures[name]
    return f"{brief(number(figure.mean, figure.sd))} ±{brief(number(figure.sd, figure.sd))}"


def _remarks(built: BuiltBoard) -> list[str]:
    """Why cells have no rank, each reason once with the cells that have it."""
    reasons: dict[str, list[str]] = {}
    for column in built.columns:
        for row in built.rows:
            cell = column.cells[row.place.label]
            if cell.status != "scored":
                text = f"{MARKS[cell.status]}: {cell.reason or 'no reason is recorded'}"
                reasons.setdefault(text, []).append(f"{column.asked.metric} of {row.place.label}")
    if not reasons:
        return []
    lines = ["## Not ranked", ""]
    for text, names in reasons.items():
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        lines.append(f"- {_escaped(text)} ({_escaped(shown)})")
    return lines


def _escaped(text: str) -> str:
    """A text in one line that Markdown shows as it is."""
    return _SPECIAL.sub(r"\\\1", one_line(text))
