"""What a run is told: YAML file, `--set task.field=value` and options, checked and written back."""

import dataclasses
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from saeval.config.field_types import conform
from saeval.config.strict_yaml import parse_yaml
from saeval.errors import UsageError, suggestion

T = TypeVar("T")
Settings = Mapping[str, Mapping[str, Any]]
"""Task name -> field -> value."""


@dataclass(frozen=True)
class Configuration:
    """A whole run. Every field is an option of `saeval run` and a key of its YAML file."""

    saes: tuple[str, ...] = ()
    """Registry ids, sets, globs, folders or `hf://` sources."""
    tasks: Settings = field(default_factory=dict)
    """Tasks in order, each with the fields that differ from their defaults."""
    model: str | None = None
    """Hugging Face id or folder; None: the one that each SAE names."""
    site: str | None = None
    """Module path or alias; None: the one that each SAE names."""
    data: str | None = None
    """File of texts, or array of activations; None: each task's own data."""
    registry: str | None = None
    """Registry file that is read beside the usual ones; None: those only."""
    seeds: tuple[int, ...] = (0,)
    limit: int | None = None
    """At most so many units, for the tasks that have a `limit`."""
    batch_size: int | Literal["auto"] = "auto"
    """Rows (of 128 tokens) a pass of the model; never changes a score."""
    device: str = "auto"
    dtype: str | None = None
    """The model's; None: float32."""
    compat: str | None = None
    """`saebench`: tasks add SAEBench's own definitions under `saebench_*`."""
    force: bool = False
    """Compute again what is already there."""
    output_path: str = "results"


IN_MEMORY = "in memory: "
"""How a result's `run` begins the name of what no file held."""
DTYPES = ("float32", "bfloat16", "float16")
DEVICES = ("auto", "cpu", "cuda", "mps")
COMPATS = ("saebench",)


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
        found = found["run"]
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


def check_named(name: Any, what: str) -> None:
    """Refuse the name of something that was in memory only.

    Args:
        name: As a configuration gives it.
        what: What it should name, such as "SAE".

    Raises:
        UsageError: if it was in memory.
    """
    if isinstance(name, str) and name.startswith(IN_MEMORY):
        raise UsageError(
            f"The {what} of that run ({name.removeprefix(IN_MEMORY)}) was an object in memory, "
            "which no file can name. Give the object to saeval.evaluate again, or name another."
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
    values["tasks"] = _task_settings(values.get("tasks"), where)
    hints = typing.get_type_hints(Configuration)
    checked = {
        key: _checked(value, hints[key], _option(key) if key in typed else f"{where}: '{key}'")
        for key, value in values.items()
    }
    configuration = Configuration(**checked)
    _check_ranges(configuration, lambda key: _option(key) if key in typed else f"{where}: {key}")
    return configuration


def _option(key: str) -> str:
    return "--sae" if key == "saes" else f"--{key.replace('_', '-')}"


def _check_ranges(configuration: Configuration, called: Callable[[str], str]) -> None:
    for key, known in (("device", DEVICES), ("dtype", DTYPES), ("compat", COMPATS)):
        value = getattr(configuration, key)
        if value is not None and value not in known:
            raise UsageError(f"{called(key)} '{value}' is none of {', '.join(known)}.")
    for key in ("limit", "batch_size"):
        value = getattr(configuration, key)
        if isinstance(value, int) and value < 1:
            raise UsageError(f"{called(key)} must be at least 1, not {value}.")
    if not configuration.seeds or min(configuration.seeds) < 0:
        raise UsageError(
            f"{called('seeds')} must be whole numbers from 0, not {configuration.seeds}."
        )


def merged(
    base: Mapping[str, Any], options: Mapping[str, Any], settings: Sequence[str]
) -> Configuration:
    """A file's mapping, overridden by the options given, overridden by `--set`.

    Args:
        base: As in the file, {} where there is none.
        options: Keys of `Configuration` that were given on the command line; None: not given.
        settings: `task.field=value` texts. They may only name tasks that run.

    Raises:
        UsageError: as `from_mapping`, or for a setting of a task that is not run.
    """
    typed = {key: value for key, value in options.items() if value is not None}
    values = {**base, **typed}
    old = _task_settings(base.get("tasks"), "The configuration")
    asked = _task_settings(values.get("tasks"), "--tasks")
    tasks = {name: dict(old.get(name, {})) for name in asked}
    for text in settings:
        task, key, value = parse_setting(text)
        if task not in tasks:
            near = suggestion(task, tasks)
            raise UsageError(f"'--set {text}': no task '{task}' in this run.{near}")
        tasks[task][key] = value
    return from_mapping({**values, "tasks": tasks}, typed=typed)


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
        values[key] = _checked(value, hints[key], f"{name}.{key}")
    try:
        return task(**values)
    except (TypeError, ValueError) as error:
        raise UsageError(f"Task '{name}' refuses its configuration: {error}") from error


def _task_settings(tasks: Any, where: str) -> dict[str, dict[str, Any]]:
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
