"""What stands below a table: what its numbers mean, and what is not in it, and why."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from saeval.results.score import Score
from saeval.results.tables.cells import counted
from saeval.results.text import one_line
from saeval.results.training_seeds import SeedSpread

NAMED = 3
"""Names that a line lists before it only counts."""


def interval_note(scores: Sequence[Score]) -> list[str]:
    """What ± means, and over how many units of what."""
    with_ends = [score for score in scores if score.ci_low is not None]
    if not with_ends:
        return []
    over = _grouped(with_ends, _units_behind)
    return [f"± reaches the farther end of the 95 % interval, over {over}."]


def _units_behind(alike: Sequence[Score]) -> str:
    """`1024 rows`, or `900 to 1024 rows` where SAEs differ."""
    ordered = sorted((score for score in alike if score.n is not None), key=lambda s: s.n or 0)
    if not ordered:
        return "units that were not counted"
    low, high = ordered[0], ordered[-1]
    most = one_line(counted(high.n, high.unit_of_n))
    return most if low.n == high.n else f"{low.n} to {most}"


def seeds_note(spreads: Sequence[SeedSpread]) -> list[str]:
    """What mean and SD are of, and that ± is something else."""
    sets = {spread.set: spread.n for spread in spreads}
    return [
        one_line(
            f"mean and SD: over the {count} training seeds of {name}, each SAE counting once. ± is "
            "over texts and says nothing of other training seeds."
        )
        for name, count in sets.items()
    ]


def units_note(scores: Sequence[Score]) -> list[str]:
    """In which unit each metric is."""
    measured = [score for score in scores if score.unit]
    if not measured:
        return []
    return [f"Units: {_grouped(measured, lambda alike: alike[0].unit or '')}."]


def _grouped(scores: Sequence[Score], say: Callable[[Sequence[Score]], str]) -> str:
    """`128 rows (ce_loss_score), else 1024 rows`: of which metrics what is said."""
    metrics: dict[tuple[str, str | None], list[Score]] = {}
    for score in scores:
        metrics.setdefault((score.task, score.metric), []).append(score)
    groups: dict[str, list[str]] = {}
    for (_, metric), alike in metrics.items():
        groups.setdefault(say(alike), []).append(str(metric))
    *few, (most, others) = sorted(groups.items(), key=lambda group: len(group[1]))
    if not few:
        return one_line(most)
    last = f"else {most}" if len(others) > 1 else f"{most} ({others[0]})"
    return one_line(", ".join([*(f"{said} ({', '.join(names)})" for said, names in few), last]))


def no_interval_note(scores: Sequence[Score]) -> list[str]:
    """Why some metrics have no interval, each reason once."""
    reasons: dict[str, list[str]] = {}
    for score in scores:
        if score.status == "scored" and score.ci_low is None and score.reason:
            reasons.setdefault(score.reason, []).append(str(score.metric))
    return [
        one_line(f"No interval for {', '.join(dict.fromkeys(metrics))}: {reason}")
        for reason, metrics in reasons.items()
    ]


def not_scored_notes(scores: Sequence[Score], names: Mapping[str, str]) -> list[str]:
    """What has no value, and why: equal reasons once, with what they are about.

    Args:
        scores: Rows; those that were scored are passed over.
        names: Short names of SAEs and sets.
    """
    reasons: dict[tuple[str, str], dict[str, list[str]]] = {}
    for score in scores:
        if score.status != "scored":
            about = reasons.setdefault((score.status, str(score.reason)), {})
            label = names.get(score.sae or score.set or "", "")
            about.setdefault(label, []).append(_what(score))
    lines = []
    for (status, reason), about in reasons.items():
        alike: dict[str, list[str]] = {}
        for label, what in about.items():
            alike.setdefault(_listed(what), []).append(label)
        subjects = "; ".join(
            f"{what} of {_counted_names(labels)}" if any(labels) and len(names) > 1 else what
            for what, labels in alike.items()
        )
        lines.append(one_line(f"{status.replace('_', ' ')}: {subjects}: {reason}"))
    return lines


def _what(score: Score) -> str:
    return " ".join(filter(None, (score.metric, score.part))) or score.task


def _listed(names: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(names))
    if len(distinct) <= NAMED:
        return ", ".join(distinct)
    return f"{len(distinct)} figures ({', '.join(distinct[: NAMED - 1])} ...)"


def _counted_names(labels: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(labels))
    if len(distinct) <= NAMED:
        return ", ".join(distinct)
    named = ", ".join(distinct[: NAMED - 1])
    return f"{len(distinct)} SAEs ({named} and {len(distinct) - NAMED + 1} more)"


def hidden_note(scores: Sequence[Score], shown: Sequence[Score], how: str) -> list[str]:
    """How much is not in the tables, and how to see it."""
    scored = [score for score in scores if score.status == "scored"]
    metrics = {(score.task, score.metric) for score in scored}
    there = {(score.task, score.metric) for score in shown}
    parts = {(s.task, s.metric, s.part) for s in scored if s.part is not None}
    parts -= {(s.task, s.metric, s.part) for s in shown}
    said = []
    if metrics - there:
        said.append(f"{len(metrics - there)} metrics")
    if parts:
        said.append(f"{len(parts)} figures of parts")
    return [f"Not shown ({how}): {', '.join(said)}."] if said else []
