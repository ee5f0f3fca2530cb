"""What every task must satisfy, checked on small inputs: `check_task`."""

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from saeval.errors import DataError, NotApplicable, UsageError
from saeval.evidence import Evidence
from saeval.results.score import Score
from saeval.task import Prepared
from saeval.testing.cases import Case, lab_cases
from saeval.testing.metrics import check_declared
from saeval.testing.same import difference
from saeval.testing.task_form import check_form
from saeval.testing.task_trial import (
    TaskTrial,
    Yielded,
    prepare,
    run_score,
    scores_from,
    store_and_load,
)

LIMIT = 50
"""The limit for a task that has one but does not set it."""
LOW_LIMITS = (1, 2, 5, 10, 20, 40)
"""Lower limits to try; a task may refuse those that are too low for it."""
POSITIONS = (4096, 300)
"""Positions per batch, in the first run and in a second one."""
TOLERANCE = 1e-5
"""How much the batch size may change a score, relative or absolute: only by rounding."""


def check_task(
    task: Any,
    *,
    cases: Sequence[Case] | None = None,
    unordered: Collection[str] = (),
    seed: int = 0,
) -> None:
    """Check all that saeval assumes of a task. Call it in a test of your own.

    It must be documented, score or give a reason, give equal evidence for equal seeds and equal
    scores for any batch size, work on content that was stored and loaded, yield each metric once
    and finite, rank exact SAEs no lower than a random one, leave the SAE unchanged, and do less
    work under a lower `limit`.

    Args:
        task: Name of an installed task, its class, or an object with small data set in its fields.
        cases: Sources and SAEs to try it on; None: a model, a synthetic world and stored vectors of
            the lab. It must score in at least one of them.
        unordered: Metrics with a direction on which a random SAE may still win.
        seed: Seed of all runs.

    Raises:
        AssertionError: saying what is wrong, why that matters, and what to do.
        SaevalError: the same, for errors that a run would also report.
    """
    configured = check_form(task)
    reasons = []
    for case in lab_cases() if cases is None else cases:
        with tempfile.TemporaryDirectory(prefix="saeval-testing-") as folder:
            reasons.append(
                _check_case(TaskTrial(_with_limit(configured), case, Path(folder), seed), unordered)
            )
    if all(reasons):
        raise AssertionError(
            f"{configured.name} scores nothing anywhere: {' '.join(map(str, reasons))} Give "
            "check_task a task whose fields name data that can be read here, or `cases` of your "
            "own."
        )


def _with_limit(task: Any) -> Any:
    unset = hasattr(task, "limit") and task.limit is None
    return replace(task, limit=LIMIT) if unset else task


def _check_case(trial: TaskTrial, unordered: Collection[str]) -> str | None:
    """Run all checks in one case. Returns why the task scored nothing; None if it scored."""
    try:
        prepared = prepare(trial, POSITIONS[0])
    except NotApplicable as error:
        return _check_reason(trial, error)
    stored = store_and_load(trial, prepared)
    evidence = run_score(trial, stored, POSITIONS[0])
    scores = scores_from(trial, evidence)
    check_declared(trial.task, evidence)
    _check_repeats(trial, prepared, evidence)
    _check_batches(trial, scores)
    _check_limit(trial, prepared, evidence)
    if not hasattr(trial.task, "score_group"):
        exact = [
            scores_from(trial, run_score(trial, stored, POSITIONS[0], sae))
            for sae in trial.case.exact
        ]
        _check_order(trial, scores, exact, unordered)
    if any(score.status == "scored" for score in scores):
        return None
    return " ".join(dict.fromkeys(str(score.reason) for score in scores))


def _check_reason(trial: TaskTrial, error: NotApplicable) -> str:
    """The reason why the task is not applicable; a failure if it gives none."""
    if not str(error).strip():
        raise trial.fail(
            "NotApplicable has no reason, and a table would show an empty one. Say what the task "
            "needs and does not find."
        ) from error
    return str(error)


