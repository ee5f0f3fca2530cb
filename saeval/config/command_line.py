"""What the options of `run` and `plan` say, as they were typed."""

from collections.abc import Mapping
from typing import Any

from saeval.config.configuration import (
    from_mapping,
    overridden,
    read_configuration,
    with_settings,
)
from saeval.config.options import Configuration, Option, options
from saeval.config.plugins import TASKS, find
from saeval.errors import UsageError, suggestion

NOT_TYPED = (None, (), False)
"""What the command line hands on for an option that was not given."""


def configuration_of(typed: Mapping[str, Any]) -> Configuration:
    """A whole run: the file of `--config`, overridden by options, then by `--set`.

    Args:
        typed: Texts by name: those of all `options`, and of `config` and `set_`.

    Raises:
        UsageError: if an option or the file is off, or no SAE is named.
    """
    file = read_configuration(typed["config"]) if typed["config"] else {}
    given = {
        option.name: value_of(option, typed[option.name])
        for option in options()
        if typed[option.name] not in NOT_TYPED
    }
    asked = overridden(file, given)
    _check_names(asked)
    return from_mapping(with_settings(asked, typed["set_"]), typed=given)


def value_of(option: Option, text: Any) -> Any:
    """A typed text as the value that a YAML file would hold; what is none is refused later."""
    if not option.is_numeric:
        return text
    if option.type == tuple[int, ...]:
        return [_number(part) for part in text.split(",")]
    return _number(text)


def _number(text: str) -> int | str:
    return int(text) if text.strip().removeprefix("-").isdigit() else text


def _check_names(asked: Mapping[str, Any]) -> None:
    """There are SAEs to score, and tasks of these names."""
    known = find(TASKS)
    if not asked.get("saes"):
        raise UsageError("Nothing to score: give --sae. `saeval ls saes` lists what is known.")
    for name in asked["tasks"]:
        if name not in known:
            raise UsageError(f"No task is called '{name}'.{suggestion(name, known)}")
