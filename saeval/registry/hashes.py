"""Hashes of files and folders, the same on every machine."""

import hashlib
from collections.abc import Iterator
from pathlib import Path


def file_sha256(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_sha256(path: Path) -> str:
    """sha256 of a file; or of a folder: of the lines that `sha256sum` prints for its files.

    Files are sorted by path relative to the folder, with '/' between parts, and hidden ones left
    out, so that the folder's name, dates and an editor's droppings do not matter.
    """
    if path.is_file():
        return file_sha256(path)
    lines = [
        f"{file_sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files_below(path)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def files_below(folder: Path) -> Iterator[Path]:
    """All files of a folder and its subfolders that are not hidden, sorted by relative path."""
    files = (file for file in folder.rglob("*") if file.is_file())
    by_name = {file.relative_to(folder).as_posix(): file for file in files}
    for name in sorted(by_name):
        if not any(part.startswith(".") for part in name.split("/")):
            yield by_name[name]
