"""One registry file: YAML in, checked entries, sets and models out.

Strict: an unknown key, a key twice, a value of the wrong type or a malformed source is an error
with file and line. Regular families are written once, with `each`: registry/each.py tells how.
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
from saeval.registry.each import Fill, Table, expanded, filler, is_text, mapping, read_table
from saeval.registry.entries import (
    BaseModel,
    Entry,
    EntrySet,
    Expected,
    check_entry,
    check_figures,
    varied,
)

T = TypeVar("T")
_SECTIONS = {"saes": list, "sets": dict, "models": dict}


@dataclass(frozen=True)
class RegistryFile:
    """What one file lists. Members of sets are still as written: ids and globs."""

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
        for entry in _entries(record, path, f"{path}:{lines['saes'][index]}")
    ]
    sets = [
        _set(values, path, where)
        for values, where in _named(sections["sets"], "name", path, lines["sets"])
    ]
    models = [
        _record(BaseModel, values, where)
        for values, where in _named(sections["models"], "id", path, lines["models"])
    ]
    for kind, names in (
        ("id", [entry.id for entry in entries]),
        ("set", [group.name for group in sets]),
    ):
        _refuse_twice(names, f"{path}: {kind}")
    return RegistryFile(path, tuple(entries), tuple(sets), tuple(models))


def _refuse_twice(names: Sequence[str], what: str) -> None:
    if len(set(names)) == len(names):
        return
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise RegistryError(f"{what} '{name}' is listed twice. Remove or rename one.")
        seen.add(name)


# YAML with its lines ------------------------------------------------------------------------------


def _parse(path: Path) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """The three sections, and the line on which each of their items begins."""
    try:
        loader = Loader(path.read_text(encoding="utf-8"))
        node = loader.get_single_node()
        if node is not None and (twice := repeated_key(node)):
            raise RegistryError(f"{path}:{twice[1]}: the key '{twice[0]}' stands twice.")
        found = loader.construct_document(node) if node is not None else {}
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryError(f"Cannot read the registry '{path}': {error}.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else f"Registry '{path}'"
        reason = getattr(error, "problem", None) or str(error)
        raise RegistryError(f"{where} is not YAML: {reason}.") from error
    if not isinstance(found, dict):
        raise RegistryError(f"Registry '{path}' must be a mapping with 'saes', 'sets', 'models'.")
    lines: dict[str, list[int]] = {name: [] for name in _SECTIONS}
    for key, value in node.value if node is not None else ():
        items = value.value if isinstance(value, yaml.CollectionNode) else []
        starts = [item[0] if isinstance(item, tuple) else item for item in items]
        lines[key.value] = [start.start_mark.line + 1 for start in starts]
    for key, value in found.items():
        if key not in _SECTIONS:
            near = suggestion(str(key), _SECTIONS)
            raise RegistryError(f"Registry '{path}' has the unknown section '{key}'.{near}")
        if value is not None and not isinstance(value, _SECTIONS[key]):
            asked = "a list" if _SECTIONS[key] is list else "a mapping of names"
            raise RegistryError(f"Registry '{path}': '{key}' must be {asked}.")
    return {name: found.get(name) or kind() for name, kind in _SECTIONS.items()}, lines


def _named(
    section: Mapping[str, Any], key: str, path: Path, lines: Sequence[int]
) -> Iterator[tuple[dict[str, Any], str]]:
    """Records of a section that maps names to fields, each with where it stands."""
    for (name, record), line in zip(section.items(), lines, strict=True):
        where = f"{path}:{line}"
        if not isinstance(record, Mapping) or key in record:
            raise RegistryError(f"{where}: '{name}' must map to fields other than '{key}'.")
        for values in expanded({key: name, **record}, where):
            yield values, where


# Records ------------------------------------------------------------------------------------------


def _entries(record: Any, path: Path, where: str) -> Iterator[Entry]:
    """The entry of a record, or those of its family.

    A registry has families of thousands. Where the values of `each` are numbers and plain words,
    one member stands for all: what its texts look like, theirs do too. So the first is checked, and
    of the others only their figures.
    """
    values = mapping(record, where)
    table = read_table(values.pop("each"), where) if "each" in values else None
    fills = {} if table is None else _fills(values, table, where)
    if table is None or not table.is_plain():
        yield from (_entry(one, path, where) for one in expanded(record, where))
        return
    start = {key: fill(table.rows[0]) for key, fill in fills.items()}
    first = _entry({**values, **start}, path, where)
    yield first
    rows = table.rows[1:]
    texts = [key for key in fills if is_text(values[key])]
    figures = [key for key in fills if key not in texts]
    columns: list[Sequence[Any]] = [list(map(fills[key], rows)) for key in texts]
    columns += zip(
        *_checked([(key, fills[key]) for key in figures], rows, first, where), strict=True
    )
    for cells in zip(*columns, strict=True):
        yield varied(first, (*texts, *figures), cells)


def _fills(values: Mapping[str, Any], table: Table, where: str) -> dict[str, Fill]:
    """How each field that varies within a family is filled from a row."""
    fills = {key: filler(value, table.names, where) for key, value in values.items()}
    return {key: fill for key, fill in fills.items() if fill is not None}


def _checked(
    figures: Sequence[tuple[str, Fill]],
    rows: Sequence[tuple[Any, ...]],
    first: Entry,
    where: str,
) -> Iterator[tuple[Any, ...]]:
    """Of each row the fields that are no texts, each of its type and in its range."""
    hints = _hints(Entry)[0]
    names = [name for name, _ in figures]
    check = check_figures if {"expected", "input_scale"}.issuperset(names) else check_entry
    known: dict[str, tuple[Any, ...]] = {}
    for row in rows if figures else ():
        values = [fill(row) for _, fill in figures]
        said = repr(values)
        if said not in known:
            cells = tuple(
                _record(Expected, value, f"{where}, expected")
                if name == "expected"
                else _conformed(value, hints[name], f"{where}: '{name}'")
                for name, value in zip(names, values, strict=True)
            )
            _reraised(check, varied(first, names, cells), where)
            known[said] = cells
        yield known[said]


def _conformed(value: Any, hint: Any, what: str) -> Any:
    try:
        return conform(value, hint)
    except ValueError as error:
        raise RegistryError(f"{what} must be {error}, not {value!r}.") from error


def _entry(values: dict[str, Any], path: Path, where: str) -> Entry:
    where = f"{where}: entry '{values.get('id', '?')}'"
    if "file" in values:
        raise RegistryError(f"{where} has the unknown field 'file'.")
    for end in ("site", "write_site"):
        several = values.get(end)
        if isinstance(several, list) and several and all(isinstance(one, str) for one in several):
            values = {**values, end: ",".join(several)}
    expected = values.get("expected", {})
    if not isinstance(expected, Mapping):
        raise RegistryError(f"{where}: 'expected' must be a mapping such as {{l0: 32, fvu: 0.2}}.")
    checked = _record(Expected, expected, f"{where}, expected")
    entry = _record(Entry, {**values, "expected": checked, "file": path}, where)
    _reraised(check_entry, entry, where)
    return entry


def _set(values: dict[str, Any], path: Path, where: str) -> EntrySet:
    where = f"{where}: set '{values['name']}'"
    if "file" in values:
        raise RegistryError(f"{where} has the unknown field 'file'.")
    group = _record(EntrySet, {**values, "file": path}, where)
    if not group.members:
        raise RegistryError(f"{where} has no members.")
    return group


def _reraised(check: Callable[[T], None], value: T, where: str) -> None:
    try:
        check(value)
    except SaevalError as error:
        raise RegistryError(f"{where}: {error}") from error


def _record(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """A dataclass from plain values, each checked against its field's type."""
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
        checked[key] = _conformed(value, hints[key], f"{where}: '{key}'")
    return cls(**checked)


@functools.cache
def _hints(cls: type) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Types of all fields by name, and the names of those without a default."""
    missing = dataclasses.MISSING
    required = tuple(
        item.name
        for item in dataclasses.fields(cls)
        if item.default is missing and item.default_factory is missing
    )
    return typing.get_type_hints(cls), required
