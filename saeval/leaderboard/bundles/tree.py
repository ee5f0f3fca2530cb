"""The files of a bundle's folder: regular ones, of known names, and not too many."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from saeval.leaderboard.bundles.limits import LIMITS, Limits
from saeval.leaderboard.bundles.names import RERUN, RESULT_FILE, SUBMISSION, path_fault

RESULTS = "results"
"""Folder of the results within a bundle."""
_MOST_FAULTS = 20


def tree_faults(folder: Path, limits: Limits = LIMITS) -> tuple[str, ...]:
    """What is wrong with names, kinds, number and sizes of the files below a folder."""
    faults: list[str] = []
    seen: dict[str, str] = {}
    total = count = 0
    for path, about in _entries(folder, folder):
        count += 1
        fault = path_fault(path) or _kind_fault(path, about) or _size_fault(path, about, limits)
        twin = seen.setdefault(path.casefold(), path)
        if not fault and twin != path:
            fault = f"'{path}' and '{twin}' differ in case alone, and are one file on some systems"
        if fault:
            faults.append(fault)
        total += about.st_size if stat.S_ISREG(about.st_mode) else 0
        if count > limits.files or len(faults) >= _MOST_FAULTS:
            break
    if count > limits.files:
        faults.append(f"it has more than {limits.files:,} files")
    if total > limits.total_bytes:
        faults.append(f"its files have {total:,} bytes; at most {limits.total_bytes:,}")
    if not faults and SUBMISSION not in seen:
        faults.append(f"it has no {SUBMISSION}; make the bundle with `saeval submit`")
    return tuple(faults)


def files_of(folder: Path) -> dict[str, Path]:
    """Relative path -> file of a folder without faults; the maintainer's record is left out."""
    return {
        path: folder / path
        for path, about in _entries(folder, folder)
        if stat.S_ISREG(about.st_mode) and path not in (SUBMISSION, RERUN)
    }


def _entries(root: Path, folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Files and what is neither file nor folder; links are not followed."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            about = entry.stat(follow_symlinks=False)
            path = Path(entry.path)
            if stat.S_ISDIR(about.st_mode):
                yield from _entries(root, path)
            else:
                yield path.relative_to(root).as_posix(), about


def _kind_fault(path: str, about: os.stat_result) -> str | None:
    if stat.S_ISLNK(about.st_mode):
        return f"'{path}' is a link; only files are accepted"
    if not stat.S_ISREG(about.st_mode):
        return f"'{path}' is no regular file"
    if about.st_nlink > 1:
        return f"'{path}' is a hard link: another name of the same file exists"
    below, _, rest = path.partition("/")
    if path in (SUBMISSION, RERUN) or (below == RESULTS and RESULT_FILE.fullmatch(rest)):
        return None
    return (
        f"'{path}' does not belong there; a bundle has {SUBMISSION} and "
        f"{RESULTS}/<sae>/<task>-<id>/, with result.json and tables in parquet"
    )


def _size_fault(path: str, about: os.stat_result, limits: Limits) -> str | None:
    most = limits.json_bytes if path.endswith(".json") else limits.file_bytes
    if about.st_size > most:
        return f"'{path}' has {about.st_size:,} bytes; at most {most:,}"
    return None
