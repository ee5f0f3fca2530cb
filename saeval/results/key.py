"""The key of a result: a hash of its inputs."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from saeval.errors import ResultError


def result_key(inputs: Mapping[str, Any]) -> str:
    """20 hex digits that depend on every input: sha256 of the inputs as canonical JSON.

    Args:
        inputs: JSON values under text keys; 1, 1.0 and True are three different values.

    Raises:
        ResultError: if a value is not JSON, such as NaN, bytes or a number as key.
    """
    text = json.dumps(checked_json(inputs, "inputs"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def checked_json(value: Any, where: str) -> Any:
    """The value as lists and dictionaries that JSON stores and returns unchanged.

    Args:
        value: Any value.
        where: Its place within the whole, for errors.

    Raises:
        ResultError: naming the place of a value that JSON would change or cannot hold.
    """
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ResultError(f"{where}: the key {key!r} is not text, which JSON keys are.")
        return {key: checked_json(inner, f"{where}.{key}") for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [checked_json(inner, f"{where}[{place}]") for place, inner in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ResultError(f"{where} is {value}, which JSON has no number for.")
    if value is None or isinstance(value, str | int | float):
        return value
    raise ResultError(
        f"{where} is a {type(value).__name__}, not JSON: give text, a number, true, false, null, "
        "a list or a mapping of these."
    )
