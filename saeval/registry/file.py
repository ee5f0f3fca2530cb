"""One registry file: YAML in, checked entries, sets and models out.

Reading is strict: an unknown key, a repeated key, a value of the wrong type or a malformed source
is an error with file and line. Regular families are written once, with `each`: see
registry/each.py.
"""

import dataclasses
import functools
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from saeval.config.field_types import conform
from saeval.config.strict_yaml import Loader, repeated_key
from saeval.errors import RegistryError, SaevalError, suggestion
from saeval.registry.each import (
    EachTable,
    Fill,
    expand_record,
    is_text,
    make_fill,
    read_table,
    record_fields,
)
from saeval.registry.entries import (
    BaseModel,
    Entry,
    EntrySet,
    Expected,
    check_entry,
    check_figures,
    replace_fields,
)

T = TypeVar("T")
_SECTIONS = {"saes": list, "sets": dict, "models": dict}


@dataclass(frozen=True)
class RegistryFile:
    """The contents of one file. Members of sets are as written: ids and globs."""

    path: Path
    entries: tuple[Entry, ...]
    sets: tuple[EntrySet, ...]
    models: tuple[BaseModel, ...]


def read_registry_file(path: Path) -> RegistryFile:
    """Read and check one file. Whether members of sets exist is checked later.

    Raises:
        RegistryError: naming file, line and fault.
    """
    sections, lines = _parse(path)
    entries = [
        entry
        for index, record in enumerate(sections["saes"])
        for entry in _read_entries(record, path, f"{path}:{lines['saes'][index]}")
    ]
    sets = [
        _read_set(values, path, where)
        for values, where in _read_section(sections["sets"], "name", path, lines["sets"])
    ]
    models = [
        _build(BaseModel, values, where)
        for values, where in _read_section(sections["models"], "id", path, lines["models"])
    ]
    for kind, names in (
        ("id", [entry.id for entry in entries]),
        ("set", [group.name for group in sets]),
    ):
        _refuse_twice(names, f"{path}: {kind}")
    return RegistryFile(path, tuple(entries), tuple(sets), tuple(models))


def _refuse_twice(names: Sequence[str], kind: str) -> None:
    if len(set(names)) == len(names):
        return
    earlier: set[str] = set()
    for name in names:
        if name in earlier:
            raise RegistryError(f"{kind} '{name}' is listed twice. Remove or rename one.")
        earlier.add(name)


# YAML with its lines ------------------------------------------------------------------------------


