"""From stored evidence to the difference of two sides on one metric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from saeval.errors import ResultError
from saeval.results.comparison.pool import Item, Pool
from saeval.results.comparison.row import Row
from saeval.results.comparison.sides import Side

if TYPE_CHECKING:
    from saeval.evidence import Evidence
    from saeval.evidence.joint import Varying

L0, L0_TASK = "l0", "core"
"""The metric by which sparsity is matched, and the task that gives it."""


@dataclass(frozen=True)
class Question:
    """What is asked of a pair of sides."""

    task: str
    metric: str
    at_l0: float | None = None
    """L0 at which both are read from their families; None: each at its own."""


def measured(pool: Pool, first: Side, second: Side, question: Question) -> Row:
    """The row of one metric of two sides, without its correction and verdict.

    Raises:
        ResultError: if the two were not measured alike, or there is no evidence; in one line.
    """
    saes = tuple(dict.fromkeys((*first.saes, *second.saes)))
    by_seed = pool.together(saes, question.task)
    items = {seed: dict(zip(saes, own, strict=True)) for seed, own in by_seed.items()}
    blank = _described(items, first, second, question)
    if constant := _constant(items, blank, first, second):
        return constant
    if question.at_l0 is None and first.trainings == second.trainings == 1:
        return _of_checkpoints(items, blank, first.lines[0][0], second.lines[0][0])
    return _of_sides(pool, items, blank, first, second)


def _described(
    items: Mapping[int, Mapping[str, Item]], first: Side, second: Side, question: Question
) -> Row:
    """The row, with all but its numbers."""
    seeds = tuple(sorted(items))
    own = items[seeds[0]]
    example = next(iter(own.values()))
    scores = [item.score(question.metric) for item in own.values()]
    score = next((score for score in scores if score), None)
    if score is None:
        raise ResultError(f"none of them has '{question.metric}'")
    return Row(
        first.name,
        second.name,
        question.task,
        task_version=example.result.task_version,
        metric=question.metric,
        unit=score.unit,
        better=score.better,
        n=score.n,
        unit_of_n=score.unit_of_n,
        seeds=seeds,
        trainings_first=first.trainings,
        trainings_second=second.trainings,
        at_l0=question.at_l0,
    )


def _constant(
    items: Mapping[int, Mapping[str, Item]], blank: Row, first: Side, second: Side
) -> Row | None:
    """The row of two single SAEs whose figure has no sampling; None where something is sampled."""
    if blank.at_l0 is not None or first.trainings > 1 or second.trainings > 1:
        return None
    metric, one, two = str(blank.metric), first.lines[0][0], second.lines[0][0]
    pairs = [(own[one].evidence(metric), own[two].evidence(metric)) for own in items.values()]
    reason = next(
        (entry.no_interval for pair in pairs for entry in pair if entry.no_interval), None
    )
    if not reason:
        return None
    from saeval.evidence import point_values
    from saeval.evidence.joint import check_pairable

    for pair in pairs:
        check_pairable(pair, units=False)
    values = [point_values(pair) for pair in pairs]
    means = [fmean(of_seed[side][0] for of_seed in values) for side in (0, 1)]
    return replace(
        blank,
        value_first=means[0],
        value_second=means[1],
        difference=means[0] - means[1],
        reason=reason,
        n=None,
    )


def _of_checkpoints(
    items: Mapping[int, Mapping[str, Item]], blank: Row, first: str, second: str
) -> Row:
    """Two single SAEs, paired by units, over the seeds that both have."""
    from saeval.evidence import compare, compare_seeds, point_values

    metric = str(blank.metric)
    pairs = [(own[first].evidence(metric), own[second].evidence(metric)) for own in items.values()]
    found = compare_seeds(pairs) if len(pairs) > 1 else compare(*pairs[0])
    values = [point_values([a, b]) for a, b in pairs]
    return replace(
        blank,
        value_first=fmean(pair[0][0] for pair in values),
        value_second=fmean(pair[1][0] for pair in values),
        difference=found.delta,
        reason=found.reason,
        clusters=found.clusters,
        differing=found.differing,
        **{name: getattr(found, name) for name in ("stderr", "ci_low", "ci_high", "p", "mde")},
    )


def _of_sides(
    pool: Pool, items: Mapping[int, Mapping[str, Item]], blank: Row, first: Side, second: Side
) -> Row:
    """Methods, or families at one L0."""
    from saeval.evidence.methods import compare_sides

    metric = str(blank.metric)
    evidence = {
        (seed, sae): item.evidence(metric)
        for seed, own in items.items()
        for sae, item in own.items()
    }
    values = _values(evidence)
    if blank.at_l0 is None:
        lines = [[values[line[0]] for line in side.lines] for side in (first, second)]
    else:
        places = _places(pool, first, second)
        lines = [_at_l0(side, places, values, blank.at_l0) for side in (first, second)]
    bounds = next(iter(evidence.values())).bounds
    found = compare_sides(lines[0], lines[1], bounds)
    row = replace(
        blank,
        value_first=found.first,
        value_second=found.second,
        difference=found.delta,
        clusters=found.clusters,
        differing=found.differing,
        claim="methods" if found.is_of_methods else "checkpoints",
        trainings_first=len(lines[0]),
        trainings_second=len(lines[1]),
    )
    return replace(row, **_tested(found.outcome))


def _tested(outcome: Any) -> dict[str, Any]:
    if isinstance(outcome, str):
        return {"reason": outcome}
    return {name: getattr(outcome, name) for name in ("stderr", "ci_low", "ci_high", "p", "mde")}


def _values(evidence: "Mapping[tuple[int, str], Evidence]") -> "dict[str, Varying]":
    """Each SAE's value, the mean over the seeds of the task, under weights that all share."""
    from saeval.evidence.joint import check_pairable, mean, varying

    for seed in {seed for seed, _ in evidence}:
        check_pairable([entry for (own, _), entry in evidence.items() if own == seed])
    numbers = dict(zip(evidence, varying(list(evidence.values())), strict=True))
    saes = dict.fromkeys(sae for _, sae in evidence)
    return {
        sae: mean([number for (_, own), number in numbers.items() if own == sae]) for sae in saes
    }


