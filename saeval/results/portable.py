"""Paths and texts as result files say them: without an absolute path of this machine."""

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
"""Fields that name what evidence files name too."""


def below_working_folder(path: str | Path) -> str | None:
    """A path from the working folder on, as `./x/y`; None if it does not lie below it."""
    base, place = Path.cwd(), Path(path).expanduser().resolve()
    if base == Path(base.anchor) or not place.is_relative_to(base):
        return None  # below the root of the file system, every path would be told in full
    return f"./{place.relative_to(base).as_posix()}"


def working_folder(root: str | Path) -> str | None:
    """The way from the folder of results up to the working folder, as `..` or `../..`.

    None if results do not lie below it, so that the way would name folders of this machine.
    """
    below = below_working_folder(root)
    return None if below is None else "/".join([".."] * (len(Path(below).parts))) or "."


def portable(value: Any) -> Any:
    """JSON values with every absolute path of this machine in their texts made portable.

    A path below the working folder is told from there on, any other by its own name after `…/`.
    Values of `part` stay as they are.
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
    """Whether an absolute path leads into this machine's folders, whatever lies at its end."""
    parts = Path(path).parts
    try:
        return len(parts) > 1 and Path(parts[0], parts[1]).exists()
    except OSError:  # too long a name
        return False


def _portable_path(path: str) -> str:
    try:
        below = below_working_folder(path)
    except (OSError, ValueError, RuntimeError):
        below = None
    return below or f"…/{Path(path).name}"
