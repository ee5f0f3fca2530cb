"""From the typed options of `run` and `plan` to a configuration, and back."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from saeval.config.configuration import (
    from_mapping,
    json_value,
    overridden,
    parse_setting,
    read_configuration,
    with_settings,
)
from saeval.config.options import Configuration, Option, Settings, options
from saeval.config.plugins import TASKS, find
from saeval.errors import UsageError, suggestion

NOT_TYPED = (None, (), False)
"""Values that the command line passes on for an option that was not typed."""


def configuration_of(typed: Mapping[str, Any]) -> tuple[Configuration, Settings]:
    """A whole run: the file of `--config`, overridden by options, then by `--set`.

    Where no task is named, which ones run depends on what the SAEs read. Fields that `--set` gives
    then cannot be checked here, and come apart from the configuration.

    Args:
        typed: Texts by name, for all `options` and for `config` and `set_`.

    Raises:
        UsageError: if an option or the file is wrong, or no SAE is named.

    Returns:
        The configuration, and fields of the default tasks, by task.
    """
    file = read_configuration(typed["config"]) if typed["config"] else {}
    values = {
        option.name: value_of(option, typed[option.name])
        for option in options()
        if typed[option.name] not in NOT_TYPED
    }
    merged = overridden(file, values)
    _check_names(merged)
    settings = [parse_setting(text) for text in typed["set_"]]
    if merged["tasks"]:
        return from_mapping(with_settings(merged, settings), typed=values), {}
    fields: dict[str, dict[str, Any]] = {}
    for task, key, value in settings:
        fields.setdefault(task, {})[key] = value
    return from_mapping(merged, typed=values), fields


def value_of(option: Option, text: Any) -> Any:
    """A typed text as the value that a YAML file would hold. A bad value is refused later."""
    if not option.is_numeric:
        return text
    if option.type == tuple[int, ...]:
        return [_number(part) for part in text.split(",")]
    return _number(text)


def _number(text: str) -> int | str:
    return int(text) if text.strip().removeprefix("-").isdigit() else text


def _check_names(mapping: Mapping[str, Any]) -> None:
    """Make sure that there are SAEs to score, and that every task exists."""
    tasks = find(TASKS)
    if not mapping.get("saes"):
        raise UsageError("Nothing to score: give --sae. `saeval ls saes` lists what is known.")
    for name in mapping["tasks"]:
        if name not in tasks:
            raise UsageError(f"No task is called '{name}'.{suggestion(name, tasks)}")


def command_of(configuration: Configuration) -> str:
    """The `saeval run` command that says this configuration; defaults are left out."""
    blank = Configuration()
    words = ["saeval", "run"]
    for sae in configuration.saes:
        words += ["--sae", sae]
    if configuration.tasks:
        words += ["--tasks", ",".join(configuration.tasks)]
    for option in options():
        value = getattr(configuration, option.name)
        if option.name in ("saes", "tasks") or value == getattr(blank, option.name):
            continue
        if option.is_flag:
            words.append(option.flags[0])
        else:
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += [option.flags[0], text]
    for task, fields in configuration.tasks.items():
        for name, value in fields.items():
            words += ["--set", f"{task}.{name}={json.dumps(json_value(value))}"]
    return shlex.join(words)
