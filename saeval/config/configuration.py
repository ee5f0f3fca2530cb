"""The configuration of a run as plain values: read from YAML, overridden, checked, written."""

import dataclasses
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from saeval.config.counts import check_limit, limit_error
from saeval.config.field_types import conform
from saeval.config.options import Configuration, Option, options
from saeval.config.repeated import run_of_file
from saeval.config.strict_yaml import parse_yaml
from saeval.errors import UsageError, shown, suggestion

T = TypeVar("T")

IN_MEMORY = "in memory: "
"""Begins the name, in a result's `run`, of an object that came from no file."""
_LONGEST_NAME = 255
"""Bytes of a file's name, at most, on all common file systems."""
ELSEWHERE = "elsewhere: "
"""Begins the name there of a file or folder that did not lie below the working folder."""


def read_configuration(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML or JSON file: a run's, or the `run` of a result file.

    Raises:
        UsageError: if the file cannot be read, is no mapping, or has an unknown key.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"Cannot read the configuration '{path}': {error}.") from error
    try:
        content = parse_yaml(text)
    except ValueError as error:
        raise UsageError(f"'{path}' is not YAML: {error}") from error
    if (
        isinstance(content, dict)
        and "result_id" in content
        and isinstance(content.get("run"), dict)
    ):
        content = run_of_file(Path(path), content)
    if not isinstance(content, dict):
        raise UsageError(f"'{path}' must hold a mapping with keys such as 'saes' and 'tasks'.")
    check_names(content, f"'{path}'")
    return content


def check_names(mapping: Mapping[Any, Any], place: str) -> None:
    """Refuse keys that are no option of a run.

    Raises:
        UsageError: naming the first such key and the nearest known.
    """
    names = [item.name for item in dataclasses.fields(Configuration)]
    for key in mapping:
        if key not in names:
            raise UsageError(f"{place} has the unknown key '{key}'.{suggestion(str(key), names)}")


def refuse_unnameable(name: Any, role: str) -> None:
    """Refuse a name from a result's `run` that leads to no file: see `IN_MEMORY`, `ELSEWHERE`.

    Args:
        name: Value of a configuration; lists and mappings are searched.
        role: What the name stands for, such as "SAE", or a task's field, such as "core.texts".

    Raises:
        UsageError: if the object was in memory, or lay elsewhere, or if a name (of no field) is a
            text that no file can be called.
    """
    if isinstance(name, str) and "." not in role and not _may_be_name(name):
        remedy = " Give texts as a list of them." if role == "data" else ""
        raise UsageError(f"{shown(name)} is no name of a file, so no {role}.{remedy}")
    if isinstance(name, Mapping | list | tuple):
        for inner in name.values() if isinstance(name, Mapping) else name:
            refuse_unnameable(inner, role)
    if isinstance(name, str) and name.startswith(IN_MEMORY):
        raise UsageError(
            f"The {role} of that run ({name.removeprefix(IN_MEMORY)}) was an object in memory, "
            "which no file can name. Give the object to saeval.evaluate again, or name another."
        )
    if isinstance(name, str) and name.startswith(ELSEWHERE):
        option = f"--set {role}=PATH" if "." in role else f"--{role.lower()} PATH"
        raise UsageError(
            f"The {role} of that run lay outside its working folder, and result files hold no "
            f"absolute paths: it is named '{name.removeprefix(ELSEWHERE)}'. Say where it is with "
            f"{option}."
        )


def _may_be_name(text: str) -> bool:
    """Whether a text is one line, and no part of it is longer than a file's name can be."""
    parts = text.encode("utf-8", "replace").split(b"/")
    return not {"\n", "\0"} & set(text) and max(map(len, parts)) <= _LONGEST_NAME


def parse_setting(text: str) -> tuple[str, str, Any]:
    """Read `task.field=value`, the value as YAML.

    Raises:
        UsageError: if the text has another form, or the value is not YAML.
    """
    name, equals, value = text.partition("=")
    task, dot, key = name.strip().partition(".")
    if not (equals and dot and task and key):
        raise UsageError(f"'--set {text}': write task.field=value, such as core.ce_rows=100.")
    try:
        return task, key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UsageError(f"'--set {text}': the value is not YAML. {error}") from error


def from_mapping(
    mapping: Mapping[str, Any], place: str = "The configuration", typed: Collection[str] = ()
) -> Configuration:
    """A configuration from plain values, each checked against its field's type.

    Args:
        mapping: Values by key.
        place: Name of the mapping in error messages.
        typed: Keys that were typed as options. Their errors name the option instead.

    Raises:
        UsageError: naming the key, its value and what it should be.
    """
    check_names(mapping, place)
    values = dict(mapping)
    for key in ("saes", "seeds"):
        if key in values and not isinstance(values[key], list | tuple):
            values[key] = [values[key]]
    values["tasks"] = task_settings(values.get("tasks"), place)
    return Configuration(
        **{
            option.name: _valid_value(values[option.name], option, place, typed)
            for option in options()
            if option.name in values
        }
    )


