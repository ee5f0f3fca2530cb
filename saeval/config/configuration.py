"""What a run is told, as plain values: read from YAML, overridden, checked and written back."""

import dataclasses
import typing
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from saeval.config.field_types import conform
from saeval.config.options import Configuration, Option, options
from saeval.config.repeated import repeated
from saeval.config.strict_yaml import parse_yaml
from saeval.errors import UsageError, suggestion

T = TypeVar("T")

IN_MEMORY = "in memory: "
"""How a result's `run` begins the name of what no file held."""
ELSEWHERE = "elsewhere: "
"""How it begins the name of a file or folder that did not lie below the working folder."""


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
        found = parse_yaml(text)
    except ValueError as error:
        raise UsageError(f"'{path}' is not YAML: {error}") from error
    if isinstance(found, dict) and "result_id" in found and isinstance(found.get("run"), dict):
        found = repeated(Path(path), found)
    if not isinstance(found, dict):
        raise UsageError(f"'{path}' must hold a mapping with keys such as 'saes' and 'tasks'.")
    check_names(found, f"'{path}'")
    return found


def check_names(found: Mapping[Any, Any], where: str) -> None:
    """Refuse keys that no configuration has.

    Raises:
        UsageError: naming the first such key and the nearest known.
    """
    known = [item.name for item in dataclasses.fields(Configuration)]
    for key in found:
        if key not in known:
            raise UsageError(f"{where} has the unknown key '{key}'.{suggestion(str(key), known)}")


def refuse_unnameable(name: Any, what: str) -> None:
    """Refuse what a result's `run` could name by no path that means the same elsewhere.

    Args:
        name: As a configuration gives it.
        what: What it should name, such as "SAE", or a task's field, such as "core.texts".

    Raises:
        UsageError: if it was in memory, or lay elsewhere.
    """
    if isinstance(name, Mapping | list | tuple):
        for inner in name.values() if isinstance(name, Mapping) else name:
            refuse_unnameable(inner, what)
    if isinstance(name, str) and name.startswith(IN_MEMORY):
        raise UsageError(
            f"The {what} of that run ({name.removeprefix(IN_MEMORY)}) was an object in memory, "
            "which no file can name. Give the object to saeval.evaluate again, or name another."
        )
    if isinstance(name, str) and name.startswith(ELSEWHERE):
        option = f"--set {what}=PATH" if "." in what else f"--{what.lower()} PATH"
        raise UsageError(
            f"The {what} of that run lay outside its working folder, and result files hold no "
            f"absolute paths: it is named '{name.removeprefix(ELSEWHERE)}'. Say where it is with "
            f"{option}."
        )


def parse_setting(text: str) -> tuple[str, str, Any]:
    """Read `task.field=value`, the value as YAML.

    Raises:
        UsageError: if the form is another, or the value is not YAML.
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
    found: Mapping[str, Any], where: str = "The configuration", typed: Collection[str] = ()
) -> Configuration:
    """A configuration from plain values, each checked against its field's type.

    Args:
        found: Values by key.
        where: What errors call the place of a key.
        typed: Keys that were typed as options, which errors name instead.

    Raises:
        UsageError: naming the key, its value and what it should be.
    """
    check_names(found, where)
    values = dict(found)
    for key in ("saes", "seeds"):
        if key in values and not isinstance(values[key], list | tuple):
            values[key] = [values[key]]
    values["tasks"] = task_settings(values.get("tasks"), where)
    return Configuration(
        **{
            option.name: _valid(values[option.name], option, where, typed)
            for option in options()
            if option.name in values
        }
    )


def _valid(value: Any, option: Option, where: str, typed: Collection[str]) -> Any:
    """The value as the option's type asks, if it is one that it may have."""
    called = option.flags[0] if option.name in typed else f"{where}: '{option.name}'"
    value = _checked(value, option.type, called)
    least, numbers = option.about.least, value if isinstance(value, tuple) else (value,)
    if least is not None and any(isinstance(number, int) and number < least for number in numbers):
        raise UsageError(f"{called} must be at least {least}, not {_listed(value)}.")
    if option.name == "seeds" and not value:
        raise UsageError(f"{called} must be at least one whole number.")
    return value


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def overridden(file: Mapping[str, Any], typed: Mapping[str, Any]) -> dict[str, Any]:
    """A file's mapping with options in the place of what it says.

    Tasks that are named by option keep the fields which the file sets for them.

    Args:
        file: As it was read; {} where there is none.
        typed: Values of the options that were given on the command line.

    Raises:
        UsageError: if tasks are neither names nor a mapping.
    """
    values = {**file, **typed}
    of_file = task_settings(file.get("tasks"), "The configuration")
    asked = task_settings(values.get("tasks"), "--tasks")
    return {**values, "tasks": {name: of_file.get(name, {}) for name in asked}}


def with_settings(mapping: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """A mapping with fields of its tasks set.

    Args:
        mapping: With `tasks` as `task_settings` gives them.
        texts: `task.field=value` each.

    Raises:
        UsageError: if one is malformed, or names a task that is not run.
    """
    tasks = {name: dict(fields) for name, fields in mapping["tasks"].items()}
    for text in texts:
        task, key, value = parse_setting(text)
        if task not in tasks:
            near = suggestion(task, tasks) or " Name it with --tasks."
            raise UsageError(f"'--set {text}': no task '{task}' in this run.{near}")
        tasks[task][key] = value
    return {**mapping, "tasks": tasks}


def to_mapping(configuration: Configuration) -> dict[str, Any]:
    """Plain JSON-like values; `from_mapping` gives the same configuration back."""
    return {
        item.name: plain(getattr(configuration, item.name))
        for item in dataclasses.fields(configuration)
    }


def plain(value: Any) -> Any:
    """JSON-like form: tuples as lists, paths as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def configured(task: type[T], settings: Mapping[str, Any], name: str) -> T:
    """A task with the given fields, the others at their defaults.

    Raises:
        UsageError: for an unknown field (nearest names offered), a value of another type, or one
            that the task itself refuses.
    """
    known = [item.name for item in dataclasses.fields(typing.cast(Any, task)) if item.init]
    hints = typing.get_type_hints(task)
    values = {}
    for key, value in settings.items():
        if key not in known:
            raise UsageError(f"Task '{name}' has no field '{key}'.{suggestion(key, known)}")
        refuse_unnameable(value, f"{name}.{key}")
        values[key] = _checked(value, hints[key], f"{name}.{key}")
    try:
        return task(**values)
    except (TypeError, ValueError) as error:
        raise UsageError(f"Task '{name}' refuses its configuration: {error}") from error


def task_settings(tasks: Any, where: str) -> dict[str, dict[str, Any]]:
    """Fields by task, from names (a list, or one text with commas) or from such a mapping.

    Raises:
        UsageError: if it is neither.
    """
    if tasks is None:
        return {}
    if isinstance(tasks, str):
        tasks = [name.strip() for name in tasks.split(",") if name.strip()]
    if isinstance(tasks, list | tuple):
        tasks = {name: {} for name in tasks}
    if not isinstance(tasks, Mapping) or not all(
        isinstance(name, str) and (fields is None or isinstance(fields, Mapping))
        for name, fields in tasks.items()
    ):
        raise UsageError(f"{where}: 'tasks' must be names, or a mapping of names to fields.")
    return {name: dict(fields or {}) for name, fields in tasks.items()}


def _checked(value: Any, hint: Any, where: str) -> Any:
    try:
        return conform(value, hint)
    except ValueError as error:
        raise UsageError(f"{where} must be {error}, not {value!r}.") from error