def _parse(path: Path) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """The three sections, and the line on which each of their items begins."""
    try:
        loader = Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        if node is not None and (repeated := repeated_key(node)):
            raise RegistryError(f"{path}:{repeated[1]}: the key '{repeated[0]}' stands twice.")
        sections = loader.construct_document(node) if node is not None else {}
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryError(f"Cannot read the registry '{path}': {error}.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else f"Registry '{path}'"
        reason = getattr(error, "problem", None) or str(error)
        raise RegistryError(f"{where} is not YAML: {reason}.") from error
    if not isinstance(sections, dict):
        raise RegistryError(f"Registry '{path}' must be a mapping with 'saes', 'sets', 'models'.")
    lines: dict[str, list[int]] = {name: [] for name in _SECTIONS}
    for key, value in node.value if node is not None else ():
        items = value.value if isinstance(value, yaml.CollectionNode) else []
        starts = [item[0] if isinstance(item, tuple) else item for item in items]
        lines[key.value] = [start.start_mark.line + 1 for start in starts]
    for key, value in sections.items():
        if key not in _SECTIONS:
            near = suggestion(str(key), _SECTIONS)
            raise RegistryError(f"Registry '{path}' has the unknown section '{key}'.{near}")
        if value is not None and not isinstance(value, _SECTIONS[key]):
            kind_name = "a list" if _SECTIONS[key] is list else "a mapping of names"
            raise RegistryError(f"Registry '{path}': '{key}' must be {kind_name}.")
    return {name: sections.get(name) or kind() for name, kind in _SECTIONS.items()}, lines


def _read_section(
    section: Mapping[str, Any], key: str, path: Path, lines: Sequence[int]
) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the records of a section that maps names to fields, each with its file and line."""
    for (name, record), line in zip(section.items(), lines, strict=True):
        where = f"{path}:{line}"
        if not isinstance(record, Mapping) or key in record:
            raise RegistryError(f"{where}: '{name}' must map to fields other than '{key}'.")
        for values in expand_record({key: name, **record}, where):
            yield values, where


# Records ------------------------------------------------------------------------------------------


def _read_entries(record: Any, path: Path, where: str) -> Iterator[Entry]:
    """Yield the entry of a record, or the entries of its family.

    A family may have thousands of members. If the values of `each` are numbers and simple words,
    the texts of all members have the same form. So only the first member is checked in full, and
    of the others only the fields that are not texts.
    """
    values = record_fields(record, where)
    table = read_table(values.pop("each"), where) if "each" in values else None
    fills = {} if table is None else _make_fills(values, table, where)
    if table is None or not table.has_simple_values():
        yield from (_read_entry(member, path, where) for member in expand_record(record, where))
        return
    first_values = {key: fill(table.rows[0]) for key, fill in fills.items()}
    first = _read_entry({**values, **first_values}, path, where)
    yield first
    rows = table.rows[1:]
    texts = [key for key in fills if is_text(values[key])]
    figures = [key for key in fills if key not in texts]
    columns: list[Sequence[Any]] = [list(map(fills[key], rows)) for key in texts]
    columns += zip(
        *_check_figures([(key, fills[key]) for key in figures], rows, first, where), strict=True
    )
    for cells in zip(*columns, strict=True):
        yield replace_fields(first, (*texts, *figures), cells)


def _make_fills(values: Mapping[str, Any], table: EachTable, where: str) -> dict[str, Fill]:
    """Functions that fill each field that varies within a family from a row."""
    fills = {key: make_fill(value, table.names, where) for key, value in values.items()}
    return {key: fill for key, fill in fills.items() if fill is not None}


def _check_figures(
    figures: Sequence[tuple[str, Fill]],
    rows: Sequence[tuple[Any, ...]],
    first: Entry,
    where: str,
) -> Iterator[tuple[Any, ...]]:
    """Yield each row's values of the fields that are not texts, checked for type and range."""
    hints = _hints(Entry)[0]
    names = [name for name, _ in figures]
    check = check_figures if {"expected", "input_scale"}.issuperset(names) else check_entry
    # Many rows have equal values, which are checked once. `repr` also serves for dicts and lists.
    checked: dict[str, tuple[Any, ...]] = {}
    for row in rows if figures else ():
        values = [fill(row) for _, fill in figures]
        key = repr(values)
        if key not in checked:
            cells = tuple(
                _build(Expected, value, f"{where}, expected")
                if name == "expected"
                else _conform_field(value, hints[name], f"{where}: '{name}'")
                for name, value in zip(names, values, strict=True)
            )
            _check_at(check, replace_fields(first, names, cells), where)
            checked[key] = cells
        yield checked[key]


def _conform_field(value: Any, hint: Any, where: str) -> Any:
    try:
        return conform(value, hint)
    except ValueError as error:
        raise RegistryError(f"{where} must be {error}, not {value!r}.") from error


def _read_entry(values: dict[str, Any], path: Path, where: str) -> Entry:
    where = f"{where}: entry '{values.get('id', '?')}'"
    if "file" in values:
        raise RegistryError(f"{where} has the unknown field 'file'.")
    for field in ("site", "write_site"):
        names = values.get(field)
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            values = {**values, field: ",".join(names)}
    expected = values.get("expected", {})
    if not isinstance(expected, Mapping):
        raise RegistryError(f"{where}: 'expected' must be a mapping such as {{l0: 32, fvu: 0.2}}.")
    checked = _build(Expected, expected, f"{where}, expected")
    entry = _build(Entry, {**values, "expected": checked, "file": path}, where)
    _check_at(check_entry, entry, where)
    return entry


def _read_set(values: dict[str, Any], path: Path, where: str) -> EntrySet:
    where = f"{where}: set '{values['name']}'"
    if "file" in values:
        raise RegistryError(f"{where} has the unknown field 'file'.")
    group = _build(EntrySet, {**values, "file": path}, where)
    if not group.members:
        raise RegistryError(f"{where} has no members.")
    return group


def _check_at(check: Callable[[T], None], value: T, where: str) -> None:
    try:
        check(value)
    except SaevalError as error:
        raise RegistryError(f"{where}: {error}") from error


def _build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Build a dataclass from YAML values, each checked against its field's type."""
    hints, required = _hints(cls)
    for key in values:
        if key not in hints:
            near = suggestion(str(key), set(hints) - {"file"})
            raise RegistryError(f"{where} has the unknown field '{key}'.{near}")
    for name in required:
        if name not in values:
            raise RegistryError(f"{where} lacks the field '{name}'.")
    checked = {}
    for key, value in values.items():
        checked[key] = _conform_field(value, hints[key], f"{where}: '{key}'")
    return cls(**checked)


@functools.cache
def _hints(cls: type) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Types of all fields by name, and the names of the fields without a default."""
    no_default = dataclasses.MISSING
    required = tuple(
        item.name
        for item in dataclasses.fields(cls)
        if item.default is no_default and item.default_factory is no_default
    )
    return typing.get_type_hints(cls), required
