"""Pins: commit and hash of a source at its first fetch, if no registry gives them; a file each."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from saeval.config.folders import cache_folder
from saeval.errors import FetchError
from saeval.registry.entries import Source


@dataclass(frozen=True)
class Pin:
    """A source as it was at its first fetch."""

    source: str
    commit: str
    sha256: str
    files: tuple[str, ...]
    """Paths within the repository."""
    first_fetched: str
    """UTC, ISO 8601."""


def new_pin(source: Source, commit: str, sha256: str, files: Iterable[str]) -> Pin:
    """A pin with the present time."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Pin(str(source), commit, sha256, tuple(files), now)


def pin_path(source: Source) -> Path:
    """The pin's file in saeval's cache. Deleting it lets the source move on."""
    name = hashlib.sha256(str(source).encode()).hexdigest()[:20]
    return cache_folder() / "pins" / f"{name}.json"


def read_pin(source: Source) -> Pin | None:
    """The source's pin; None if it has none.

    Raises:
        FetchError: if the pin's file is damaged.
    """
    path = pin_path(source)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        pin = Pin(**{**values, "files": tuple(values["files"])})
        _check(pin, source)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FetchError(
            f"The pin '{path}' of {source} is damaged ({error}). Delete it."
        ) from error
    return pin


def _check(pin: Pin, source: Source) -> None:
    """Whether every field has its type, and the pin is this source's own.

    Raises:
        ValueError: if not.
    """
    texts = (pin.source, pin.commit, pin.sha256, pin.first_fetched, *pin.files)
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a field is no text")
    if pin.source != str(source):
        raise ValueError(f"it is the pin of '{pin.source}'")


def write_pin(source: Source, pin: Pin) -> None:
    """Write the pin's file, whole or not at all.

    Raises:
        FetchError: if saeval's cache cannot be written.
    """
    path = pin_path(source)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".unfinished")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(pin), file, indent=1)
        Path(temporary).replace(path)
    except OSError as error:
        raise FetchError(
            f"{source} was downloaded, but cannot be pinned: '{path}' cannot be written ({error}). "
            "Point SAEVAL_CACHE to a folder with room."
        ) from error
