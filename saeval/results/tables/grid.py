"""Tables of columns, laid out for a terminal of some width or for a notebook."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Literal

from saeval.results.text import GAP, layout, longest_piece, width_of, wrapped

HEAD = 16
"""Widest that a head may make a column, so that the head takes at most two lines."""
SHORT = 8
"""Width that any head may take."""


@dataclass(frozen=True)
class Column:
    """One column. All texts are one line, safe to print."""

    head: str
    cells: tuple[str, ...]
    foot: tuple[str, ...]
    """Cells below the rule."""
    breaks: Literal["never", "at spaces", "anywhere"] = "never"
    """Where its cells may be broken, before the table is cut in two."""

    @property
    def natural(self) -> int:
        """Width that breaks no cell, and the head into at most two lines if possible."""
        cells = max(map(width_of, [*self.cells, *self.foot]), default=0)
        least = max(cells, SHORT, min(longest_piece(self.head), HEAD))
        sizes = range(least, max(least, HEAD) + 1)
        size = next((size for size in sizes if len(wrapped(self.head, size)) <= 2), sizes[-1])
        return max(cells, *map(width_of, wrapped(self.head, size)))

    @property
    def least(self) -> int:
        """Narrowest width; only a terminal too narrow for all columns makes it narrower."""
        if self.breaks == "never":
            return self.natural
        words = [word for text in (*self.cells, *self.foot) for word in text.split(" ")]
        longest = max(map(width_of, words), default=0)
        return min(self.natural, HEAD if self.breaks == "anywhere" else max(longest, SHORT))


@dataclass(frozen=True)
class Grid:
    """A titled table."""

    title: str
    label_columns: tuple[Column, ...]
    """Columns that name the rows; they are repeated if the table is cut in two."""
    columns: tuple[Column, ...]
    """Columns of figures."""


def natural_width(grid: Grid) -> int:
    """Width of the grid as one table with no cell broken."""
    return _total_width([column.natural for column in (*grid.label_columns, *grid.columns)])


def grid_text(grid: Grid, width: int) -> str:
    """A title and one table, or several below each other if one is too wide."""
    label_widths, sizes = _sizes(grid, width)
    label_width = sum(label_widths) + GAP * len(label_widths)
    tables = []
    for place, numbers in enumerate(_pack_columns(sizes, width - label_width)):
        labels, columns = grid.label_columns, [grid.columns[number] for number in numbers]
        if place:
            labels, columns = _filled(labels, columns)
        table_widths = [*label_widths, *(sizes[number] for number in numbers)]
        tables.append(_table([*labels, *columns], table_widths, len(labels)))
    return "\n".join([*wrapped(grid.title, width, hanging=2), "\n\n".join(tables)])


def _filled(
    labels: Sequence[Column], columns: Sequence[Column]
) -> tuple[Sequence[Column], Sequence[Column]]:
    """The columns without rows in which all figures are blank, for the continuation of a table."""
    rows = zip(*(column.cells for column in columns), strict=True)
    kept = [number for number, cells in enumerate(rows) if any(cells)]

    def taken(column: Column) -> Column:
        return replace(column, cells=tuple(column.cells[number] for number in kept))

    return [taken(column) for column in labels], [taken(column) for column in columns]


def _sizes(grid: Grid, width: int) -> tuple[list[int], list[int]]:
    """Widths of the label columns and of the others.

    If not all fit, breakable columns are made narrower. If that is not enough, the table will be
    cut in two, and the label columns get their natural widths as far as there is room.
    """
    cut, columns = len(grid.label_columns), (*grid.label_columns, *grid.columns)
    sizes = [column.least for column in columns]
    if _total_width(sizes) > width:
        most = max((width - GAP * cut) // (cut + 1), 2)
        label_widths = [min(column.natural, most) for column in grid.label_columns]
        room = max(width - sum(label_widths) - GAP * cut, 2)
        return label_widths, [min(column.natural, room) for column in grid.columns]
    for number, column in enumerate(columns):
        sizes[number] = min(column.natural, sizes[number] + width - _total_width(sizes))
    return sizes[:cut], sizes[cut:]


def _total_width(sizes: Sequence[int]) -> int:
    return sum(sizes) + GAP * (len(sizes) - 1)


def _pack_columns(sizes: Sequence[int], room: int) -> list[list[int]]:
    """Column numbers of each table: as many columns per table as fit."""
    groups: list[list[int]] = [[]]
    used_width = 0
    for number, size in enumerate(sizes):
        if groups[-1] and used_width + size + GAP > room + GAP:
            groups.append([])
            used_width = 0
        groups[-1].append(number)
        used_width += size + GAP
    return groups


def _table(columns: Sequence[Column], widths: Sequence[int], label_count: int) -> str:
    sized = list(zip(columns, widths, strict=True))

    def folded(texts: Sequence[str], width: int) -> list[str]:
        return ["\n".join(wrapped(text, width)) for text in texts]

    return layout(
        [folded([column.head], width)[0] for column, width in sized],
        list(zip(*(folded(column.cells, width) for column, width in sized), strict=True)),
        foot=list(zip(*(folded(column.foot, width) for column, width in sized), strict=True)),
        right=[
            n for n, column in enumerate(columns) if n >= label_count and column.breaks == "never"
        ],
    )


def grid_html(grid: Grid) -> str:
    """The grid as HTML for a notebook; every text is escaped."""
    columns = (*grid.label_columns, *grid.columns)
    head = "".join(f"<th>{escape(column.head)}</th>" for column in columns)
    rows = [
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
        for cells in zip(*((*c.cells, *c.foot) for c in columns), strict=True)
    ]
    return (
        f"<table><caption>{escape(grid.title)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )
