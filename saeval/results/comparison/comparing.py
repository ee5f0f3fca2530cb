"""All pairs of sides compared, metric by metric, and corrected together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Literal

from saeval.config.plugin_docs import declared_headline
from saeval.errors import ResultError
from saeval.results.comparison.findings import Findings
from saeval.results.comparison.kin import Kin
from saeval.results.comparison.measured import (
    L0,
    Question,
    common_span,
    l0_of,
    measured,
)
from saeval.results.comparison.missing import missing_results
from saeval.results.comparison.row import Row, verdict_of
from saeval.results.comparison.sides import Side, along_l0, find_sides, pairs_of
from saeval.results.score import Score
from saeval.results.tables.view import View, check_columns, shown_metrics


@dataclass(frozen=True)
class Choices:
    """What a user asks of a comparison, besides what is compared."""

    tasks: tuple[str, ...] = ()
    """Empty: all on which any of the sides was scored."""
    columns: tuple[str, ...] = ()
    """Metrics by name or glob, `all` for every one; empty: each task's headline."""
    at_l0: float | Literal["auto"] | None = None
    """L0 at which families are compared; `auto`: one that both span; None: each at its own."""
    methods: bool = False
    """Whether an SAE stands for all that differ from it in the training seed alone."""
    pairs: Literal["auto", "all", "first"] = "auto"
    run: Mapping[str, Any] = field(default_factory=dict)
    """Options of a run that computes what is missing, such as `output_path`."""


def find_differences(
    kin: Kin,
    names: Sequence[str] = (),
    choices: Choices | None = None,
    known: Mapping[str, Sequence[str]] | None = None,
) -> Findings:
    """Compare what names mean, pair by pair and metric by metric.

    Args:
        kin: The results, and which of their SAEs belong together.
        names: SAEs, sets or globs; empty: all SAEs.
        choices: What else is asked.
        known: Names that registries list -> their SAEs, which may not be scored yet.

    Raises:
        UsageError: if a name is unknown, or there are not two sides.
    """
    choices = choices or Choices()
    sides = find_sides(names, kin, known or {}, methods=choices.methods)
    pairs = pairs_of(sides, choices.pairs)
    saes = list(dict.fromkeys(chain.from_iterable(side.saes for side in sides)))
    tasks = choices.tasks or kin.pool.tasks(saes)
    if choices.columns:
        check_columns(choices.columns, _scores(kin, saes, tasks))
    rows = [row for a, b in pairs for task in tasks for row in _rows(kin, a, b, task, choices)]
    return Findings(
        _corrected(rows),
        tuple(sides),
        _spans(kin, pairs, rows),
        not choices.methods
        and all(len(side.saes) == 1 and len(kin.trainings(side.saes[0])) > 2 for side in sides),
        missing_results(kin.pool, saes, tasks, choices.run),
    )


def _scores(kin: Kin, saes: Sequence[str], tasks: Sequence[str]) -> list[Score]:
    """Scores of SAEs on tasks, over all data."""
    return [
        score
        for task in tasks
        for sae in saes
        for item in kin.pool.of_task(sae, task)
        for score in item.result.scores
        if score.part is None
    ]


def _rows(kin: Kin, first: Side, second: Side, task: str, choices: Choices) -> list[Row]:
    """The rows of a pair on a task; a single one where nothing can be compared."""
    blank = Row(first.name, second.name, task)
    absent = [s for side in (first, second) for s in side.saes if not kin.pool.of_task(s, task)]
    if absent:
        text = f"{', '.join(absent)} {'has' if len(absent) == 1 else 'have'} no result of {task}"
        return [replace(blank, verdict="missing", reason=text)]
    l0 = {"l0_first": l0_of(kin.pool, first), "l0_second": l0_of(kin.pool, second)}
    try:
        sides, at_l0 = _matched(kin, (first, second), task, choices.at_l0)
    except ResultError as error:
        return [replace(blank, reason=str(error), **l0)]
    metrics = _metrics(kin, sides, task, choices)
    rows = [
        replace(row, **l0)
        for row in (
            _row(
                replace(blank, metric=metric),
                lambda m=metric: measured(kin.pool, *sides, Question(task, m, at_l0)),
            )
            for metric in metrics
        )
    ]
    if not rows and not choices.columns:
        return [replace(blank, reason=f"{task} gave no score")]
    return _one_of_equal_refusals(rows)


def _row(blank: Row, measure: Callable[[], Row]) -> Row:
    try:
        return measure()
    except ResultError as error:
        return replace(blank, reason=str(error))


def _one_of_equal_refusals(rows: Sequence[Row]) -> list[Row]:
    """The rows; where all are refused for one reason, a single one for the whole task."""
    if rows and not any(row.is_compared for row in rows) and len({r.reason for r in rows}) == 1:
        return [replace(rows[0], metric=None)]
    return list(rows)


def _metrics(kin: Kin, sides: Sequence[Side], task: str, choices: Choices) -> list[str]:
    """Metrics to compare: those named, else the headline of the task."""
    saes = [sae for side in sides for sae in side.saes]
    scores = _scores(kin, saes, [task])
    if not scores:
        return []
    view = View(choices.columns, headlines={task: declared_headline(task)})
    metrics = [name for name in shown_metrics(scores, view) if name in {s.metric for s in scores}]
    return [name for name in metrics if choices.at_l0 is None or name != L0]


def _matched(
    kin: Kin, sides: tuple[Side, Side], task: str, at_l0: float | Literal["auto"] | None
) -> tuple[tuple[Side, Side], float | None]:
    """The sides along L0, and the L0 at which they are compared."""
    if at_l0 is None:
        return sides, None
    first, second = (along_l0(side, kin, (task, "core")) for side in sides)
    if at_l0 != "auto":
        return (first, second), at_l0
    span = common_span(kin.pool, first, second)
    if span is None:
        raise ResultError(
            "their families have no L0 in common; add SAEs of other sparsities, or name an L0"
        )
    own = [l0_of(kin.pool, side) or span[0] for side in sides]
    return (first, second), min(max((own[0] * own[1]) ** 0.5, span[0]), span[1])


def _corrected(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows with Holm's correction over all of them, and their verdicts."""
    from saeval.evidence.multiple import holm

    tested = [row for row in rows if row.p is not None]
    adjusted = iter(holm([row.p for row in tested if row.p is not None]))
    with_p = [replace(row, p_holm=next(adjusted)) if row.p is not None else row for row in rows]
    return tuple(replace(row, verdict=verdict_of(row)) for row in with_p)


def _spans(
    kin: Kin, pairs: Sequence[tuple[Side, Side]], rows: Sequence[Row]
) -> dict[tuple[str, str], tuple[float, float] | None]:
    """For each pair whose L0 differs, the L0 at which their families can be compared."""
    apart = {(row.first, row.second) for row in rows if row.l0_differs and row.is_compared}
    return {
        (a.name, b.name): common_span(
            kin.pool, along_l0(a, kin, ("core",)), along_l0(b, kin, ("core",))
        )
        for a, b in pairs
        if (a.name, b.name) in apart
    }
