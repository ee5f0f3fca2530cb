"""A table in the formats of documents: Markdown and LaTeX."""

from collections.abc import Callable, Sequence

from saeval.results.tables.grid import Column, Grid
from saeval.results.text import NO_BREAK

_LATEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
_SIGNS = {
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
    "±": r"$\pm$",
    "·": r"$\cdot$",
}
"""Signs that LaTeX has names for."""


def grid_markdown(grid: Grid) -> str:
    """The table as Markdown, its title in bold above it."""
    heads, rows = _texts(grid)
    table = _tabulated([_markdown(head) for head in heads], _each(rows, _markdown), grid, "github")
    return f"**{_markdown(grid.title)}**\n\n{table}"


def grid_latex(grid: Grid) -> str:
    """The table as LaTeX for the package booktabs, floating, with its title as caption."""
    heads, rows = _texts(grid)
    table = _tabulated(heads, rows, grid, "latex_booktabs")
    lines = (r"\begin{table}", r"\centering", rf"\caption{{{latex(grid.title)}}}")
    return "\n".join([*lines, _signs(table), r"\end{table}"])


def latex(text: str) -> str:
    """A text for LaTeX."""
    return _signs("".join(_LATEX.get(character, character) for character in text))


def _signs(text: str) -> str:
    for sign, name in _SIGNS.items():
        text = text.replace(sign, name)
    return text.replace(NO_BREAK, " ")


def _markdown(text: str) -> str:
    """A text for a cell: no pipe ends it, and no name is taken for a tag or for emphasis."""
    text = text.replace(NO_BREAK, " ").replace("\\", "\\\\")
    for sign in "|*_`[]<":
        text = text.replace(sign, f"\\{sign}")
    return text


def _texts(grid: Grid) -> tuple[list[str], list[list[str]]]:
    columns: Sequence[Column] = (*grid.label_columns, *grid.columns)
    rows = zip(*((*column.cells, *column.foot) for column in columns), strict=True)
    return [column.head for column in columns], [list(row) for row in rows]


def _each(rows: Sequence[Sequence[str]], change: Callable[[str], str]) -> list[list[str]]:
    return [[change(cell) for cell in row] for row in rows]


def _tabulated(heads: Sequence[str], rows: Sequence[Sequence[str]], grid: Grid, style: str) -> str:
    from tabulate import tabulate

    sides = ["left"] * len(grid.label_columns)
    sides += ["right" if column.breaks == "never" else "left" for column in grid.columns]
    return tabulate(rows, heads, tablefmt=style, disable_numparse=True, colalign=sides)