def _valid_value(value: Any, option: Option, place: str, typed: Collection[str]) -> Any:
    """The value in the option's type, if it is a value that the option may have."""
    title = option.flags[0] if option.name in typed else f"{place}: '{option.name}'"
    if option.name == "limit":
        return _valid_limit(value, option, title)
    value = _conform(value, option.type, title)
    least, numbers = option.about.least, value if isinstance(value, tuple) else (value,)
    if least is not None and any(isinstance(number, int) and number < least for number in numbers):
        raise UsageError(f"{title} must be at least {least}, not {_joined(value)}.")
    if option.name == "seeds" and not value:
        raise UsageError(f"{title} must be at least one whole number.")
    return value


def _valid_limit(value: Any, option: Option, title: str) -> Any:
    try:
        limit = conform(value, option.type)
    except ValueError as error:
        raise limit_error(value, title) from error
    check_limit(limit, title)
    return limit


def _joined(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def overridden(file: Mapping[str, Any], typed: Mapping[str, Any]) -> dict[str, Any]:
    """A file's mapping, with typed options in place of the file's values.

    Tasks that are named by option keep the fields that the file sets for them.

    Args:
        file: The file's mapping; {} where there is no file.
        typed: Values of the options that were given on the command line.

    Raises:
        UsageError: if tasks are neither names nor a mapping.
    """
    values = {**file, **typed}
    of_file = task_settings(file.get("tasks"), "The configuration")
    tasks = task_settings(values.get("tasks"), "--tasks")
    return {**values, "tasks": {name: of_file.get(name, {}) for name in tasks}}


def with_settings(
    mapping: Mapping[str, Any], settings: Sequence[tuple[str, str, Any]]
) -> dict[str, Any]:
    """A mapping with fields of its tasks set.

    Args:
        mapping: A configuration, with `tasks` in the form of `task_settings`.
        settings: As `parse_setting` gives them.

    Raises:
        UsageError: if one names a task that is not run.
    """
    tasks = {name: dict(fields) for name, fields in mapping["tasks"].items()}
    for task, key, value in settings:
        if task not in tasks:
            near = suggestion(task, tasks) or " Name it with --tasks."
            raise UsageError(f"'--set {task}.{key}': no task '{task}' in this run.{near}")
        tasks[task][key] = value
    return {**mapping, "tasks": tasks}


def to_mapping(configuration: Configuration) -> dict[str, Any]:
    """Plain JSON-like values; `from_mapping` gives the same configuration back."""
    return {
        item.name: json_value(getattr(configuration, item.name))
        for item in dataclasses.fields(configuration)
    }


def json_value(value: Any) -> Any:
    """The value in JSON-like form: tuples as lists, paths as text."""
    if isinstance(value, Mapping):
        return {str(key): json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def configured(task: type[T], settings: Mapping[str, Any], name: str) -> T:
    """A task with these fields, all others at their defaults.

    Raises:
        UsageError: for an unknown field (nearest names offered), a value of another type, or one
            that the task itself refuses.
    """
    names = [item.name for item in dataclasses.fields(typing.cast(Any, task)) if item.init]
    hints = typing.get_type_hints(task)
    values = {}
    for key, value in settings.items():
        if key not in names:
            raise UsageError(f"Task '{name}' has no field '{key}'.{suggestion(key, names)}")
        refuse_unnameable(value, f"{name}.{key}")
        values[key] = _conform(value, hints[key], f"{name}.{key}")
    try:
        return task(**values)
    except (TypeError, ValueError) as error:
        raise UsageError(f"Task '{name}' refuses its configuration: {error}") from error


def task_settings(tasks: Any, place: str) -> dict[str, dict[str, Any]]:
    """Fields by task, from names, from a mapping, or from a list of both.

    Args:
        tasks: One text with commas, a mapping of names to fields, or a list of names and mappings.
        place: What messages call the whole.

    Raises:
        UsageError: if `tasks` is none of these, or names a task twice.
    """
    if tasks is None:
        return {}
    if isinstance(tasks, str):
        tasks = [name.strip() for name in tasks.split(",") if name.strip()]
    items = tasks if isinstance(tasks, list | tuple) else [tasks]
    pairs: list[tuple[str, Any]] = []
    for item in items:
        pairs += item.items() if isinstance(item, Mapping) else [(item, None)]
    for name, fields in pairs:
        if not isinstance(name, str) or not (fields is None or isinstance(fields, Mapping)):
            raise UsageError(
                f"{place}: 'tasks' must be names, a mapping of names to fields, or a list of both."
            )
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{place}: the task '{twice}' is named twice. Each task runs once.")
    return {name: dict(fields or {}) for name, fields in pairs}


def _conform(value: Any, hint: Any, place: str) -> Any:
    try:
        return conform(value, hint)
    except ValueError as error:
        raise UsageError(f"{place} must be {error}, not {shown(value)}.") from error
