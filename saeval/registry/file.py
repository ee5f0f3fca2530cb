"""One registry file: YAML in, checked entries, sets and models out.

Strict: an unknown key, a key twice, a value of the wrong type or a malformed source is an error
with file and line. Regular families are written once, with `each`:

    - each: {layer: 0..11, width: [16k, 65k]}     # every combination
      id: release/{layer}/{width}
    - each: [{layer: 0, l0: 41}, {layer: 1, l0: 52}]     # row by row
      id: release/{layer}
      expected: {l0: "{l0}"}

A value that is nothing but a placeholder keeps the type of what it is replaced by. Where names go
together within combinations, a list may hold mappings: `width: [{width: 4k, power: 12}, ...]`.
"""

import dataclasses
import functools
import itertools
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from saeval.config.field_types import conform
from saeval.errors import RegistryError, SaevalError, suggestion
from saeval.registry.entries import BaseModel, Entry, EntrySet, Expected, check_entry

T = TypeVar("T")
Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times as fast

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
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
        _entry(values, path, f"{path}:{lines['saes'][index]}")
        for index, record in enumerate(sections["saes"])
        for values in _expanded(record, f"{path}:{lines['saes'][index]}")
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
        if node is not None:
            _refuse_repeated_keys(node, path)
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


def _refuse_repeated_keys(node: yaml.Node, path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                raise RegistryError(f"{path}:{line}: the key '{key.value}' stands twice.")
            seen.add(key.value)
            _refuse_repeated_keys(value, path)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(item, path)


# Families -----------------------------------------------------------------------------------------


def _named(
    section: Mapping[str, Any], key: str, path: Path, lines: Sequence[int]
) -> Iterator[tuple[dict[str, Any], str]]:
    """Records of a section that maps names to fields, each with where it stands."""
    for (name, record), line in zip(section.items(), lines, strict=True):
        where = f"{path}:{line}"
        if not isinstance(record, Mapping) or key in record:
            raise RegistryError(f"{where}: '{name}' must map to fields other than '{key}'.")
        for values in _expanded({key: name, **record}, where):
            yield values, where


def _expanded(record: Any, where: str) -> Iterator[dict[str, Any]]:
    """The record itself, or one record for each row that its `each` gives."""
    if not isinstance(record, Mapping):
        raise RegistryError(f"{where}: expected a mapping of fields, not {record!r}.")
    values = dict(record)
    if "each" not in values:
        yield values
        return
    rows = _rows(values.pop("each"), where)
    try:
        for row in rows:
            yield {key: _filled(value, row) for key, value in values.items()}
    except KeyError as error:
        raise RegistryError(f"{where}: 'each' gives no value for {{{error.args[0]}}}.") from error


def _rows(each: Any, where: str) -> list[dict[str, Any]]:
    if isinstance(each, list) and each and all(isinstance(row, dict) for row in each):
        return each
    if isinstance(each, dict) and each:
        axes = {name: _axis(values, f"{where}: each.{name}") for name, values in each.items()}
        return [_row(axes, combination) for combination in itertools.product(*axes.values())]
    raise RegistryError(
        f"{where}: 'each' must map names to lists or ranges such as 0..11, or list such mappings."
    )


def _row(axes: Iterable[str], values: Iterable[Any]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, value in zip(axes, values, strict=True):
        row.update(value if isinstance(value, dict) else {name: value})
    return row


def _axis(values: Any, where: str) -> Sequence[Any]:
    if isinstance(values, list) and values:
        return values
    bounds = _RANGE.fullmatch(values) if isinstance(values, str) else None
    if bounds is None:
        raise RegistryError(f"{where} must be a list or a range such as 0..11, not {values!r}.")
    return range(int(bounds[1]), int(bounds[2]) + 1)


def _filled(value: Any, row: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_filled(item, row) for item in value]
    if isinstance(value, Mapping):
        return {key: _filled(item, row) for key, item in value.items()}
    if not isinstance(value, str) or "{" not in value:
        return value
    whole = _PLACEHOLDER.fullmatch(value)
    return row[whole[1]] if whole else _PLACEHOLDER.sub(lambda hit: str(row[hit[1]]), value)


# Records ------------------------------------------------------------------------------------------


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
        try:
            checked[key] = conform(value, hints[key])
        except ValueError as error:
            raise RegistryError(f"{where}: '{key}' must be {error}, not {value!r}.") from error
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
