"""Stored scores compared with the evidence beside them."""

import math
from pathlib import Path
from typing import Any

from saeval.errors import ResultError
from saeval.results.folder import INTERVAL
from saeval.results.from_evidence import scores_of
from saeval.results.reading import read_record, read_result, result_evidence
from saeval.results.score import COLUMNS, Labels, Score

TOLERANCE = 1e-9
"""How far a recomputed number may lie from the stored one, relative to the larger of it and 1."""


def recompute(path: str | Path) -> tuple[Score, ...]:
    """The scores of a stored result, recomputed from its files alone.

    Raises:
        ResultError: if a file was changed, or a stored score differs from its evidence.
    """
    scores, complaints = _compare_with_evidence(path)
    if complaints:
        raise ResultError(
            f"The scores in '{path}' do not follow from its evidence: {'; '.join(complaints[:5])}."
        )
    return scores


def discrepancies(path: str | Path) -> tuple[str, ...]:
    """Every difference between a stored result and its evidence; empty if they agree."""
    try:
        return tuple(_compare_with_evidence(path)[1])
    except ResultError as error:
        return (str(error),)


def value_discrepancies(path: str | Path) -> tuple[str, ...]:
    """Every score whose value or n differs from its evidence. Intervals are not computed."""
    from saeval.evidence import point_values

    try:
        evidence = result_evidence(path)
        values: dict[tuple[str | None, str | None], tuple[float, int]] = {
            (entry.metric, entry.part): figures
            for entry, figures in zip(evidence, point_values(evidence), strict=True)
        }
        scored = {
            (score.metric, score.part): (score.value, score.n)
            for score in read_result(path).scores
            if score.status == "scored"
        }
    except ResultError as error:
        return (str(error),)
    return tuple(
        f"{metric} (part {part}): {column} is {stored!r}, its evidence gives {computed!r}"
        for metric, part in dict.fromkeys([*scored, *values])
        for column, stored, computed in zip(
            ("value", "n"),
            scored.get((metric, part), (None, None)),
            values.get((metric, part), (None, None)),
            strict=True,
        )
        if not _agree(stored, computed)
    )


def _compare_with_evidence(path: str | Path) -> tuple[tuple[Score, ...], list[str]]:
    result, record = read_result(path), read_record(path)[1]
    labels = Labels(
        result.sae, result.task, result.task_version, result.seed, result.result_id, result.set
    )
    recomputed = {(s.metric, s.part): s for s in scores_of(result_evidence(path), labels)}
    complaints, scores = [], []
    if record.get("interval") != INTERVAL:
        complaints.append(f"its intervals were computed with {record.get('interval')}")
    for stored in result.scores:
        if stored.status != "scored":
            scores.append(stored)
            continue
        computed = recomputed.pop((stored.metric, stored.part), None)
        name = f"{stored.metric} (part {stored.part})"
        if computed is None:
            complaints.append(f"{name} has no evidence")
            continue
        scores.append(computed)
        complaints += [
            f"{name}: {column} is {stored_value!r}, its evidence gives {computed_value!r}"
            for column, stored_value, computed_value in zip(
                COLUMNS, stored.row().values(), computed.row().values(), strict=True
            )
            if not _agree(stored_value, computed_value)
        ]
    complaints += [
        f"{metric} (part {part}) has evidence but no score" for metric, part in recomputed
    ]
    return tuple(scores), complaints


def _agree(a: Any, b: Any) -> bool:
    if isinstance(a, float | int) and isinstance(b, float | int):
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return a == b