def _places(pool: Pool, first: Side, second: Side) -> "dict[str, Varying]":
    """The L0 of each SAE."""
    saes = tuple(dict.fromkeys((*first.saes, *second.saes)))
    by_seed = pool.together(saes, L0_TASK)
    return _values(
        {
            (seed, sae): item.evidence(L0)
            for seed, own in by_seed.items()
            for sae, item in zip(saes, own, strict=True)
        }
    )


def _at_l0(
    side: Side, places: "Mapping[str, Varying]", values: "Mapping[str, Varying]", l0: float
) -> "list[Varying]":
    """The value of each training between the SAEs around this L0.

    Trainings whose SAEs do not span it are left out, unless none does.
    """
    from saeval.evidence.joint import on_curve

    found, refusals = [], []
    for line in side.lines:
        try:
            found.append(on_curve([places[s] for s in line], [values[s] for s in line], l0))
        except ResultError as error:
            refusals.append(
                f"an L0 of {error} of {', '.join(line)}, and values are never extrapolated: choose "
                "one within, or score SAEs beyond it"
            )
    if not found:
        raise ResultError(refusals[0])
    return found


def l0_of(pool: Pool, side: Side) -> float | None:
    """Mean L0 of the SAEs of a side, where the task that gives it was run."""
    values = [
        score.value
        for sae in side.saes
        for item in pool.of_task(sae, L0_TASK)
        if (score := item.score(L0)) and score.value is not None
    ]
    return fmean(values) if values else None


def common_span(pool: Pool, first: Side, second: Side) -> tuple[float, float] | None:
    """L0 that the families of both sides span; None where they have none in common.

    Args:
        pool: The results.
        first: With its whole family.
        second: The same.
    """
    spans: list[tuple[float, float]] = []
    for side in (first, second):
        of_lines = [_span(pool, line) for line in side.lines]
        known = [span for span in of_lines if span]
        if not known:
            return None
        spans.append((min(low for low, _ in known), max(high for _, high in known)))
    low, high = max(span[0] for span in spans), min(span[1] for span in spans)
    return (low, high) if 0 < low <= high else None


def _span(pool: Pool, line: Sequence[str]) -> tuple[float, float] | None:
    found = [l0_of(pool, Side(sae, ((sae,),))) for sae in line]
    values = [value for value in found if value is not None]
    return (min(values), max(values)) if values else None
