"""Rows and records as plain text for a terminal, whatever their texts contain."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

_LONG_NAME = 24
"""Characters from which a name stands on a line of its own."""


def printable(text: object) -> str:
    """The text without control characters, which could steer a terminal."""
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in plain)


def listing(rows: Sequence[Mapping[str, str]], *, right: Sequence[str] = ()) -> str:
    """Rows as a table. Columns that are empty throughout are left out.

    Args:
        rows: The same keys in each.
        right: Columns whose texts end in line.
    """
    names = [name for name in (rows[0] if rows else ()) if any(row[name] for row in rows)]
    heads = [[name] for name in names]
    body = [[row[name].splitlines() or [""] for name in names] for row in rows]
    widths = [max(map(len, chain(*column))) for column in zip(heads, *body, strict=True)]
    rule = [["-" * width] for width in widths]
    sides = [">" if name in right else "<" for name in names]
    form = "  ".join(f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True))
    return "\n".join(
        form.format(*line).rstrip()
        for cells in (heads, rule, *body)
        for line in zip_longest(*cells, fillvalue="")
    )


def plain_listing(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of any values as a table; None is an empty cell."""
    return listing(
        [{key: "" if value is None else _cell(value) for key, value in row.items()} for row in rows]
    )


def _cell(value: Any) -> str:
    return "\n".join(printable(line) for line in str(value).splitlines())


def record_text(record: Mapping[str, Any]) -> str:
    """One record, a line a field; empty fields are left out, and an empty line follows."""
    lines = [line for key, value in record.items() for line in _field(str(key), value)]
    return "\n".join([*map(printable, lines), ""])


def _field(key: str, value: Any) -> Iterator[str]:
    if value in (None, "", [], (), {}):
        return
    if isinstance(value, list | tuple) and isinstance(value[0], Mapping):
        yield f"{key}:"
        yield from (f"    {line}" for line in plain_listing(value).splitlines())
    elif isinstance(value, list | tuple):
        yield f"{key} ({len(value)}):"
        yield from (f"    {item}" for item in value)
    elif isinstance(value, Mapping):
        known = [f"{name} {item}" for name, item in value.items() if item is not None]
        if known:
            yield f"{key}: {', '.join(known)}"
    elif "\n" in str(value) or len(key) > _LONG_NAME:
        yield f"{key}:"
        yield from (f"    {line}" for line in str(value).splitlines())
    else:
        yield f"{key}: {value}"
