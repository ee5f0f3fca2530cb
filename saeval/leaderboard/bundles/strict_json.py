"""JSON of strangers: no doubled key, no number without end, no depth without end."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saeval.errors import BundleError
from saeval.leaderboard.bundles.limits import LIMITS, Limits
from saeval.leaderboard.bundles.names import text_fault

_DIGITS = 20
"""Characters of a whole number of 64 bits with its sign; longer texts are not even read."""


def read_strict(path: Path, limits: Limits = LIMITS) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        BundleError: if it is too large or too deep, has a key twice, a number that is not finite or
            a character that may not be shown, or is no object.
    """
    try:
        if (size := path.stat().st_size) > limits.json_bytes:
            raise BundleError(f"{path.name} has {size:,} bytes; at most {limits.json_bytes:,}.")
        text = path.read_bytes().decode("utf-8")
        _check_depth(text, limits.json_depth)
        content = json.loads(
            text,
            object_pairs_hook=_once,
            parse_float=_finite,
            parse_int=_whole,
            parse_constant=_refuse,
        )
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path.name} cannot be read as JSON: {error}.") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path.name} holds no object, but a {type(content).__name__}.")
    for found in texts_in(content):
        if len(found) > limits.text:
            raise BundleError(f"{path.name} has a text of {len(found):,} characters.")
        if fault := text_fault(found):
            raise BundleError(f"{path.name}: {fault}.")
    return content


def texts_in(content: Any) -> Iterator[str]:
    """Every text in JSON values, keys too."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield key
            yield from texts_in(value)
    elif isinstance(content, list):
        for value in content:
            yield from texts_in(value)
    elif isinstance(content, str):
        yield content


def _check_depth(text: str, most: int) -> None:
    """Count brackets outside of texts, before anything is built of them."""
    depth, within_text, escaped = 0, False, False
    for character in text:
        if within_text:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                within_text = False
        elif character == '"':
            within_text = True
        elif character in "[{":
            depth += 1
            if depth > most:
                raise ValueError(f"it is nested deeper than {most} levels")
        elif character in "]}":
            depth -= 1


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise ValueError(f"the key {counts.most_common(1)[0][0]!a:.80} is doubled")
    return content


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is not finite")
    return number


def _whole(text: str) -> int:
    """A whole number that every program can hold; none of saeval's is larger."""
    if len(text) > _DIGITS or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"the whole number {text[:_DIGITS]}... takes more than 64 bits")
    return int(text)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
