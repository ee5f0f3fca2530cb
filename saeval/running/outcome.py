"""One SAE (or set), one task, one seed: from evidence, or from what went wrong, to a result."""

import logging
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saeval.errors import NotApplicable, SaevalError
from saeval.evidence import Evidence, Missing
from saeval.results.folder import slug, write_result
from saeval.results.reading import read_result
from saeval.results.score import Labels, Result, Score

logger = logging.getLogger(__name__)

Yielded = Sequence[Evidence | Missing]


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt to score."""

    scores: tuple[Score, ...]
    evidence: Yielded = ()
    trace: str | None = None
    """Where an error arose that nobody raised on purpose."""


def outcome_of(error: Exception, labels: Labels) -> Outcome:
    """What an error makes of an attempt: a row that is not applicable, or has failed."""
    if isinstance(error, NotApplicable):
        return Outcome((labels.score(status="not_applicable", reason=_said(error)),))
    if isinstance(error, SaevalError):
        return Outcome((labels.score(status="failed", reason=_said(error)),))
    reason = f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    return Outcome((labels.score(status="failed", reason=reason),), trace=trace)


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def keep(
    root: Path,
    labels: Labels,
    outcome: Outcome,
    *,
    provenance: Mapping[str, Any],
    run: Mapping[str, Any],
) -> Result:
    """Write a result, and beside it the trace of an unexpected error.

    Raises:
        ResultError: if it cannot be written.
    """
    result = Result.of(labels, outcome.scores, provenance=provenance, run=run)
    folder = write_result(root, result, outcome.evidence)
    trace = folder.with_name(f"{folder.name}.traceback.txt")
    if outcome.trace is None:
        trace.unlink(missing_ok=True)
    else:
        trace.write_text(outcome.trace, encoding="utf-8")
        logger.warning("The whole error is in '%s'.", trace)
    return read_result(folder)


def failed_result(labels: Labels, error: Exception, root: Path) -> Result:
    """A result that has no place on disk, since its inputs could not even be identified."""
    deliberate = isinstance(error, SaevalError)
    reason = _said(error) if deliberate else f"{type(error).__name__}: {error}"
    if not deliberate:
        folder = root / slug(labels.sae or labels.set or "")
        folder.mkdir(parents=True, exist_ok=True)
        trace = folder / f"{slug(labels.task)}.traceback.txt"
        trace.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        logger.warning("The whole error is in '%s'.", trace)
    return _unkept(labels, labels.score(status="failed", reason=reason))


def inapplicable_result(labels: Labels, reason: str) -> Result:
    """A result of a task that cannot even begin."""
    return _unkept(labels, labels.score(status="not_applicable", reason=reason))


def _unkept(labels: Labels, score: Score) -> Result:
    return Result(
        result_id="",
        sae=labels.sae,
        task=labels.task,
        task_version=labels.task_version,
        seed=labels.seed,
        status=score.status,
        reason=score.reason,
        scores=(score,),
        provenance={},
        run={},
        set=labels.set,
    )
