"""One SAE (or set), one task, one seed: from evidence, or from what went wrong, to a result."""

import logging
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saeval.errors import NotApplicable, ResultError, SaevalError
from saeval.evidence import Evidence, Missing
from saeval.results.aliases import Alias, first_alias, remember
from saeval.results.folder import slug
from saeval.results.reading import find_folder, read_result
from saeval.results.score import Labels, Result, Score
from saeval.results.writing import write_result
from saeval.running.record import with_contents

logger = logging.getLogger(__name__)

Yielded = Sequence[Evidence | Missing]


@dataclass(frozen=True)
class Outcome:
    """How an attempt to score ended: in scores, one of which may only give a reason."""

    scores: tuple[Score, ...]
    evidence: Yielded = ()
    trace: str | None = None
    """Traceback of an error that was not raised on purpose."""


def outcome_of(error: Exception, labels: Labels) -> Outcome:
    """The outcome that an error leads to: one row, `not_applicable` or `failed`."""
    if isinstance(error, NotApplicable):
        return Outcome((labels.score(status="not_applicable", reason=_reason_of(error)),))
    if isinstance(error, SaevalError):
        return Outcome((labels.score(status="failed", reason=_reason_of(error)),))
    reason = f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    return Outcome((labels.score(status="failed", reason=reason),), trace=trace)


def _reason_of(error: Exception) -> str:
    return str(error) or type(error).__name__


def write_outcome(
    root: Path,
    labels: Labels,
    outcome: Outcome,
    *,
    provenance: Mapping[str, Any],
    run: Mapping[str, Any],
) -> Result:
    """Write a result, and beside it the trace of an unexpected error.

    A failure never replaces an older result that did not fail: the failure is logged, and the older
    result stays.

    Raises:
        ResultError: if it cannot be written.
    """
    run = with_contents(run, provenance)
    result = Result.of(labels, outcome.scores, provenance=provenance, run=run)
    folder = find_folder(root, result.result_id) if result.status == "failed" else None
    if folder is not None and _is_good(folder):
        logger.warning(
            "%s on '%s' failed this time (%s). The earlier result is left in '%s'.",
            labels.task,
            labels.sae or labels.set,
            result.reason,
            folder,
        )
    else:
        folder = write_result(root, result, outcome.evidence)
        result = read_result(folder)
    _write_trace(folder, outcome.trace)
    return result


def _is_good(folder: Path) -> bool:
    try:
        return read_result(folder).status != "failed"
    except ResultError:
        return False


def _write_trace(folder: Path, trace: str | None) -> None:
    """Put an error's trace beside the folder of its result, or remove that of an earlier one."""
    path = folder.with_name(f"{folder.name}.traceback.txt")
    if trace is None:
        path.unlink(missing_ok=True)
    else:
        path.write_text(trace, encoding="utf-8")
        logger.warning("The whole error is in '%s'.", path)


def under_label(root: Path, result: Result, labels: Labels, run: Mapping[str, Any]) -> Result:
    """A stored result under the name of this request, which its folder remembers from now on.

    Args:
        root: Folder of all results.
        result: As `find_result` gives it.
        labels: With the name of this request.
        run: The configuration of this request.
    """
    alias = Alias(labels.sae, labels.set, with_contents(run, result.provenance))
    if alias.name == first_alias(result).name:
        return result
    folder = find_folder(root, result.result_id)
    try:
        if folder is not None:
            remember(root, folder, result.result_id, alias)
    except OSError as error:  # the scores are right in any case
        logger.warning(
            "'%s' cannot remember that it answers to '%s' too: %s. Make the folder writable.",
            folder,
            labels.sae or labels.set,
            error.strerror or error,
        )
    return alias.of(result)


def failed_result(labels: Labels, error: Exception, root: Path) -> Result:
    """A result that has no place on disk, since its inputs could not even be identified."""
    deliberate = isinstance(error, SaevalError)
    reason = _reason_of(error) if deliberate else f"{type(error).__name__}: {error}"
    if not deliberate:
        folder = root / slug(labels.sae or labels.set or "")
        folder.mkdir(parents=True, exist_ok=True)
        trace = folder / f"{slug(labels.task)}.traceback.txt"
        trace.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        logger.warning("The whole error is in '%s'.", trace)
    return _result_without_folder(labels, labels.score(status="failed", reason=reason))


def inapplicable_result(labels: Labels, reason: str) -> Result:
    """A result of a task that cannot even begin."""
    return _result_without_folder(labels, labels.score(status="not_applicable", reason=reason))


def _result_without_folder(labels: Labels, score: Score) -> Result:
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
