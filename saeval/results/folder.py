"""A result's folder: its name, and how it is written whole or not at all."""

import errno
import json
import os
import re
import shutil
import time
import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saeval.errors import ResultError
from saeval.results.key import plain
from saeval.results.score import Result

if TYPE_CHECKING:
    from saeval.evidence import Evidence, Missing

SCHEMA = 1
"""Of result.json; raised when its keys change meaning."""
INTERVAL = {"level": 0.95, "replicates": 2000, "seed": 0}
"""How intervals are computed, recorded with every result."""
HEAD = ("result_id", "sae", "set", "task", "task_version", "seed", "status", "reason")
"""Fields of a result that stand in result.json as they are."""
KEY = re.compile(r"[0-9a-f]{20}")
"""A result id."""
FOLDER = re.compile(rf".+-({KEY.pattern})")
"""Name of a result's folder."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_LEFTOVER = (".tmp-", ".old-")
_DAY = 86400


def slug(name: str) -> str:
    """A name as one harmless folder name; different names may share one."""
    text = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    text = re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:80].strip("-.")
    return f"sae-{text}".rstrip("-") if not text or _RESERVED.fullmatch(text) else text


def result_path(root: str | Path, result: Result) -> Path:
    """Where a result lies: `<root>/<sae>/<task>-<result_id>`.

    Raises:
        ResultError: if the id is not a key, so that the path could lead anywhere.
    """
    path = (
        Path(root)
        / slug(result.sae or result.set or "")
        / f"{slug(result.task)}-{result.result_id}"
    )
    if not FOLDER.fullmatch(path.name):
        raise ResultError(f"'{result.result_id}' is no result id: it needs 20 hex digits.")
    return path


def check_writable(root: str | Path) -> None:
    """Make sure, before anything is computed, that results can be kept; clear old leftovers.

    Raises:
        ResultError: if the folder cannot be made or written to.
    """
    root = Path(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe = root / f"{_LEFTOVER[0]}{uuid.uuid4().hex}"
        probe.mkdir()
        probe.rmdir()
        for entry in os.scandir(root):
            if entry.name.startswith(_LEFTOVER) and entry.stat().st_mtime < time.time() - _DAY:
                shutil.rmtree(entry, ignore_errors=True)
    except OSError as error:
        raise _unwritable(root, error) from error


def _unwritable(root: Path, error: OSError) -> ResultError:
    return ResultError(
        f"Results cannot be written to '{root}' ({error.strerror or error}); name another folder "
        "with --output-path."
    )


def write_result(
    root: str | Path, result: Result, evidence: "Sequence[Evidence | Missing]"
) -> Path:
    """Store a result and its evidence, whole or not at all, in place of an older one of its id.

    Args:
        root: Folder of all results.
        result: What to store. What is read back also has the names of the files in `evidence`.
        evidence: What its scores were computed from, as yielded by the task.

    Returns:
        The folder, which holds result.json and one parquet file a table.

    Raises:
        ResultError: if it cannot be written, or holds what JSON cannot.
    """
    from saeval.evidence import Evidence
    from saeval.results.evidence_files import distinct_tables, recipe, write_table

    root, target = Path(root), result_path(root, result)
    found = [each for each in evidence if isinstance(each, Evidence)]
    tables = distinct_tables(found)
    temporary = root / f"{_LEFTOVER[0]}{uuid.uuid4().hex}"
    try:
        temporary.mkdir(parents=True)
        about = {}
        for name, table in tables.items():
            path, about[name] = write_table(table, temporary)
            _to_disk(path)
        record = _record(result, about, [recipe(each) for each in found])
        text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
        (temporary / "result.json").write_text(text + "\n", encoding="utf-8")
        _to_disk(temporary / "result.json")
        _to_disk(temporary)
        _into_place(temporary, target)
    except OSError as error:
        raise _unwritable(root, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _record(
    result: Result, tables: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What result.json says."""
    head = {name: getattr(result, name) for name in HEAD}
    body = {
        "run": result.run,
        "scores": [score.row() for score in result.scores],
        "provenance": result.provenance,
        "interval": INTERVAL,
        "tables": tables,
        "metrics": metrics,
    }
    return plain({"schema": SCHEMA, **head, **body}, "result")


def _to_disk(path: Path) -> None:
    """Have a file, or the names in a folder, survive a power cut."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):
        return  # Windows has no handle on a folder's names
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _into_place(temporary: Path, target: Path) -> None:
    """Rename a finished folder to its place, and drop what stood there."""
    target.parent.mkdir(exist_ok=True)
    aside = temporary.with_name(temporary.name.replace(*_LEFTOVER))
    for _ in range(1000):
        with suppress(FileNotFoundError):
            target.rename(aside)
        try:
            temporary.rename(target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another process was quicker
                shutil.rmtree(aside, ignore_errors=True)
                continue
            with suppress(FileNotFoundError):
                aside.rename(target)
            raise
        shutil.rmtree(aside, ignore_errors=True)
        _to_disk(target.parent)
        return
    raise OSError(errno.EBUSY, "other processes keep writing the same result")
