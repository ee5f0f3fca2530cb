"""Texts for a terminal of some width: made safe to print, wrapped, in tables and in records.

Widths are columns of the terminal: a wide character takes two, a combining one takes none.
"""

import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

NARROWEST = 16
"""Narrowest width of prose in a cell and of indented text, so that both stay readable."""
WORD = 24
"""Width above which words in a column that must be shown may be broken."""
GAP = 2
"""Columns between two columns of a table."""
ELLIPSIS = "…"
NO_BREAK = "\N{NO-BREAK SPACE}"
"""A space at which a cell is not broken."""
_LONG_NAME = 24
"""Length above which a field's name has a line of its own."""
_BREAKABLE = re.compile(r"[^/_=.,-]*[/_=.,-]+|[^/_=.,-]+")
"""Pieces of a word that is too long for a line: it breaks after these characters first."""


def terminal_width() -> int:
    """The variable COLUMNS, else the terminal's width; 80 without a terminal, at least 40."""
    return max(shutil.get_terminal_size((80, 24)).columns, 40)


def printable(text: object) -> str:
    """The text without characters that control a terminal or change the writing direction."""
    characters = str(text)
    if characters.isprintable():
        return characters
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in characters)


def one_line(text: object) -> str:
    """The text safe to print, with single spaces for line breaks and runs of spaces."""
    return printable(" ".join(str(text).split()))


def width_of(text: str) -> int:
    """Columns that one line of printable text takes on a terminal."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth

    return max(wcswidth(text), 0)


def wrapped(text: str, width: int, *, hanging: int = 0) -> list[str]:
    """The text in lines of at most `width` columns; all but the first begin with spaces.

    It breaks at spaces; a word longer than a line breaks after `/`, `_` and the like, or anywhere.

    Args:
        text: One line, safe to print.
        width: Columns, at least 2.
        hanging: Spaces before all lines but the first; at most a quarter of the width is used.
    """
    if width_of(text) <= width:
        return [text]
    hanging = min(hanging, width // 4)
    lines: list[str] = []
    line = ""
    for word in filter(None, text.split(" ")):
        joined = f"{line} {word}" if line.strip() else line + word
        if width_of(joined) <= width:
            line = joined
            continue
        if line.strip():
            lines.append(line)
            line = " " * hanging
        for piece in _pieces(word, width - hanging):
            if line.strip() and width_of(line + piece) > width:
                lines.append(line)
                line = " " * hanging
            line += piece
    return [*lines, line]


def longest_piece(text: str) -> int:
    """Width of the longest piece that a word breaks into; narrower lines cut within pieces."""
    pieces = (piece for word in text.split(" ") for piece in _BREAKABLE.findall(word))
    return max(map(width_of, pieces), default=0)


def _pieces(word: str, width: int) -> Iterator[str]:
    """A word in pieces, none wider than a line; the whole word if it fits."""
    if width_of(word) <= width:
        yield word
        return
    for piece in _BREAKABLE.findall(word):
        remainder = piece
        while width_of(remainder) > width:
            head = _first_characters(remainder, width)
            yield head
            remainder = remainder[len(head) :]
        if remainder:
            yield remainder


def _first_characters(text: str, width: int) -> str:
    """As many first characters as fit, at least one."""
    count = 1
    while count < len(text) and width_of(text[: count + 1]) <= width:
        count += 1
    return text[:count]


def shortened(text: str, width: int) -> str:
    """The text in at most `width` columns; a longer text loses its middle.

    More of the end is kept than of the beginning, since names of SAEs differ at their ends.
    """
    if width_of(text) <= width:
        return text
    room = max(width - 1, 2)
    end = text
    while end and width_of(end) > room - room // 3:
        end = end[1:]
    return _first_characters(text, room - width_of(end)) + ELLIPSIS + end


def layout(
    head: Sequence[str],
    body: Sequence[Sequence[str]],
    *,
    foot: Sequence[Sequence[str]] = (),
    right: Sequence[int] = (),
) -> str:
    """Cells as a table of their natural width. Cells may have several lines.

    Args:
        head: Names of the columns.
        body: Rows, each with one cell per column.
        foot: Rows below a second rule.
        right: Numbers of the columns that are aligned right.
    """
    from tabulate import SEPARATING_LINE, tabulate

    # The head is passed as a row, since tabulate makes real heads two columns wider than needed.
    rows = [list(head), SEPARATING_LINE, *map(list, body)]
    if foot:
        rows += [SEPARATING_LINE, *map(list, foot)]
    text = tabulate(
        rows,
        tablefmt="simple",
        disable_numparse=True,
        preserve_whitespace=True,
        colalign=["right" if number in right else "left" for number in range(len(head))],
    )
    outer_rules_off = text.splitlines()[1:-1]
    return "\n".join(line.rstrip().replace(NO_BREAK, " ") for line in outer_rules_off)


def listing(
    rows: Sequence[Mapping[str, Any]], width: int, *, needed: int = 1, right: Sequence[str] = ()
) -> str:
    """Rows as a table no wider than `width`.

    Cells are wrapped between words. If that is not enough, columns are left out, and a last line
    names them. If not even the needed columns fit, each row becomes a record of its own.

    Args:
        rows: All with the same names, the most important first. A column without any value is left
            out.
        width: Columns of the terminal.
        needed: How many of the first columns must be shown; long words in them may be broken.
        right: Columns that are aligned right.
    """
    texts = [{one_line(name): _cell_text(value) for name, value in row.items()} for row in rows]
    names = [name for name in (texts[0] if texts else ()) if any(row[name] for row in texts)]
    least = {name: _least_width([name, *(row[name] for row in texts)]) for name in names}
    if not names:
        return ""
    needed_names = [name for name in list(texts[0])[:needed] if name in names]
    widths = _squeeze({name: least[name] for name in needed_names}, width)
    if _total_width(widths.values()) > width:
        records = (record_text({name: row[name] for name in names}, width) for row in texts)
        return "\n".join(records).rstrip()
    for name in names:
        if name not in needed_names and _total_width([*widths.values(), least[name]]) <= width:
            widths[name] = least[name]
    widths = _widen(widths, texts, width)
    table = layout(
        [_wrap_cell(name, size) for name, size in widths.items()],
        [[_wrap_cell(row[name], size) for name, size in widths.items()] for row in texts],
        right=[number for number, name in enumerate(widths) if name in right],
    )
    hidden = [name for name in names if name not in widths]
    if hidden:
        remark = f"Not shown for want of room: {', '.join(hidden)}. --json has all."
        table = "\n".join([table, *wrapped(remark, width)])
    return table


def _squeeze(widths: dict[str, int], width: int) -> dict[str, int]:
    """Widths that fit: the widest column is made narrower until all fit or none can shrink."""
    while _total_width(widths.values()) > width and max(widths.values()) > WORD:
        widest = max(widths, key=lambda name: widths[name])
        widths = {**widths, widest: widths[widest] - 1}
    return widths


def _widen(
    least: Mapping[str, int], texts: Sequence[Mapping[str, str]], width: int
) -> dict[str, int]:
    """Widths of columns: spare room goes to the first columns first, up to what each needs."""
    widths = dict(least)
    for name in least:
        natural = max(width_of(line) for row in texts for line in [*row[name].splitlines(), name])
        spare = width - _total_width(widths.values())
        widths[name] = min(max(natural, widths[name]), widths[name] + max(spare, 0))
    return widths


def _total_width(widths: Collection[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _least_width(texts: Sequence[str]) -> int:
    """Narrowest width of a column in which no word is broken and prose has some room."""
    words = [word for text in texts for word in text.split()]
    longest_line = max(width_of(line) for text in texts for line in [*text.splitlines(), ""])
    return max([*map(width_of, words), min(longest_line, NARROWEST)])


def _wrap_cell(text: str, width: int) -> str:
    """A cell's paragraphs, each wrapped to the width of its column."""
    return "\n".join(line for part in text.splitlines() for line in wrapped(part, width))


