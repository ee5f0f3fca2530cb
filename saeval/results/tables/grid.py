"""A table before it has a width: columns of cells, laid out for a terminal or for a notebook."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from saeval.results.text import GAP, layout, longest_piece, width_of, wrapped

HEAD = 16
"""Columns up to which a head may be wider than its cells, to take no more than two lines."""
SHORT = 8
"""Columns that any head may take."""


@dataclass(frozen=True)
class Column:
    """One column. All texts are one line, safe to print."""

    head: str
    cells: tuple[str, ...]
    foot: tuple[str, ...]
    """Cells below the rule."""
    breaks: Literal["never", "at spaces", "anywhere"] = "never"
    """Where its cells are broken rather than the table cut in two."""

    @property
    def natural(self) -> int:
        """Width that breaks no cell, and a head into two lines at most if that can be."""
        cells = max(map(width_of, [*self.cells, *self.foot]), default=0)
        least = max(cells, SHORT, min(longest_piece(self.head), HEAD))
        sizes = range(least, max(least, HEAD) + 1)
        size = next((size for size in sizes if len(wrapped(self.head, size)) <= 2), sizes[-1])
        return max(cells, *map(width_of, wrapped(self.head, size)))

    @property
    def least(self) -> int:
        """Width below which it does not go unless the terminal is too narrow for anything else."""
        if self.breaks == "never":
            return self.natural
        words = [word for text in (*self.cells, *self.foot) for word in text.split(" ")]
        longest = max(map(width_of, words), default=0)
        return min(self.natural, HEAD if self.breaks == "anywhere" else max(longest, SHORT))


@dataclass(frozen=True)
class Grid:
    """A titled table."""

    title: str
    left: tuple[Column, ...]
    """Columns that say what a row is; they are repeated where a table is cut in two."""
    columns: tuple[Column, ...]
    """Columns of figures."""


def natural_width(grid: Grid) -> int:
    """Columns of a terminal that it takes as one table, nothing broken."""
    return _total([column.natural for column in (*grid.left, *grid.columns)])


def grid_text(grid: Grid, width: int) -> str:
    """A title and one table, or several below each other where the width does not hold them."""
    left, sizes = _sizes(grid, width)
    used = sum(left) + GAP * len(left)
    tables = [
        _table(
            [*grid.left, *(grid.columns[number] for number in numbers)],
            [*left, *(sizes[number] for number in numbers)],
            len(left),
        )
        for numbers in _packed(sizes, width - used)
    ]
    return "\n".join([*wrapped(grid.title, width, hanging=2), "\n\n".join(tables)])


def _sizes(grid: Grid, width: int) -> tuple[list[int], list[int]]:
    """Widths of the left columns and of the others.

    Where not all fit, columns that fold are made narrower; where that is not enough, the table
    will be cut in two, and the left columns take what they need.
    """
    cut, columns = len(grid.left), (*grid.left, *grid.columns)
    sizes = [column.least for column in columns]
    if _total(sizes) > width:
        most = max((width - GAP * cut) // (cut + 1), 2)
        left = [min(column.natural, most) for column in grid.left]
        room = max(width - sum(left) - GAP * cut, 2)
        return left, [min(column.natural, room) for column in grid.columns]
    for number, column in enumerate(columns):
        sizes[number] = min(column.natural, sizes[number] + width - _total(sizes))
    return sizes[:cut], sizes[cut:]


def _total(sizes: Sequence[int]) -> int:
    return sum(sizes) + GAP * (len(sizes) - 1)


def _packed(sizes: Sequence[int], room: int) -> list[list[int]]:
    """Numbers of the columns of each table, as many as fit beside each other."""
    groups: list[list[int]] = [[]]
    used = 0
    for number, size in enumerate(sizes):
        if groups[-1] and used + size + GAP > room + GAP:
            groups.append([])
            used = 0
        groups[-1].append(number)
        used += size + GAP
    return groups


def _table(columns: Sequence[Column], widths: Sequence[int], left: int) -> str:
    sized = list(zip(columns, widths, strict=True))

    def folded(texts: Sequence[str], width: int) -> list[str]:
        return ["\n".join(wrapped(text, width)) for text in texts]

    return layout(
        [folded([column.head], width)[0] for column, width in sized],
        list(zip(*(folded(column.cells, width) for column, width in sized), strict=True)),
        foot=list(zip(*(folded(column.foot, width) for column, width in sized), strict=True)),
        right=[n for n, column in enumerate(columns) if n >= left and column.breaks == "never"],
    )


def grid_html(grid: Grid) -> str:
    """The same for a notebook; every text is escaped."""
    columns = (*grid.left, *grid.columns)
    head = "".join(f"<th>{escape(column.head)}</th>" for column in columns)
    rows = [
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
        for cells in zip(*((*c.cells, *c.foot) for c in columns), strict=True)
    ]
    return (
        f"<table><caption>{escape(grid.title)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )
