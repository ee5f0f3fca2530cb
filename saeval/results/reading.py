"""Reading results: one from its folder, one by its id, all below a folder."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saeval.errors import ResultError
from saeval.results.aliases import aliases_in, first_alias
from saeval.results.folder import FOLDER, HEAD, READABLE
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
            provenance=dict(record["provenance"]),
            run=dict(record["run"]),
            evidence=files,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _damaged(folder, f"{type(error).__name__}: {error}") from error
    name = FOLDER.fullmatch(folder.name)
    if name and name[1] != result.result_id:
        raise _damaged(folder, f"it holds result {result.result_id}")
    return result


def read_record(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """The folder of a result, and the content of its result.json.

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
    if not isinstance(record, dict) or record.get("schema") not in READABLE:
        schema = record.get("schema") if isinstance(record, dict) else type(record).__name__
        versions = " and ".join(map(str, READABLE))
        raise _damaged(folder, f"its schema is {schema}, this version reads {versions}")
    return folder, record


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


ADVICE = "Run its task again with --force."
"""End of errors on damaged results."""


def _damaged(folder: Path, fault: str) -> ResultError:
    return ResultError(f"'{folder}' is no whole result: {fault}. {ADVICE}")


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
    """The result of an id, found by the name of its folder; None if missing or damaged."""
    results = [_read_or_skip(folder) for folder in result_folders(root, result_id)]
    return min(filter(None, results), key=_is_failed, default=None)


def find_folder(root: str | Path, result_id: str) -> Path | None:
    """The folder of an id, damaged or not. The folder of `find_result` is preferred.

    There can be several: two processes may compute one result under two names at the same time.
    """

    def rank(folder: Path) -> int:
        try:
            return _is_failed(read_result(folder))
        except ResultError:
            return 2

    return min(result_folders(root, result_id), key=rank, default=None)


def result_folders(root: str | Path, result_id: str | None = None) -> list[Path]:
    """Folders of results by name, of one id or of all, in order of path.

    Other processes may write at the same time, so a folder that vanishes meanwhile is skipped.
    """
    names = {
        (sae, match[0])
        for sae in _entry_names(Path(root))
        for match in map(FOLDER.fullmatch, _entry_names(Path(root) / sae))
        if match and result_id in (None, match[1])
    }
    return [Path(root) / sae / name for sae, name in sorted(names)]


def _entry_names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []


def _is_failed(result: Result) -> bool:
    return result.status == "failed"


def read_results(root: str | Path) -> list[Result]:
    """Every readable result under a folder, once per name that it answers to.

    In order of path; damaged results are logged and skipped. If different SAEs have one name, the
    beginning of the content hash is put after it: `sae-1a2b3c4d`.
    """
    copies: dict[str, list[tuple[Path, Result]]] = {}
    for folder in result_folders(root):
        if result := _read_or_skip(folder):
            copies.setdefault(result.result_id, []).append((folder, result))
    return _make_names_distinct(
        [result for folders in copies.values() for result in _under_all_names(folders)]
    )


def _under_all_names(copies: Sequence[tuple[Path, Result]]) -> list[Result]:
    """One result, which may lie in several folders, under every name that they remember."""
    best = min((result for _, result in copies), key=_is_failed)
    aliases = {first_alias(best).name: first_alias(best)}
    for folder, result in copies:
        for alias in (first_alias(result), *aliases_in(folder)):
            aliases.setdefault(alias.name, alias)
    return [alias.of(best) for alias in aliases.values()]


def _make_names_distinct(results: Sequence[Result]) -> list[Result]:
    contents: dict[str | None, set[str]] = {}
    for result in results:
        contents.setdefault(result.sae, set()).update(filter(None, [_content(result)]))
    return [
        result.renamed(sae=f"{result.sae}-{_content(result)[:8]}", set=result.set)
        if result.sae and _content(result) and len(contents[result.sae]) > 1
        else result
        for result in results
    ]


def _content(result: Result) -> str:
    """Hash of the SAE's content; empty if none is recorded."""
    members = result.provenance.get("saes") or [{}]
    return str(members[0].get("hash", ""))


def _read_or_skip(folder: Path) -> Result | None:
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
