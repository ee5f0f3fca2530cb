"""What every task must satisfy, checked on small inputs: `check_task`."""

import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from saeval.activations import ActivationSource
from saeval.errors import DataError, NotApplicable, SaevalError, UsageError
from saeval.evidence import Evidence, Missing
from saeval.results.from_evidence import scores_of
from saeval.results.score import Labels, Score
from saeval.running import prepared_cache
from saeval.sae import SAE
from saeval.task import Member, Prepared
from saeval.testing.cases import Case, lab_cases
from saeval.testing.metrics import check_declared
from saeval.testing.same import difference
from saeval.testing.task_form import check_form
from saeval.testing.untouched import untouched

LIMIT = 50
"""Units that are scored where a task has a limit which is not set."""
LOW_LIMITS = (1, 2, 5, 10, 20, 40)
"""What is tried as a limit below it; a task may refuse those that are too low for it."""
POSITIONS = (4096, 300)
"""Positions of a batch, in the first run and in another."""
TOLERANCE = 1e-5
"""By how much the size of a batch may change a score: rounding, relative or absolute."""

Yielded = Sequence[Evidence | Missing]


@dataclass(frozen=True)
class Trial:
    """A task in one case. Failures begin with their names."""

    task: Any
    case: Case
    folder: Path
    """For what the source stores."""
    seed: int

    def fail(self, message: str) -> AssertionError:
        """A failure of this trial."""
        return AssertionError(f"{self.task.name} on {self.case.name}: {message}")


def check_task(
    task: Any,
    *,
    cases: Sequence[Case] | None = None,
    unordered: Collection[str] = (),
    seed: int = 0,
) -> None:
    """Hold a task to all that saeval takes for granted. One line of a test of yours.

    It must be documented, score or say why not, give equal evidence for equal seeds and equal
    scores for any batch size, stand being stored between `prepare` and `score`, yield each metric
    once and finite, put right SAEs no lower than a random one, leave the SAE as it was, and do
    less where `limit` says so.

    Args:
        task: Name of an installed task, its class, or an object with small data set in its fields.
        cases: What to try it on; None: a model, a synthetic world and stored vectors of the lab.
            It must score in one of them at least.
        unordered: Metrics with an arrow that a random SAE may win all the same.
        seed: Of all runs.

    Raises:
        AssertionError: saying what is wrong, why that matters, and what to do.
        SaevalError: likewise, from where it is caught in a run too.
    """
    configured = check_form(task)
    reasons = []
    for case in lab_cases() if cases is None else cases:
        with tempfile.TemporaryDirectory(prefix="saeval-testing-") as folder:
            reasons.append(_check(Trial(_small(configured), case, Path(folder), seed), unordered))
    if all(reasons):
        raise AssertionError(
            f"{configured.name} scores nothing anywhere: {' '.join(map(str, reasons))} Give "
            "check_task a task whose fields name data that can be read here, or `cases` of your "
            "own."
        )


def _small(task: Any) -> Any:
    unset = hasattr(task, "limit") and task.limit is None
    return replace(task, limit=LIMIT) if unset else task


def _check(trial: Trial, unordered: Collection[str]) -> str | None:
    """Run the task again and again; why it scored nothing, None where it did."""
    try:
        prepared = _prepared(trial, POSITIONS[0])
    except NotApplicable as error:
        return _given(trial, error)
    stored = _stored(trial, prepared)
    first = _score(trial, stored, POSITIONS[0])
    scores = _scores(trial, first)
    check_declared(trial.task, first)
    _check_repeats(trial, prepared, first)
    _check_batches(trial, scores)
    _check_limit(trial, prepared, first)
    if not hasattr(trial.task, "score_group"):
        exact = [
            _scores(trial, _score(trial, stored, POSITIONS[0], sae)) for sae in trial.case.exact
        ]
        _check_order(trial, scores, exact, unordered)
    if any(score.status == "scored" for score in scores):
        return None
    return " ".join(dict.fromkeys(str(score.reason) for score in scores))