def _check_repeats(trial: TaskTrial, prepared: Prepared, evidence: Yielded) -> None:
    second_prepared = prepare(trial, POSITIONS[0])
    changed = difference(prepared, second_prepared)
    advice = "Draw from numpy.random.default_rng(seed) or torch.Generator().manual_seed(seed) alone"
    if changed:
        raise trial.fail(
            f"`prepare` gives something else when it runs again with seed {trial.seed}: {changed}. "
            f"Then no result could be reproduced. {advice}, and read data in a fixed order."
        )
    second_evidence = run_score(trial, store_and_load(trial, second_prepared), POSITIONS[0])
    changed = difference(list(evidence), list(second_evidence))
    if changed:
        raise trial.fail(
            f"`score` gives something else when it runs again with seed {trial.seed}: {changed}. "
            f"Then no result could be reproduced. {advice}."
        )


def _check_batches(trial: TaskTrial, scores: Sequence[Score]) -> None:
    prepared = store_and_load(trial, prepare(trial, POSITIONS[1]))
    other_scores = scores_from(trial, run_score(trial, prepared, POSITIONS[1]))
    values = {(score.metric, score.part): score.value for score in other_scores}
    for score in scores:
        other_value = values.get((score.metric, score.part))
        if score.value is None and other_value is None:
            continue
        if score.value is None or other_value is None or not _is_near(score.value, other_value):
            raise trial.fail(
                f"'{score.metric}' is {score.value} with {POSITIONS[0]} positions per batch and "
                f"{other_value} with {POSITIONS[1]}: the user's --batch-size would change the "
                "score. Sum over units, not over batches, and take ratios in the end."
            )


def _is_near(a: float, b: float) -> bool:
    return abs(a - b) <= TOLERANCE * max(1.0, abs(a), abs(b))


def _check_limit(trial: TaskTrial, prepared: Prepared, evidence: Yielded) -> None:
    """Check that a lower limit gives less to prepare, or fewer units."""
    limit = getattr(trial.task, "limit", None)
    if limit is None:
        return
    for low in LOW_LIMITS:
        if low >= limit:
            return
        try:
            lower = replace(trial, task=replace(trial.task, limit=low))
            less = prepare(lower, POSITIONS[0])
        except (UsageError, NotApplicable, DataError):
            continue  # too low for this task
        if _size(less) < _size(prepared):
            return
        yielded = run_score(lower, store_and_load(lower, less), POSITIONS[0])
        if _units(yielded) < _units(evidence):
            return
        raise trial.fail(
            f"limit={low} reads and scores as much as limit={limit}, so that --limit would not "
            "shorten a run. Read at most so many units, or leave the field out."
        )


def _size(prepared: Prepared) -> int:
    """Number of values in arrays and tables."""
    rows = [*prepared.more_rows.values(), *filter(None, [prepared.rows])]
    arrays = [*prepared.arrays.values(), *(token_rows.ids for token_rows in rows)]
    tables = prepared.tables.values()
    return sum(array.size for array in arrays) + sum(table.size for table in tables)


def _units(yielded: Yielded) -> int:
    tables = {
        id(entry.units): len(entry.units.table) for entry in yielded if isinstance(entry, Evidence)
    }
    return sum(tables.values())


def _check_order(
    trial: TaskTrial,
    random: Sequence[Score],
    exact: Sequence[Sequence[Score]],
    unordered: Collection[str],
) -> None:
    """Check for each metric with a direction that the best exact SAE beats the random one."""
    for score in random:
        if score.better not in ("higher", "lower") or score.value is None or score.part is not None:
            continue
        rivals = [
            rival
            for scores in exact
            for rival in scores
            if (rival.metric, rival.part) == (score.metric, None) and rival.value is not None
        ]
        if rivals and score.metric not in unordered and all(_is_worse(r, score) for r in rivals):
            values = ", ".join(f"{rival.value:.4g}" for rival in rivals)
            raise trial.fail(
                f"by '{score.metric}' ({score.better} is better) a random SAE has "
                f"{score.value:.4g} and beats SAEs that are right, with {values}. Turn `better` "
                "round, put the formula right, or say better='none' where neither direction is."
            )


def _is_worse(a: Score, b: Score) -> bool:
    """Whether a is worse than b beyond both their intervals."""
    a_low, a_high = _bounds(a)
    b_low, b_high = _bounds(b)
    return a_high < b_low if a.better == "higher" else a_low > b_high


def _bounds(score: Score) -> tuple[float, float]:
    value = float(score.value or 0.0)
    slack = TOLERANCE * max(1.0, abs(value))
    low = value if score.ci_low is None else score.ci_low
    high = value if score.ci_high is None else score.ci_high
    return low - slack, high + slack
