"""Writing a result: all of its files, or none."""

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
from saeval.results.digest import DIGEST, record_digest
from saeval.results.folder import HEAD, INTERVAL, SCHEMA, result_path
from saeval.results.key import checked_json
from saeval.results.portable import portable, working_folder
from saeval.results.reading import find_folder, read_result
from saeval.results.score import Result
from saeval.results.unfinished import Unfinished, sweep, unfinished

if TYPE_CHECKING:
    from saeval.evidence import Evidence, Missing


def check_writable(root: str | Path) -> None:
    """Make sure that results can be written, and remove leftovers of runs that died.

    Called before anything is computed, so that no work is lost.

    Raises:
        ResultError: if the folder cannot be created or written to.
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
    """Store a result and its evidence, all or nothing; an older one of its id is replaced.

    Other names that the older result answers to are kept. Absolute paths in texts are made
    portable; see `portable`.

    Args:
        root: Folder of all results.
        result: The result to store. Read back, it also has file names in `evidence`.
        evidence: What the task yielded, from which the scores were computed.

    Returns:
        The folder, with result.json and one parquet file per table.

    Raises:
        ResultError: if it cannot be written, or has a value that JSON cannot hold.
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
    """Content of result.json."""
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
    record = portable(checked_json({"schema": SCHEMA, **head, **body}, "result"))
    return {**record, DIGEST: record_digest(record)}


def _to_disk(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk, so that a power cut loses nothing."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):
        return  # Windows has no handle on a folder's names
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _other_names(old: Path, result: Result) -> list[Alias]:
    """Names that an older folder remembers, if there is one, without the new result's own name."""
    aliases = aliases_in(old)
    with suppress(ResultError):  # the first name of a damaged result is lost
        old_result = read_result(old)
        first = first_alias(old_result)
        # A name that its scores do not bear was put there by an edit.
        if all((score.sae, score.set) == first.name for score in old_result.scores):
            aliases.append(first)
    return [alias for alias in aliases if alias.name != first_alias(result).name]


def _move_into_place(root: Path, paths: Unfinished, target: Path, result: Result) -> None:
    """Rename a finished folder to its place, and remove the older one there.

    Other processes may write the same result at the same time, hence the loop.
    """
    target.parent.mkdir(exist_ok=True)
    for _ in range(1000):
        with suppress(FileNotFoundError):
            target.rename(paths.aside)
        try:
            paths.folder.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            # Another process put its folder there first. The next round moves that aside too.
            aliases = _other_names(paths.aside, result)
            write_aliases(paths.folder, result.result_id, aliases, root)
            shutil.rmtree(paths.aside, ignore_errors=True)
            continue
        # Names that the old folder got after its names were copied.
        for alias in _other_names(paths.aside, result):
            remember(root, target, result.result_id, alias)
        shutil.rmtree(paths.aside, ignore_errors=True)
        _to_disk(target.parent)
        return
    raise OSError(errno.EBUSY, "other processes keep writing the same result")
