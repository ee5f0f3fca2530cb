"""Keys of other libraries' configurations: understood, harmless, or refused, and typed values."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from saeval.errors import LoadError

_WORDS = (
    r"norms?|normali[sz]\w*|scal\w+|rescal\w+|activations?|act_fn|nonlinear\w*|transform\w*|bias\w*"
    r"|b_dec|b_enc|thresholds?|skip\w*|groups?|cent(?:er|re)\w*|whiten\w*|standardi[sz]\w*|quanti\w*"
    r"|tied|tie|reshape\w*|residual|signed|top_?k|k|gated?|glu|temperature|affine|decoder|encoder"
    r"|fold\w*|clamp\w*|offset|shift|eps|epsilon|mean|std|lookup|kernel"
)
ARITHMETIC = re.compile(rf"(?:^|_)(?:{_WORDS})(?:_|$)", re.IGNORECASE)
"""Matches the name of a key that may bear on what an SAE computes."""
OFF = (None, False, "", "none", "None", "identity")
"""Values that switch nothing on."""


def remaining(
    config: Mapping[str, Any], path: Path, understood: Collection[str], harmless: Collection[str]
) -> dict[str, Any]:
    """Entries of a configuration that are not understood, kept for the record.

    Raises:
        LoadError: if a key that is neither understood nor known to be harmless is switched on
            and looks as though it bears on the arithmetic.
    """
    others = {name: value for name, value in config.items() if name not in understood}
    for name, value in others.items():
        if name not in harmless and ARITHMETIC.search(name) and value not in OFF and value != {}:
            raise LoadError(
                f"{path} sets '{name}' to {value!r}, which saeval does not know and which may bear "
                "on what the SAE computes. It is refused rather than misread; if it does not "
                "matter for inference, take the key out of the file."
            )
    return others


def whole(config: Mapping[str, Any], name: str, path: Path) -> int:
    """A whole number that must be there.

    Raises:
        LoadError: if it is missing or something else, such as 8.5, "8" or true.
    """
    value = config.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise LoadError(f"{path} must give '{name}' as a whole number, but gives {value!r}.")
    return value


def number(config: Mapping[str, Any], name: str, path: Path) -> float:
    """A finite number that must be there.

    Raises:
        LoadError: if it is missing or something else.
    """
    value = config.get(name)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not abs(value) < float("inf")
    ):
        raise LoadError(f"{path} must give '{name}' as a number, but gives {value!r}.")
    return float(value)


def switch(config: Mapping[str, Any], name: str, path: Path, *, default: bool) -> bool:
    """True or false; the format's own default where it is absent or null.

    Raises:
        LoadError: if it is something else.
    """
    value = default if config.get(name) is None else config[name]
    if not isinstance(value, bool):
        raise LoadError(f"{path} must give '{name}' as true or false, but gives {value!r}.")
    return value


def choice(
    config: Mapping[str, Any], name: str, path: Path, allowed: Collection[str], default: str
) -> str:
    """One of the allowed words; the format's own default where it is absent or null.

    Raises:
        LoadError: if it is something else: an unknown word is never read as a known one.
    """
    value = default if config.get(name) is None else config[name]
    if not isinstance(value, str) or value not in allowed:
        raise LoadError(
            f"{path} sets '{name}' to {value!r}, which saeval does not know. Known are "
            f"{', '.join(sorted(allowed))}."
        )
    return value


def text(config: Mapping[str, Any], name: str, path: Path) -> str | None:
    """A text; None where it is absent, null or empty.

    Raises:
        LoadError: if it is something else.
    """
    value = config.get(name)
    if value is not None and not isinstance(value, str):
        raise LoadError(f"{path} must give '{name}' as text, but gives {value!r}.")
    return value or None


def flag(config: Mapping[str, Any], name: str, path: Path) -> bool | None:
    """True or false; None where it is absent or null.

    Raises:
        LoadError: if it is something else, such as "false" or 0.
    """
    return None if config.get(name) is None else switch(config, name, path, default=False)


def count(config: Mapping[str, Any], name: str, path: Path) -> int | None:
    """A whole number of at least 1; None where it is absent or null.

    Raises:
        LoadError: if it is something else, such as "128" or -1.
    """
    return None if config.get(name) is None else _at_least(config, name, path, least=1)


def index(config: Mapping[str, Any], name: str, path: Path) -> int | None:
    """A whole number of at least 0; None where it is absent or null.

    Raises:
        LoadError: if it is something else.
    """
    return None if config.get(name) is None else _at_least(config, name, path, least=0)


def _at_least(config: Mapping[str, Any], name: str, path: Path, *, least: int) -> int:
    value = whole(config, name, path)
    if value < least:
        raise LoadError(f"{path} gives '{name}' as {value}, but must give at least {least}.")
    return value


def factor(config: Mapping[str, Any], name: str, path: Path) -> float | None:
    """A number above 0; None where it is absent or null.

    Raises:
        LoadError: if it is something else, such as "0.5" or 0.
    """
    if config.get(name) is None:
        return None
    value = number(config, name, path)
    if value <= 0:
        raise LoadError(f"{path} gives '{name}' as {value:g}, but must give it above 0.")
    return value


def agreeing(path: Path, name: str, *values: Any) -> Any:
    """The one value that several places of a configuration state; None if none states it.

    Raises:
        LoadError: if two places state different values.
    """
    statements = [value for value in values if value is not None]
    for value in statements:
        # The type counts too: in Python True equals 1.
        if type(value) is not type(statements[0]) or value != statements[0]:
            raise LoadError(
                f"{path} says '{name}' twice, as {statements[0]!r} and as {value!r}. Which one "
                "counts cannot be known: leave the right one."
            )
    return statements[0] if statements else None
