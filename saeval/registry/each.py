"""Families of records: what `each` in a registry file stands for, and how placeholders are filled.

    - each: {layer: 0..11, width: [16k, 65k]}     # every combination
      id: release/{layer}/{width}
    - each: [{layer: 0, l0: 41}, {layer: 1, l0: 52 97}]     # row by row; several values in a row
      id: release/{layer}-{l0}                              # stand for a row of each
      expected: {l0: "{l0}"}

Values are a list, a range such as 0..11, or numbers separated by blanks. A field that consists of
a placeholder alone takes the type of the value that replaces it. Where some names vary together
within the combinations, a list may hold mappings: `width: [{width: 4k, power: 12}, ...]`.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from saeval.errors import RegistryError

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_NUMBERS = re.compile(r"\d+(?: \d+)+")
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

Fill = Callable[[tuple[Any, ...]], Any]
"""Computes a field's value from the values of a row."""


@dataclass(frozen=True)
class EachTable:
    """Names of placeholders, and rows that hold one value for each of them."""

    names: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]

    def has_simple_values(self) -> bool:
        """Whether all values are numbers and simple words, which are valid anywhere in an id."""
        values = {value for row in self.rows for value in row if type(value) in (int, float, str)}
        kinds = {type(value) for row in self.rows for value in row}
        return kinds <= {int, float, str} and all(_WORD.fullmatch(str(value)) for value in values)


def expand_record(record: Any, where: str) -> Iterator[dict[str, Any]]:
    """Yield the record itself, or one record per row of its `each`.

    Raises:
        RegistryError: if the record is not a mapping, or its `each` is malformed or lacks a name.
    """
    values = record_fields(record, where)
    if "each" not in values:
        yield values
        return
    table = read_table(values.pop("each"), where)
    fills = {key: make_fill(value, table.names, where) for key, value in values.items()}
    for row in table.rows:
        yield {key: values[key] if fill is None else fill(row) for key, fill in fills.items()}


def record_fields(record: Any, where: str) -> dict[str, Any]:
    """A new dict of a record's fields.

    Raises:
        RegistryError: if the record is not a mapping.
    """
    if not isinstance(record, Mapping):
        raise RegistryError(f"{where}: expected a mapping of fields, not {record!r}.")
    return dict(record)


def read_table(each: Any, where: str) -> EachTable:
    """The table of values that an `each` stands for.

    Raises:
        RegistryError: if `each` is malformed, or its rows give different names.
    """
    if isinstance(each, list) and each and all(isinstance(row, dict) for row in each):
        names = _same_names(each, where)
        # A cell such as `52 97` holds several values: its row stands for one row per value.
        choices = [[_values(row[name]) or [row[name]] for name in names] for row in each]
        return EachTable(names, [row for cells in choices for row in itertools.product(*cells)])
    if isinstance(each, dict) and each:
        axes = [_axis(name, values, f"{where}: each.{name}") for name, values in each.items()]
        names = tuple(name for axis in axes for name in axis.names)
        grid = itertools.product(*(axis.rows for axis in axes))
        return EachTable(names, [tuple(itertools.chain(*cells)) for cells in grid])
    raise RegistryError(
        f"{where}: 'each' must map names to lists or ranges such as 0..11, or list such mappings."
    )


def _axis(name: str, values: Any, where: str) -> EachTable:
    """One dimension of a grid: the values of one name, or of several names that vary together."""
    items = _values(values)
    if not items:
        raise RegistryError(f"{where} must be a list or a range such as 0..11, not {values!r}.")
    if all(isinstance(item, dict) for item in items):
        names = _same_names(items, where)
        return EachTable(names, [tuple(item[key] for key in names) for item in items])
    return EachTable((name,), [(item,) for item in items])


def _same_names(rows: Sequence[Mapping[str, Any]], where: str) -> tuple[str, ...]:
    names = tuple(rows[0])
    if any(set(row) != set(names) for row in rows):
        raise RegistryError(f"{where}: all rows of 'each' must give the names {', '.join(names)}.")
    return names


def _values(value: Any) -> Sequence[Any] | None:
    """The values of a list, a range such as 0..11 or `9 17 22`; None for anything else."""
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        return None
    if _NUMBERS.fullmatch(value):
        return [int(number) for number in value.split(" ")]
    bounds = _RANGE.fullmatch(value)
    return range(int(bounds[1]), int(bounds[2]) + 1) if bounds else None


def make_fill(value: Any, names: Sequence[str], where: str) -> Fill | None:
    """The function that fills a field from a row; None if the field has no placeholder.

    A registry has thousands of rows, so the field's text is parsed once, here, and a fill only
    formats it.

    Raises:
        RegistryError: if a placeholder is not among the names.
    """
    if isinstance(value, Mapping):
        return _fill_parts(
            list(value.values()), names, where, lambda parts: dict(zip(value, parts, strict=True))
        )
    if isinstance(value, list):
        return _fill_parts(value, names, where, list)
    if not isinstance(value, str) or not (placeholders := _PLACEHOLDER.findall(value)):
        return None
    for name in placeholders:
        if name not in names:
            raise RegistryError(f"{where}: 'each' gives no value for {{{name}}}.")
    columns = [names.index(name) for name in placeholders]
    if _PLACEHOLDER.fullmatch(value):
        return itemgetter(columns[0])
    template = _PLACEHOLDER.sub("%s", value.replace("%", "%%"))
    if len(columns) == 1:
        return lambda row, column=columns[0]: template % (row[column],)
    cells = itemgetter(*columns)
    return lambda row: template % cells(row)


def _fill_parts(
    values: Sequence[Any], names: Sequence[str], where: str, collect: Callable[[list[Any]], Any]
) -> Fill | None:
    """The function that fills a list or mapping part by part; None if no part has placeholders."""
    fills = [make_fill(value, names, where) for value in values]
    if not any(fills):
        return None
    pairs = list(zip(values, fills, strict=True))
    return lambda row: collect([value if fill is None else fill(row) for value, fill in pairs])


def is_text(value: Any) -> bool:
    """Whether a field is text for every row: a string, but not a placeholder alone."""
    return isinstance(value, str) and _PLACEHOLDER.fullmatch(value) is None
