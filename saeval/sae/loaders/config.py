"""Foreign configuration keys: understood, harmless, or refused because they may bear on numbers."""

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
"""What a key's name looks like if it may bear on what an SAE computes."""
OFF = (None, False, "", "none", "None", "identity")
"""Values that switch nothing on."""


def remaining(
    config: Mapping[str, Any], path: Path, understood: Collection[str], harmless: Collection[str]
) -> dict[str, Any]:
    """What a configuration holds beside what is understood, kept for the record.

    Raises:
        LoadError: if a key that is neither understood nor known to be harmless is switched on
            and looks as though it bears on the arithmetic.
    """
    rest = {name: value for name, value in config.items() if name not in understood}
    for name, value in rest.items():
        if name not in harmless and ARITHMETIC.search(name) and value not in OFF and value != {}:
            raise LoadError(
                f"{path} sets '{name}' to {value!r}, which saeval does not know and which may bear "
                "on what the SAE computes. It is refused rather than misread; if it does not "
                "matter for inference, take the key out of the file."
            )
    return rest


def whole(config: Mapping[str, Any], name: str, path: Path) -> int:
    """A whole number that must be there.

    Raises:
        LoadError: if it is missing or something else.
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
    """A yes or no, the format's own default where it is absent or null.

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
    """One of some words, the format's own default where it is absent or null.

    Raises:
        LoadError: if it is something else: an unknown word is never read as a known one.
    """
    value = default if config.get(name) is None else config[name]
    if value not in allowed:
        raise LoadError(
            f"{path} sets '{name}' to {value!r}, which saeval does not know. Known are "
            f"{', '.join(sorted(allowed))}."
        )
    return value


def text(value: Any) -> str | None:
    """A non-empty string, else None."""
    return value if isinstance(value, str) and value else None


def flag(value: Any) -> bool | None:
    """A boolean, else None."""
    return value if isinstance(value, bool) else None


def count(value: Any) -> int | None:
    """A positive whole number, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def peek_number(value: Any) -> float | None:
    """A finite number other than 0, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if value and abs(value) < float("inf") else None