def _cell_text(value: Any) -> str:
    """A value as paragraphs that are safe to print; None becomes empty."""
    return "" if value is None else "\n".join(_paragraphs(str(value)))


def _paragraphs(text: str) -> list[str]:
    """Consecutive lines joined into paragraphs; an empty or indented line stays alone."""
    joined: list[str] = []
    for line in map(printable, text.splitlines()):
        runs_on = joined and joined[-1] and line and not line.startswith(" ")
        if runs_on and not joined[-1].startswith(" "):
            joined[-1] += f" {line}"
        else:
            joined.append(line)
    return joined


def record_text(record: Mapping[str, Any], width: int = 10_000) -> str:
    """One record, one line per field, and an empty line after it. Empty fields are left out."""
    lines = [line for key, value in record.items() for line in _field_lines(str(key), value, width)]
    return "\n".join([*lines, ""])


def _field_lines(key: str, value: Any, width: int) -> Iterator[str]:
    if value in (None, "", [], (), {}):
        return
    key, inner = printable(key), max(width - 4, NARROWEST)
    if isinstance(value, list | tuple) and isinstance(value[0], Mapping):
        yield f"{key}:"
        yield from (f"    {line}".rstrip() for line in listing(value, inner).splitlines())
    elif isinstance(value, list | tuple):
        yield f"{key} ({len(value)}):"
        yield from _indented(map(str, value), inner)
    elif isinstance(value, Mapping):
        items = [f"{name} {item}" for name, item in value.items() if item is not None]
        if items:
            yield from wrapped(one_line(f"{key}: {', '.join(items)}"), width, hanging=4)
    elif "\n" in str(value) or len(key) > _LONG_NAME:
        yield f"{key}:"
        yield from _indented(_paragraphs(str(value)), inner)
    else:
        yield from wrapped(printable(f"{key}: {value}"), width, hanging=4)


def _indented(lines: Iterable[str], width: int) -> Iterator[str]:
    """Lines under a field, each wrapped on its own and with its own indent."""
    for line in map(printable, lines):
        indent = len(line) - len(line.lstrip())
        for part in wrapped(line.strip(), max(width - indent, NARROWEST)):
            yield f"    {' ' * indent}{part}".rstrip()
