"""A result written whole or not at all."""

import errno
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saeval.errors import ResultError
from saeval.results.aliases import Alias, aliases_in, first_alias, remember, write_aliases
from saeval.results.folder import HEAD, INTERVAL, SCHEMA, result_path
from saeval.results.key import checked_json
from saeval.results.portable import portable, working_folder
from saeval.results.reading import find_folder, read_result
from saeval.results.score import Result
from saeval.results.unfinished import Unfinished, sweep, unfinished

if TYPE_CHECKING:
    from saeval.evidence import Evidence, Missing


def check_writable(root: str | Path) -> None:
    """Make sure, before anything is computed, that results can be kept; clear what was left over.

    Raises:
        ResultError: if the folder cannot be made or written to.
    """
    root = Path(root)
    try:
        with unfinished(root):
            sweep(root)
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

    Names under which the older one was asked for stay with it. Absolute paths in its texts are
    written as `portable` tells them.

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

    root = Path(root)
    target = find_folder(root, result.result_id) or result_path(root, result)
    scored = [entry for entry in evidence if isinstance(entry, Evidence)]
    tables = distinct_tables(scored)
    try:
        with unfinished(root, target) as paths:
            about = {}
            for name, table in tables.items():
                path, about[name] = write_table(table, paths.folder)
                _to_disk(path)
            record = _record(root, result, about, [recipe(entry) for entry in scored])
            text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
            (paths.folder / "result.json").write_text(text + "\n", encoding="utf-8")
            _to_disk(paths.folder / "result.json")
            write_aliases(paths.folder, result.result_id, _other_names(target, result), root)
            _to_disk(paths.folder)
            _move_into_place(root, paths, target, result)
    except OSError as error:
        raise _unwritable(root, error) from error
    return target


def _record(
    root: Path,
    result: Result,
    tables: Mapping[str, Any],
    metrics: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """What result.json says."""
    head = {name: getattr(result, name) for name in HEAD}
    body = {
        "working_folder": working_folder(root),
        "run": result.run,
        "scores": [score.row() for score in result.scores],
        "provenance": result.provenance,
        "interval": INTERVAL,
        "tables": tables,
        "metrics": metrics,
    }
    return portable(checked_json({"schema": SCHEMA, **head, **body}, "result"))


def _to_disk(path: Path) -> None:
    """Have a file, or the names in a folder, survive a power cut."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):
        return  # Windows has no handle on a folder's names
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _other_names(old: Path, result: Result) -> list[Alias]:
    """Names that a folder remembers, if there is one, beside that of the result to come."""
    aliases = aliases_in(old)
    with suppress(ResultError):  # a damaged result's first name is not to be had
        aliases.append(first_alias(read_result(old)))
    return [alias for alias in aliases if alias.name != first_alias(result).name]


def _move_into_place(root: Path, paths: Unfinished, target: Path, result: Result) -> None:
    """Rename a finished folder to its place, and drop what stood there."""
    target.parent.mkdir(exist_ok=True)
    for _ in range(1000):
        with suppress(FileNotFoundError):
            target.rename(paths.aside)
        try:
            paths.folder.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            # another process was quicker, and what it wrote is moved aside in its turn
            aliases = _other_names(paths.aside, result)
            write_aliases(paths.folder, result.result_id, aliases, root)
            shutil.rmtree(paths.aside, ignore_errors=True)
            continue
        # names that came since the old folder was looked at
        for alias in _other_names(paths.aside, result):
            remember(root, target, result.result_id, alias)
        shutil.rmtree(paths.aside, ignore_errors=True)
        _to_disk(target.parent)
        return
    raise OSError(errno.EBUSY, "other processes keep writing the same result")
