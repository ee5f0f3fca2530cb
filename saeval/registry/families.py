"""Many entries -> the few families of a registry file that list them.

Entries whose fields differ only in numbers and in a few words (`pt` and `it`, `big` and `small`)
form one family. Its `each` gives their values: as ranges and lists if every combination occurs,
else row by row.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from saeval.registry.entries import Entry

_VARIABLE = re.compile(
    r"(?<!\d)\d+(?![\d.]*[bBmM]\b|\d)|(?<=-)(?:pt|it)(?=[-/]|$)|(?<=_l0_)(?:big|small|medium)(?:_seed_\d+)?(?:_affine)?"
)
"""What may differ within a family: numbers, but not a model's size such as 2b, and a few words."""
FIELDS = ("id", "source", "loader", "model", "site", "write_site")
WIDTH = 100
"""Maximum number of characters per line."""
_LAST_WORD = re.compile(r"([A-Za-z][A-Za-z0-9]*?)[-_./]?$")
_NAME_BY_WORD = {
    "blocks": "layer",
    "l": "layer",
    "L": "layer",
    "SAE-l": "layer",
    "average_l0": "l0",
}
"""Placeholder names for the words that precede a number, where these differ from the word."""

EachRow = dict[str, Any]
"""Values of one member of a family, by placeholder name."""