def _given(trial: Trial, error: NotApplicable) -> str:
    """The reason why the task says nothing here, if it gives one."""
    if not str(error).strip():
        raise trial.fail(
            "NotApplicable has no reason, and a table would show an empty one. Say what the task "
            "needs and does not find."
        ) from error
    return str(error)


def _prepared(trial: Trial, positions: int) -> Prepared:
    source = trial.case.open(trial.folder, positions)
    with _blamed(trial, "prepare"):
        prepared = trial.task.prepare(source, trial.seed)
    if not isinstance(prepared, Prepared):
        raise trial.fail(
            f"`prepare` gives a {type(prepared).__name__}, which cannot be stored. Give a "
            "Prepared of arrays, tables and facts."
        )
    return prepared


def _stored(trial: Trial, prepared: Prepared) -> Prepared:
    """What comes back from disk, once it is seen to be the same."""
    with tempfile.TemporaryDirectory(dir=trial.folder) as folder:
        prepared_cache.save(prepared, Path(folder))
        stored = prepared_cache.load(Path(folder))
    changed = difference(prepared, stored)
    if changed:
        raise trial.fail(
            f"what `prepare` gives comes back changed from the store: {changed}. Arrays hold "
            "numbers, tables have text as column names, facts are JSON with text as keys."
        )
    return stored


def _score(trial: Trial, prepared: Prepared, positions: int, sae: SAE | None = None) -> Yielded:
    """All that the task yields of an SAE, the random one if none is given, which stays as it was.

    A group task is given a set of them all.
    """
    case, found = trial.case, []
    source = case.open(trial.folder, positions)
    with untouched(sae or case.random, trial.fail), _blamed(trial, "score"):
        for each in _ask(trial, sae or case.random, prepared, source):
            if not isinstance(each, Evidence | Missing):
                raise trial.fail(
                    f"`score` yields {each!r:.60}, from which no interval and no comparison can "
                    "follow. Yield Evidence over named units, or Missing with a reason."
                )
            if isinstance(each, Missing) and not each.reason.strip():
                raise trial.fail(f"'{each.metric}' is Missing for no reason. Say why.")
            found.append(each)
    if not found:
        raise trial.fail(
            "`score` yields nothing, so that a table would be silent about it. Raise NotApplicable "
            "with the reason, or yield Missing for each metric."
        )
    return found


def _ask(trial: Trial, sae: SAE, prepared: Prepared, source: ActivationSource) -> Iterable[Any]:
    task, case = trial.task, trial.case
    if not hasattr(task, "score_group"):
        return task.score(sae, prepared, source, trial.seed)
    saes = [case.random, *case.exact]
    members = [Member(f"member {number}", one, prepared, source) for number, one in enumerate(saes)]
    return task.score_group(members, trial.seed)


@contextmanager
def _blamed(trial: Trial, method: str) -> Iterator[None]:
    """Errors that are no deliberate ones are told as failures of a method."""
    try:
        yield
    except (SaevalError, AssertionError):
        raise
    except Exception as error:
        raise trial.fail(
            f"`{method}` raises {type(error).__name__}: {error}. Where the task cannot serve a "
            "source or an SAE it raises NotApplicable with the reason; where its data is off, "
            "DataError."
        ) from error


def _scores(trial: Trial, yielded: Yielded) -> tuple[Score, ...]:
    """Scores of what was yielded: finite, and each metric and part once."""
    task = trial.task
    return scores_of(yielded, Labels("sae", task.name, task.version, trial.seed))


def _check_repeats(trial: Trial, prepared: Prepared, first: Yielded) -> None:
    again = _prepared(trial, POSITIONS[0])
    changed = difference(prepared, again)
    advice = "Draw from numpy.random.default_rng(seed) or torch.Generator().manual_seed(seed) alone"
    if changed:
        raise trial.fail(
            f"`prepare` gives something else when it runs again with seed {trial.seed}: {changed}. "
            f"Then no result could be reproduced. {advice}, and read data in a fixed order."
        )
    second = _score(trial, _stored(trial, again), POSITIONS[0])
    changed = difference(list(first), list(second))
    if changed:
        raise trial.fail(
            f"`score` gives something else when it runs again with seed {trial.seed}: {changed}. "
            f"Then no result could be reproduced. {advice}."
        )


