"""JSON read strictly: one value per key, real numbers only, of bounded size and depth."""

import json
from collections.abc import Sequence
from typing import Any

LARGEST_BYTES = 16 * 2**20
"""Largest size of a configuration. Real ones have a few thousand bytes."""


def parse_json(text: str | bytes) -> Any:
    """The value that a JSON text holds.

    Raises:
        ValueError: if it is no JSON, names one key twice, holds NaN or Infinity, or is larger or
            deeper than any configuration is. The message says which.
    """
    if len(text) > LARGEST_BYTES:
        raise ValueError(f"it is larger than {LARGEST_BYTES:,} bytes, which no configuration is")
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("its lists and objects lie deeper than can be read") from error


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """One object. A key that stands twice is an error: neither value is preferred."""
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key '{key}' stands twice, as {values[key]!r} and as {value!r}")
        values[key] = value
    return values


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
