"""Results: made from evidence, found by their key, recomputed from what is stored."""

import json
import logging
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saeval.errors import ResultError
from saeval.result_folder import (
    FOLDER,
    HEAD,
    INTERVAL,
    KEY,
    SCHEMA,
    check_writable,
    result_path,
    slug,
    write_result,
)
from saeval.scores import COLUMNS, Labels, Result, Results, Score, Status, result_key

if TYPE_CHECKING:
    from saeval.evidence import Evidence, Missing

__all__ = [
    "COLUMNS",
    "Labels",
    "Result",
    "Results",
    "Score",
    "Status",
    "check_writable",
    "discrepancies",
    "find_result",
    "read_result",
    "read_results",
    "recompute",
    "result_evidence",
    "result_key",
    "result_path",
    "scores_of",
    "slug",
    "write_result",
]

logger = logging.getLogger(__name__)

TOLERANCE = 1e-9
"""How far a recomputed number may lie from the stored one, relative to the larger of it and 1."""


def scores_of(evidence: "Iterable[Evidence | Missing]", labels: Labels) -> tuple[Score, ...]:
    """A score for each piece of evidence, in order; a Missing becomes `not_applicable`.

    Raises:
        ResultError: if a metric is undefined on its units, or yielded twice for one part.
    """
    from saeval.evidence import Evidence, summarise_all

    yielded = list(evidence)
    seen = set()
    for each in yielded:
        if (each.metric, each.part) in seen:
            raise ResultError(
                f"{labels.task} yields '{each.metric}' twice for part {each.part}; a metric and a "
                "part name one score."
            )
        seen.add((each.metric, each.part))
    found = [each for each in yielded if isinstance(each, Evidence)]
    drawn = {"replicates": INTERVAL["replicates"], "seed": INTERVAL["seed"]}
    summaries = iter(summarise_all(found, **drawn))
    scores = []
    for each in yielded:
        named = {"metric": each.metric, "part": each.part, "better": each.better}
        if isinstance(each, Evidence):
            summary = {key: val for key, val in vars(next(summaries)).items() if key in COLUMNS}
            anchors = {"floor": each.floor, "ceiling": each.ceiling}
            named |= {"unit": each.unit, "unit_of_n": each.units.unit, "status": "scored"}
            scores.append(labels.score(**named, **anchors, **summary))
        else:
            named |= {"unit": each.unit or None, "status": "not_applicable"}
            scores.append(labels.score(**named, reason=each.reason))
    return tuple(scores)


def read_result(path: str | Path) -> Result:
    """A result from its folder, or its result.json. Reads no evidence.

    Raises:
        ResultError: if it is missing, damaged, or of another schema.
    """
    folder, record = _read_record(path)
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


def _read_record(path: str | Path) -> tuple[Path, dict[str, Any]]:
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
    from saeval.recipes import read_evidence

    return read_evidence(*_read_record(path))


def recompute(path: str | Path) -> tuple[Score, ...]:
    """The scores of a stored result, computed again from its files alone.

    Raises:
        ResultError: if a file was changed, or a stored score differs from its evidence.
    """
    scores, complaints = _recomputed(path)
    if complaints:
        raise ResultError(
            f"The scores in '{path}' do not follow from its evidence: {'; '.join(complaints[:5])}."
        )
    return scores


def discrepancies(path: str | Path) -> tuple[str, ...]:
    """Everything that a stored result and its evidence disagree on; empty where they agree."""
    try:
        return tuple(_recomputed(path)[1])
    except ResultError as error:
        return (str(error),)


def _recomputed(path: str | Path) -> tuple[tuple[Score, ...], list[str]]:
    result, record = read_result(path), _read_record(path)[1]
    labels = Labels(
        result.sae, result.task, result.task_version, result.seed, result.result_id, result.set
    )
    again = {(s.metric, s.part): s for s in scores_of(result_evidence(path), labels)}
    complaints, scores = [], []
    if record.get("interval") != INTERVAL:
        complaints.append(f"its intervals were computed with {record.get('interval')}")
    for stored in result.scores:
        if stored.status != "scored":
            scores.append(stored)
            continue
        found = again.pop((stored.metric, stored.part), None)
        name = f"{stored.metric} (part {stored.part})"
        if found is None:
            complaints.append(f"{name} has no evidence")
            continue
        scores.append(found)
        complaints += [
            f"{name}: {column} is {ours!r}, its evidence gives {theirs!r}"
            for column, ours, theirs in zip(
                COLUMNS, stored.row().values(), found.row().values(), strict=True
            )
            if not _agree(ours, theirs)
        ]
    complaints += [f"{metric} (part {part}) has evidence but no score" for metric, part in again]
    return tuple(scores), complaints


def _agree(a: Any, b: Any) -> bool:
    if isinstance(a, float | int) and isinstance(b, float | int):
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return a == b
