"""What the options of `run` and `plan` say."""

from collections.abc import Mapping
from typing import Any

from saeval.config.configuration import Configuration, merged, read_configuration
from saeval.config.plugins import TASKS, find
from saeval.errors import UsageError, suggestion


def chosen(given: Mapping[str, Any]) -> Configuration:
    """A whole run, from options as they were typed.

    Args:
        given: Values by the name of the option's parameter; None: not given.

    Raises:
        UsageError: if an option or the file of `--config` is off, or nothing is asked.
    """
    size = given["batch_size"]
    options = {
        **{name: value for name, value in given.items() if name not in _SPOKEN_FOR},
        "saes": given["sae"] or None,
        "seeds": None if given["seeds"] is None else _numbers(given["seeds"]),
        "batch_size": int(size) if size and size.isdigit() else size,
        "force": given["force"] or None,
    }
    base = read_configuration(given["config"]) if given["config"] else {}
    _check_asked(merged(base, options, []))
    return merged(base, options, given["set_"] or [])


_SPOKEN_FOR = ("sae", "config", "set_", "as_json")
"""Options that are no key of a configuration."""


def _numbers(text: str) -> list[Any]:
    """`0,1,2` as numbers; what is none is left for the configuration to refuse."""
    return [int(part) if part.strip().isdigit() else part for part in text.split(",")]


def _check_asked(asked: Configuration) -> None:
    known = find(TASKS)
    if not asked.saes:
        raise UsageError("Nothing to score: give --sae. `saeval ls saes` lists what is known.")
    if not asked.tasks:
        raise UsageError(f"Nothing to run: give --tasks, of {', '.join(known)}.")
    for name in asked.tasks:
        if name not in known:
            raise UsageError(f"No task is called '{name}'.{suggestion(name, known)}")
