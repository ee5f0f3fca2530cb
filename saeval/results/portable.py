"""Paths and texts in the form of result files: without absolute paths of this machine."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PATH = re.compile(
    r"""(?P<quote>['"`])(?P<quoted>/[^'"`\n]+)(?P=quote)
    | (?<![\w/:.~…\\-]) (?P<bare>/[^\s'"`,;()\[\]{}<>|]+)""",
    re.VERBOSE,
)
_UNCHANGED = ("part",)
"""Fields whose values must equal those in evidence files, so they are never changed."""


def below_working_folder(path: str | Path) -> str | None:
    """A path relative to the working folder, as `./x/y`; None if it does not lie below it."""
    base, place = Path.cwd(), Path(path).expanduser().resolve()
    if base == Path(base.anchor) or not place.is_relative_to(base):
        return None  # below the root, every absolute path would be written in full
    return f"./{place.relative_to(base).as_posix()}"


def working_folder(root: str | Path) -> str | None:
    """The relative path from the folder of results up to the working folder, as `..` or `../..`.

    None if results do not lie below it: then the path would name folders of this machine.
    """
    below = below_working_folder(root)
    return None if below is None else "/".join([".."] * (len(Path(below).parts))) or "."


def portable(value: Any) -> Any:
    """JSON values with every absolute path of this machine in their texts made portable.

    A path below the working folder becomes relative to it, any other its last name after `…/`.
    Values of `part` are not changed.
    """
    if isinstance(value, Mapping):
        return {
            key: inner if key in _UNCHANGED else portable(inner) for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [portable(inner) for inner in value]
    return _portable_text(value) if isinstance(value, str) and "/" in value else value


def _portable_text(text: str) -> str:
    if text.startswith("/") and _is_on_this_machine(text):
        return _portable_path(text)
    return _PATH.sub(_replace_path, text)


def _replace_path(match: re.Match[str]) -> str:
    quote = match["quote"] or ""
    path = match["quoted"] or match["bare"]
    end = path[len(path.rstrip(".:")) :]
    path = path.removesuffix(end) if end else path
    return f"{quote}{_portable_path(path)}{end}{quote}" if _is_on_this_machine(path) else match[0]


def _is_on_this_machine(path: str) -> bool:
    """Whether the first folder of an absolute path exists on this machine."""
    parts = Path(path).parts
    try:
        return len(parts) > 1 and Path(parts[0], parts[1]).exists()
    except OSError:  # the name is too long
        return False


def _portable_path(path: str) -> str:
    try:
        below = below_working_folder(path)
    except (OSError, ValueError, RuntimeError):
        below = None
    return below or f"…/{Path(path).name}"
