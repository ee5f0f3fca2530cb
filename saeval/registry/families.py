"""Many entries -> the few families of a registry file that list them.

Entries whose fields differ only in numbers and in a few words (`pt` and `it`, `big` and `small`)
form one family: its `each` gives their values, as ranges and lists where every combination is
there, and else row by row.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from saeval.registry.entries import Entry

_VARIES = re.compile(
    r"(?<!\d)\d+(?![\d.]*[bBmM]\b|\d)|(?<=-)(?:pt|it)(?=[-/]|$)|(?<=_l0_)(?:big|small|medium)(?:_seed_\d+)?(?:_affine)?"
)
"""What may differ within a family: numbers, though not a model's size, and a few words."""
FIELDS = ("id", "source", "loader", "model", "site", "write_site")
WIDTH = 100
"""Characters of a line at most."""
_NAMED = re.compile(r"([A-Za-z][A-Za-z0-9]*?)[-_./]?$")
_SHORT = {"blocks": "layer", "l": "layer", "L": "layer", "average_l0": "l0", "SAE-l": "layer"}

Row = dict[str, Any]


def written(entries: Sequence[Entry]) -> str:
    """YAML of entries under `saes`, by families in order of their first members."""
    groups: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(_shape(entry), []).append(entry)
    return "\n".join(_family(members) for members in groups.values())


def _shape(entry: Entry) -> tuple[Any, ...]:
    """What a family shares: its texts but for what varies, and which figures it has."""
    texts = tuple(_VARIES.sub("#", getattr(entry, name) or "") for name in FIELDS)
    figures = (entry.expected.l0 is None, entry.input_scale is None)
    return (*texts, *figures, entry.prepend_bos, entry.centred)


def _family(members: Sequence[Entry]) -> str:
    """One item of the list: its `each`, then the fields with names for what varies."""
    columns = [_columns(entry) for entry in members]
    names: dict[tuple[Any, ...], str] = {}
    values: dict[str, str] = {}
    for field in FIELDS:
        values[field] = _template(field, members, columns, names)
    rows: list[Row] = [
        {name: key[index] for key, name in names.items()} for index in range(len(members))
    ]
    for name, read in (("l0", _l0), ("scale", _scale)):
        _figure(name, [read(entry) for entry in members], rows, values)
    lines = _each(rows) if len(rows) > 1 else []
    lines += [f"{name}: {value}" for name, value in values.items() if value]
    if members[0].centred:
        lines.append("centred: true")
    if members[0].prepend_bos:
        lines.append("prepend_bos: true")
    return "  - " + "\n    ".join(lines) + "\n"


def _columns(entry: Entry) -> dict[str, list[str]]:
    return {name: _VARIES.findall(getattr(entry, name) or "") for name in FIELDS}


def _template(
    field: str,
    members: Sequence[Entry],
    columns: Sequence[dict[str, list[str]]],
    names: dict[tuple[Any, ...], str],
) -> str:
    """A field's text, with a placeholder for each of its parts that differs between members."""
    text = getattr(members[0], field) or ""
    pieces, start = [], 0
    for place, hit in enumerate(_VARIES.finditer(text)):
        key = tuple(_value(column[field][place]) for column in columns)
        pieces.append(text[start : hit.start()])
        if len(set(key)) == 1:
            pieces.append(hit[0])
        else:
            pieces.append(f"{{{names.setdefault(key, _name(text[: hit.start()], names, hit[0]))}}}")
        start = hit.end()
    return "".join([*pieces, text[start:]])


def _name(before: str, names: dict[tuple[Any, ...], str], value: str) -> str:
    """A name for what varies, after the word before it."""
    word = _NAMED.search(before)
    name = _SHORT.get(word[1], word[1].lower()) if word else "n"
    if not value.isdigit():
        name = {"pt": "tuning", "it": "tuning"}.get(value, "size")
    while name in names.values():
        name += "_"
    return name


def _value(text: str) -> int | str:
    """A number as such, unless it is written in a way that it would lose."""
    return int(text) if text.isdigit() and str(int(text)) == text else text


def _l0(entry: Entry) -> float | None:
    return entry.expected.l0


def _scale(entry: Entry) -> float | None:
    return entry.input_scale


def _figure(
    name: str, figures: Sequence[float | None], rows: list[Row], values: dict[str, str]
) -> None:
    """A figure that every member has: one for all, or a column, its own or one that equals it."""
    if figures[0] is None:
        return
    if len(set(figures)) == 1:
        said = _plain(figures[0])
    else:
        equal = (one for one in rows[0] if [row[one] for row in rows] == list(figures))
        column = next(equal, None)
        if column is None:
            column = name if name not in rows[0] else f"measured_{name}"
            for row, figure in zip(rows, figures, strict=True):
                row[column] = figure
        said = f'"{{{column}}}"'
    values["expected" if name == "l0" else "input_scale"] = (
        f"{{l0: {said}}}" if name == "l0" else said
    )


def _each(rows: Sequence[Row]) -> list[str]:
    """Lines of `each`: a grid where every combination is there, else rows, alike ones in one."""
    axes = {name: _distinct(row[name] for row in rows) for name in rows[0]}
    if math.prod(map(len, axes.values())) == len({tuple(row.values()) for row in rows}):
        return wrapped(
            "each: {", [f"{name}: {_axis(values)}" for name, values in axes.items()], "}"
        )
    folded = [{name: [value] for name, value in row.items()} for row in rows]
    for name in sorted(axes, key=lambda one: -len(axes[one])):
        folded = _folded(folded, name)
    items = [
        "{" + ", ".join(f"{name}: {_axis(values)}" for name, values in row.items()) + "}"
        for row in folded
    ]
    return wrapped("each: [", items, "]")


def _folded(rows: Sequence[dict[str, list[Any]]], name: str) -> list[dict[str, list[Any]]]:
    """Rows that differ in one name only become one, which lists its values."""
    merged: dict[str, dict[str, list[Any]]] = {}
    for row in rows:
        rest = repr([values for one, values in row.items() if one != name])
        if rest in merged:
            merged[rest][name] = _distinct([*merged[rest][name], *row[name]])
        else:
            merged[rest] = dict(row)
    return list(merged.values())


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Each value once: numbers in their order, words in that of their first mention."""
    found = list(dict.fromkeys(values))
    return sorted(found) if all(isinstance(value, int | float) for value in found) else found


def _axis(values: Sequence[Any]) -> str:
    """One value, a range such as 0..11, numbers divided by blanks, or a list."""
    if len(values) == 1:
        return _plain(values[0])
    numbers = [value for value in values if isinstance(value, int)]
    if numbers == list(values) == list(range(numbers[0], numbers[0] + len(values))):
        return f"{numbers[0]}..{numbers[-1]}"
    if numbers == list(values):
        return " ".join(map(str, values))
    return f"[{', '.join(map(_plain, values))}]"


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else repr(value)
    return str(value) if isinstance(value, int) or value.isidentifier() else f'"{value}"'


def wrapped(begin: str, items: Sequence[str], end: str) -> list[str]:
    """On one line if it fits, else broken between items, or within one that is too long itself."""
    whole = begin + ", ".join(items) + end
    if len(whole) + 4 <= WIDTH:
        return [whole]
    lines, line = [begin], " "
    for item in (f"{one}," for one in items):
        if len(line) + len(item) + 5 > WIDTH and line.strip():
            lines.append(line)
            line = " "
        for piece in item.split(" "):
            if len(line) + len(piece) + 5 > WIDTH:
                lines.append(line)
                line = "   "
            line += f" {piece}"
    return [*lines, line.removesuffix(","), end]
