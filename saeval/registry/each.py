"""Families of records: what `each` of a registry file stands for, and how placeholders are filled.

    - each: {layer: 0..11, width: [16k, 65k]}     # every combination
      id: release/{layer}/{width}
    - each: [{layer: 0, l0: 41}, {layer: 1, l0: 52 97}]     # row by row; several values in a row
      id: release/{layer}-{l0}                              # stand for a row of each
      expected: {l0: "{l0}"}

Values are a list, a range such as 0..11, or numbers divided by blanks. A field that is nothing but
a placeholder keeps the type of what it is replaced by. Where names go together within combinations,
a list may hold mappings: `width: [{width: 4k, power: 12}, ...]`.
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
"""From a row's values to a field's value."""


@dataclass(frozen=True)
class Table:
    """Names of placeholders, and the rows of values that they take together."""

    names: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]

    def is_plain(self) -> bool:
        """Whether every value can stand anywhere in an id or a source: numbers, and words."""
        values = {value for row in self.rows for value in row if type(value) in (int, float, str)}
        kinds = {type(value) for row in self.rows for value in row}
        return kinds <= {int, float, str} and all(_WORD.fullmatch(str(one)) for one in values)


def expanded(record: Any, where: str) -> Iterator[dict[str, Any]]:
    """The record itself, or one record for each row that its `each` gives.

    Raises:
        RegistryError: if it is no mapping, or its `each` is malformed or lacks a name.
    """
    values = mapping(record, where)
    if "each" not in values:
        yield values
        return
    table = read_table(values.pop("each"), where)
    fills = {key: filler(value, table.names, where) for key, value in values.items()}
    for row in table.rows:
        yield {key: values[key] if fill is None else fill(row) for key, fill in fills.items()}


def mapping(record: Any, where: str) -> dict[str, Any]:
    """A record's fields.

    Raises:
        RegistryError: if it is no mapping.
    """
    if not isinstance(record, Mapping):
        raise RegistryError(f"{where}: expected a mapping of fields, not {record!r}.")
    return dict(record)


def read_table(each: Any, where: str) -> Table:
    """What an `each` stands for.

    Raises:
        RegistryError: if it is malformed, or its rows give different names.
    """
    if isinstance(each, list) and each and all(isinstance(row, dict) for row in each):
        names = _same_names(each, where)
        spread = [[_values(row[name]) or [row[name]] for name in names] for row in each]
        return Table(names, [one for row in spread for one in itertools.product(*row)])
    if isinstance(each, dict) and each:
        axes = [_axis(name, values, f"{where}: each.{name}") for name, values in each.items()]
        names = tuple(name for axis in axes for name in axis.names)
        grid = itertools.product(*(axis.rows for axis in axes))
        return Table(names, [tuple(itertools.chain(*cells)) for cells in grid])
    raise RegistryError(
        f"{where}: 'each' must map names to lists or ranges such as 0..11, or list such mappings."
    )


def _axis(name: str, values: Any, where: str) -> Table:
    """One dimension of a grid: values of one name, or of several that go together."""
    found = _values(values)
    if not found:
        raise RegistryError(f"{where} must be a list or a range such as 0..11, not {values!r}.")
    if all(isinstance(value, dict) for value in found):
        names = _same_names(found, where)
        return Table(names, [tuple(value[one] for one in names) for value in found])
    return Table((name,), [(value,) for value in found])


def _same_names(rows: Sequence[Mapping[str, Any]], where: str) -> tuple[str, ...]:
    names = tuple(rows[0])
    if any(set(row) != set(names) for row in rows):
        raise RegistryError(f"{where}: all rows of 'each' must give the names {', '.join(names)}.")
    return names


def _values(value: Any) -> Sequence[Any] | None:
    """What a list, a range such as 0..11 or `9 17 22` stands for; None of anything else."""
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        return None
    if _NUMBERS.fullmatch(value):
        return [int(number) for number in value.split(" ")]
    bounds = _RANGE.fullmatch(value)
    return range(int(bounds[1]), int(bounds[2]) + 1) if bounds else None


def filler(value: Any, names: Sequence[str], where: str) -> Fill | None:
    """How a field is filled from a row; None if it holds no placeholder.

    Raises:
        RegistryError: if a placeholder is none of the names.
    """
    if isinstance(value, Mapping):
        return _parts(
            list(value.values()), names, where, lambda inner: dict(zip(value, inner, strict=True))
        )
    if isinstance(value, list):
        return _parts(value, names, where, list)
    if not isinstance(value, str) or not (used := _PLACEHOLDER.findall(value)):
        return None
    for name in used:
        if name not in names:
            raise RegistryError(f"{where}: 'each' gives no value for {{{name}}}.")
    places = [names.index(name) for name in used]
    if _PLACEHOLDER.fullmatch(value):
        return itemgetter(places[0])
    form = _PLACEHOLDER.sub("%s", value.replace("%", "%%"))
    if len(places) == 1:
        return lambda row, place=places[0]: form % (row[place],)
    pick = itemgetter(*places)
    return lambda row: form % pick(row)


def _parts(
    values: Sequence[Any], names: Sequence[str], where: str, joined: Callable[[list[Any]], Any]
) -> Fill | None:
    """How a list or mapping is filled, part by part."""
    fills = [filler(value, names, where) for value in values]
    if not any(fills):
        return None
    pairs = list(zip(values, fills, strict=True))
    return lambda row: joined([value if fill is None else fill(row) for value, fill in pairs])


def is_text(value: Any) -> bool:
    """Whether a field is text whatever the row: not a placeholder alone."""
    return isinstance(value, str) and _PLACEHOLDER.fullmatch(value) is None