def _check_batches(trial: Trial, scores: Sequence[Score]) -> None:
    prepared = _stored(trial, _prepared(trial, POSITIONS[1]))
    others = _scores(trial, _score(trial, prepared, POSITIONS[1]))
    values = {(score.metric, score.part): score.value for score in others}
    for score in scores:
        other = values.get((score.metric, score.part))
        if score.value is None and other is None:
            continue
        if score.value is None or other is None or not _near(score.value, other):
            raise trial.fail(
                f"'{score.metric}' is {score.value} with {POSITIONS[0]} positions a batch and "
                f"{other} with {POSITIONS[1]}: the user's --batch-size would change the score. Sum "
                "over units, not over batches, and take ratios in the end."
            )


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= TOLERANCE * max(1.0, abs(a), abs(b))


def _check_limit(trial: Trial, prepared: Prepared, first: Yielded) -> None:
    """A lower limit means less to prepare, or fewer units."""
    limit = getattr(trial.task, "limit", None)
    if limit is None:
        return
    for low in LOW_LIMITS:
        if low >= limit:
            return
        try:
            lower = replace(trial, task=replace(trial.task, limit=low))
            less = _prepared(lower, POSITIONS[0])
        except (UsageError, NotApplicable, DataError):
            continue  # too low for this task
        if _size(less) < _size(prepared):
            return
        yielded = _score(lower, _stored(lower, less), POSITIONS[0])
        if _units(yielded) < _units(first):
            return
        raise trial.fail(
            f"limit={low} reads and scores as much as limit={limit}, so that --limit would not "
            "shorten a run. Read at most so many units, or leave the field out."
        )


def _size(prepared: Prepared) -> int:
    """Numbers and text held."""
    rows = [*prepared.more_rows.values(), *filter(None, [prepared.rows])]
    arrays = [*prepared.arrays.values(), *(each.ids for each in rows)]
    tables = prepared.tables.values()
    return sum(array.size for array in arrays) + sum(table.size for table in tables)


def _units(yielded: Yielded) -> int:
    tables = {
        id(each.units): len(each.units.table) for each in yielded if isinstance(each, Evidence)
    }
    return sum(tables.values())


def _check_order(
    trial: Trial,
    random: Sequence[Score],
    exact: Sequence[Sequence[Score]],
    unordered: Collection[str],
) -> None:
    """By each metric with an arrow, the best SAE that is right is no worse than the random one."""
    for score in random:
        if score.better not in ("higher", "lower") or score.value is None or score.part is not None:
            continue
        rivals = [
            rival
            for scores in exact
            for rival in scores
            if (rival.metric, rival.part) == (score.metric, None) and rival.value is not None
        ]
        if rivals and score.metric not in unordered and all(_worse(r, score) for r in rivals):
            values = ", ".join(f"{rival.value:.4g}" for rival in rivals)
            raise trial.fail(
                f"by '{score.metric}' ({score.better} is better) a random SAE has "
                f"{score.value:.4g} and beats SAEs that are right, with {values}. Turn `better` "
                "round, put the formula right, or say better='none' where neither direction is."
            )


def _worse(a: Score, b: Score) -> bool:
    """Whether a is worse than b beyond both their intervals."""
    a_low, a_high = _ends(a)
    b_low, b_high = _ends(b)
    return a_high < b_low if a.better == "higher" else a_low > b_high


def _ends(score: Score) -> tuple[float, float]:
    value = float(score.value or 0.0)
    slack = TOLERANCE * max(1.0, abs(value))
    low = value if score.ci_low is None else score.ci_low
    high = value if score.ci_high is None else score.ci_high
    return low - slack, high + slack