def families_yaml(entries: Sequence[Entry]) -> str:
    """YAML of entries under `saes`: their families, in the order of their first members."""
    groups: dict[tuple[Any, ...], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(_shape(entry), []).append(entry)
    return "\n".join(_family_yaml(members) for members in groups.values())


def _shape(entry: Entry) -> tuple[Any, ...]:
    """What all entries of a family share: texts with the variable parts masked, and some flags."""
    texts = tuple(_VARIABLE.sub("#", getattr(entry, name) or "") for name in FIELDS)
    figures = (entry.expected.l0 is None, entry.input_scale is None)
    return (*texts, *figures, entry.prepend_bos, entry.centred)


def _family_yaml(members: Sequence[Entry]) -> str:
    """One item of the list: its `each`, then the fields with placeholders for what varies."""
    parts = [_variable_parts(entry) for entry in members]
    names: dict[tuple[Any, ...], str] = {}
    values: dict[str, str] = {}
    for field in FIELDS:
        values[field] = _template(field, members, parts, names)
    rows: list[EachRow] = [
        {name: key[index] for key, name in names.items()} for index in range(len(members))
    ]
    for name, read in (("l0", _expected_l0), ("scale", _input_scale)):
        _add_figure(name, [read(entry) for entry in members], rows, values)
    lines = _each_lines(rows) if len(rows) > 1 else []
    lines += [f"{name}: {value}" for name, value in values.items() if value]
    if members[0].centred:
        lines.append("centred: true")
    if members[0].prepend_bos is not None:
        lines.append(f"prepend_bos: {str(members[0].prepend_bos).lower()}")
    return "  - " + "\n    ".join(lines) + "\n"


def _variable_parts(entry: Entry) -> dict[str, list[str]]:
    return {name: _VARIABLE.findall(getattr(entry, name) or "") for name in FIELDS}


def _template(
    field: str,
    members: Sequence[Entry],
    parts: Sequence[dict[str, list[str]]],
    names: dict[tuple[Any, ...], str],
) -> str:
    """A field's text, with a placeholder for each part that differs between members.

    Parts that take the same values in all members share a placeholder, which `names` remembers.
    """
    text = getattr(members[0], field) or ""
    pieces, start = [], 0
    for index, match in enumerate(_VARIABLE.finditer(text)):
        key = tuple(_parse_value(member_parts[field][index]) for member_parts in parts)
        pieces.append(text[start : match.start()])
        if len(set(key)) == 1:
            pieces.append(match[0])
        else:
            name = _placeholder_name(text[: match.start()], names, match[0])
            pieces.append(f"{{{names.setdefault(key, name)}}}")
        start = match.end()
    return "".join([*pieces, text[start:]])


def _placeholder_name(before: str, names: dict[tuple[Any, ...], str], value: str) -> str:
    """A new placeholder name: the word before the variable part, made unique."""
    word = _LAST_WORD.search(before)
    name = _NAME_BY_WORD.get(word[1], word[1].lower()) if word else "n"
    if not value.isdigit():
        name = {"pt": "tuning", "it": "tuning"}.get(value, "size")
    while name in names.values():
        name += "_"
    return name


def _parse_value(text: str) -> int | str:
    """An integer if the text is one, but the text itself if it has leading zeros."""
    return int(text) if text.isdigit() and str(int(text)) == text else text


def _expected_l0(entry: Entry) -> float | None:
    return entry.expected.l0


def _input_scale(entry: Entry) -> float | None:
    return entry.input_scale


def _add_figure(
    name: str, figures: Sequence[float | None], rows: list[EachRow], values: dict[str, str]
) -> None:
    """Add a figure that all members have: as a constant, or as a placeholder of an equal column.

    If no column of `rows` equals the figures, one is added to them.
    """
    if figures[0] is None:
        return
    if len(set(figures)) == 1:
        text = _scalar_yaml(figures[0])
    else:
        equal_columns = (key for key in rows[0] if [row[key] for row in rows] == list(figures))
        column = next(equal_columns, None)
        if column is None:
            column = name if name not in rows[0] else f"measured_{name}"
            for row, figure in zip(rows, figures, strict=True):
                row[column] = figure
        text = f'"{{{column}}}"'
    values["expected" if name == "l0" else "input_scale"] = (
        f"{{l0: {text}}}" if name == "l0" else text
    )


def _each_lines(rows: Sequence[EachRow]) -> list[str]:
    """Lines of `each`: a grid if every combination occurs, else rows, similar ones merged."""
    axes = {name: _distinct_values(row[name] for row in rows) for name in rows[0]}
    if math.prod(map(len, axes.values())) == len({tuple(row.values()) for row in rows}):
        return wrap_items(
            "each: {", [f"{name}: {_values_yaml(values)}" for name, values in axes.items()], "}"
        )
    folded = [{name: [value] for name, value in row.items()} for row in rows]
    for name in sorted(axes, key=lambda axis: -len(axes[axis])):
        folded = _fold_rows(folded, name)
    items = [
        "{" + ", ".join(f"{name}: {_values_yaml(values)}" for name, values in row.items()) + "}"
        for row in folded
    ]
    return wrap_items("each: [", items, "]")


def _fold_rows(rows: Sequence[dict[str, list[Any]]], name: str) -> list[dict[str, list[Any]]]:
    """Merge rows that differ in this name only; the merged row lists its values."""
    merged: dict[str, dict[str, list[Any]]] = {}
    for row in rows:
        other_values = repr([values for other, values in row.items() if other != name])
        if other_values in merged:
            merged[other_values][name] = _distinct_values([*merged[other_values][name], *row[name]])
        else:
            merged[other_values] = dict(row)
    return list(merged.values())


def _distinct_values(values: Iterable[Any]) -> list[Any]:
    """Each value once: numbers in increasing order, words in order of appearance."""
    distinct = list(dict.fromkeys(values))
    are_numbers = all(isinstance(value, int | float) for value in distinct)
    return sorted(distinct) if are_numbers else distinct


def _values_yaml(values: Sequence[Any]) -> str:
    """YAML of one value, a range such as 0..11, numbers separated by blanks, or a list."""
    if len(values) == 1:
        return _scalar_yaml(values[0])
    numbers = [value for value in values if isinstance(value, int)]
    if numbers == list(values) == list(range(numbers[0], numbers[0] + len(values))):
        return f"{numbers[0]}..{numbers[-1]}"
    if numbers == list(values):
        return " ".join(map(str, values))
    return f"[{', '.join(map(_scalar_yaml, values))}]"


def _scalar_yaml(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else repr(value)
    return str(value) if isinstance(value, int) or value.isidentifier() else f'"{value}"'


def wrap_items(begin: str, items: Sequence[str], end: str) -> list[str]:
    """One line if it fits, else several, broken between items and within overlong items."""
    # The file indents all lines by 4 more characters; 5 counts the blank before a piece as well.
    single_line = begin + ", ".join(items) + end
    if len(single_line) + 4 <= WIDTH:
        return [single_line]
    lines, line = [begin], " "
    for item in (f"{item}," for item in items):
        if len(line) + len(item) + 5 > WIDTH and line.strip():
            lines.append(line)
            line = " "
        for piece in item.split(" "):
            if len(line) + len(piece) + 5 > WIDTH:
                lines.append(line)
                line = "   "
            line += f" {piece}"
    return [*lines, line.removesuffix(","), end]
