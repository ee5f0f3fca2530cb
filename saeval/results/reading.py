"""Results read back: one from its folder, one by its id, all below a folder."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saeval.errors import ResultError
from saeval.results.folder import FOLDER, HEAD, KEY, SCHEMA
from saeval.results.score import COLUMNS, Result, Score

if TYPE_CHECKING:
    from saeval.evidence import Evidence

logger = logging.getLogger(__name__)


def read_result(path: str | Path) -> Result:
    """A result from its folder, or its result.json. Reads no evidence.

    Raises:
        ResultError: if it is missing, damaged, or of another schema.
    """
    folder, record = read_record(path)
    try:
        head = {name: record[name] for name in HEAD}
        scores = tuple(Score(**_row(row)) for row in record["scores"])
        files = tuple(about["file"] for about in record["tables"].values())
        result = Result(
            **head,
            scores=scores,
            provenance=record["provenance"],
            run=record["run"],
            evidence=files,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _damaged(folder, f"{type(error).__name__}: {error}") from error
    named = FOLDER.fullmatch(folder.name)
    if named and named[1] != result.result_id:
        raise _damaged(folder, f"it holds result {result.result_id}")
    return result


def read_record(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """The folder of a result, and what its result.json says.

    Raises:
        ResultError: if it is missing, damaged, or of another schema.
    """
    folder = Path(path)
    folder = folder.parent if folder.name == "result.json" else folder
    try:
        text = (folder / "result.json").read_text(encoding="utf-8")
        record = json.loads(text, parse_constant=_no_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(folder, str(error)) from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        found = record.get("schema") if isinstance(record, dict) else type(record).__name__
        raise _damaged(folder, f"its schema is {found}, this version reads {SCHEMA}")
    return folder, record


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _damaged(folder: Path, why: str) -> ResultError:
    return ResultError(f"'{folder}' is no whole result: {why}. Run its task again with --force.")


_KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(COLUMNS, (str,)),
    **dict.fromkeys(("task_version", "seed", "n"), (int,)),
    **dict.fromkeys(("value", "stderr", "ci_low", "ci_high", "floor", "ceiling"), (float, int)),
}


def _row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A score's columns, each of its type.

    Raises:
        ValueError: if a column is missing, unknown or of another type.
    """
    if set(row) != set(COLUMNS):
        raise ValueError(f"a score has the columns {sorted(row)}")
    for name, cell in row.items():
        if cell is not None and (isinstance(cell, bool) or not isinstance(cell, _KINDS[name])):
            raise ValueError(f"a score's {name} is {cell!r}")
    return row


def find_result(root: str | Path, result_id: str) -> Result | None:
    """The result of an id, by the name of its folder alone; a damaged one counts as none."""
    folders = Path(root).glob(f"*/*-{result_id}") if KEY.fullmatch(result_id) else ()
    whole = (_readable(folder) for folder in folders)
    return next((found for found in whole if found), None)


def read_results(root: str | Path) -> list[Result]:
    """Every whole result under a folder, in order of path; damaged ones are logged and skipped."""
    folders = sorted(path for path in Path(root).glob("*/*") if FOLDER.fullmatch(path.name))
    return [found for found in map(_readable, folders) if found]


def _readable(folder: Path) -> Result | None:
    try:
        return read_result(folder)
    except ResultError as error:
        logger.warning("Skipped: %s", error)
        return None


def result_evidence(path: str | Path) -> "tuple[Evidence, ...]":
    """The evidence of every scored metric of a stored result, its files verified.

    Raises:
        ResultError: if result.json or an evidence file is missing, damaged or changed.
    """
    from saeval.results.evidence_files import read_evidence

    return read_evidence(*read_record(path))
