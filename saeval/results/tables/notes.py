"""The notes below a table: what its numbers mean, what it leaves out, and why."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from saeval.results.score import Score
from saeval.results.tables.cells import count_text
from saeval.results.tables.view import Subject, View, label_of, subject_of
from saeval.results.text import one_line
from saeval.results.training_seeds import SeedSpread

MOST_NAMES = 3
"""Most names that a line lists; of more it gives the number."""


def interval_note(scores: Sequence[Score], means: Collection[Subject] = ()) -> list[str]:
    """The meaning of ±, and over how many units.

    Args:
        scores: Those in tables of several rows.
        means: What is a mean over seeds.
    """
    with_ends = [score for score in scores if score.ci_low is not None]
    if not with_ends:
        return []
    over = _grouped(with_ends, partial(_units_behind, means=means))
    return [f"± reaches the farther end of the 95 % interval, over {over}."]


def _units_behind(scores: Sequence[Score], means: Collection[Subject]) -> str:
    """`1024 rows`, or `900 to 1024 rows` if the SAEs differ; `1024 rows a seed` of means."""
    ordered = sorted((score for score in scores if score.n is not None), key=lambda s: s.n or 0)
    if not ordered:
        return "units that were not counted"
    low, high = ordered[0], ordered[-1]
    most = one_line(count_text(high.n, high.unit_of_n))
    most += " a seed" * any(subject_of(score) in means for score in ordered)
    return most if low.n == high.n else f"{low.n} to {most}"


def counts_note(scores: Sequence[Score], means: Collection[Subject] = ()) -> list[str]:
    """What n counts, for each metric; `means` as in `interval_note`."""
    counted = [score for score in scores if score.n is not None]
    if not counted:
        return []
    return [f"n counts {_grouped(counted, partial(_units_behind, means=means))}."]


def seeds_note(spreads: Sequence[SeedSpread]) -> list[str]:
    """What mean and SD are taken over, and that ± is something else."""
    sets = {spread.set: spread.n for spread in spreads}
    return [
        one_line(
            f"mean and SD: over the {count} training seeds of {name}, each SAE counting once. ± is "
            "over texts and says nothing of other training seeds."
        )
        for name, count in sets.items()
    ]


def task_seeds_note(scores: Sequence[Score], view: View) -> list[str]:
    """Whether intervals include what another seed would draw and choose.

    Nothing is said of means where no seed chose or changed anything.

    Args:
        scores: Those that are shown.
        view: Says which of them are means over seeds, and which metrics a seed's data chose.
    """
    with_ends = [score for score in scores if score.ci_low is not None]
    means = [score for score in with_ends if subject_of(score) in view.seeds]
    lines = []
    if any(s.metric in view.chosen or subject_of(s) in view.moved for s in means):
        lines.append("Means over seeds; intervals include what other seeds draw and choose.")
    given = [s for s in with_ends if s.metric in view.chosen and s not in means]
    if given:
        names = _join_figures(str(score.metric) for score in given)
        lines.append(
            one_line(
                f"Intervals of {names} are about new test units, given what this seed's training "
                "data chose; --seeds 0,1,2 tells the rest."
            )
        )
    return lines


def units_note(scores: Sequence[Score]) -> list[str]:
    """The unit of each metric."""
    measured = [score for score in scores if score.unit]
    if not measured:
        return []
    return [f"Units: {_grouped(measured, lambda group: group[0].unit or '')}."]


def _grouped(scores: Sequence[Score], say: Callable[[Sequence[Score]], str]) -> str:
    """`128 rows (ce_loss_score), else 1024 rows`: texts of metrics, each with its metrics.

    `say` gives the text of a metric's scores. The most frequent text stands last, after "else".
    """
    metrics: dict[tuple[str, str | None], list[Score]] = {}
    for score in scores:
        metrics.setdefault((score.task, score.metric), []).append(score)
    groups: dict[str, list[str]] = {}
    for (_, metric), group in metrics.items():
        groups.setdefault(say(group), []).append(str(metric))
    *exceptions, (usual, metrics_of_usual) = sorted(groups.items(), key=lambda item: len(item[1]))
    if not exceptions:
        return one_line(usual)
    is_single = len(metrics_of_usual) == 1
    end = f"{usual} ({metrics_of_usual[0]})" if is_single else f"else {usual}"
    return one_line(
        ", ".join([*(f"{text} ({', '.join(names)})" for text, names in exceptions), end])
    )


def no_interval_note(scores: Sequence[Score], names: Mapping[str, str]) -> list[str]:
    """Why some figures have no interval, each reason once.

    Args:
        scores: All scores that are shown.
        names: Short names of SAEs and sets, for metrics that have an interval for others. Where
            other parts of the same SAE have one, the part is named, too.
    """
    with_ends = [score for score in scores if score.ci_low is not None]
    metrics, figures = {s.metric for s in with_ends}, {(s.metric, s.part) for s in with_ends}
    of_subject = {(subject_of(score), score.metric) for score in with_ends}
    reasons: dict[str, dict[str, list[str]]] = {}
    for score in scores:
        if score.status == "scored" and score.ci_low is None and score.reason:
            by_part = (subject_of(score), score.metric) in of_subject
            name = _figure_name(score) if by_part else str(score.metric)
            labels = reasons.setdefault(score.reason, {}).setdefault(name, [])
            if (score.metric, score.part) in figures if by_part else score.metric in metrics:
                labels.append(names.get(label_of(score), ""))
    return [
        one_line(f"No interval for {', '.join(_with_labels(metrics))}: {reason}")
        for reason, metrics in reasons.items()
    ]


def _with_labels(labels_by_metric: Mapping[str, Sequence[str]]) -> Iterable[str]:
    for metric, labels in labels_by_metric.items():
        yield f"{metric} of {_join_labels(labels)}" if any(labels) else metric


def not_scored_notes(scores: Sequence[Score], names: Mapping[str, str]) -> list[str]:
    """Scores without a value: each reason once, with the figures and SAEs that it is about.

    Args:
        scores: All scores; those with a value are passed over.
        names: Short names of SAEs and sets.
    """
    reasons: dict[tuple[str, str], dict[str, list[str]]] = {}
    for score in scores:
        if score.status != "scored":
            about = reasons.setdefault((score.status, str(score.reason)), {})
            label = names.get(score.sae or score.set or "", "")
            about.setdefault(label, []).append(_figure_name(score))
    lines = []
    for (status, reason), about in reasons.items():
        labels_by_figures: dict[str, list[str]] = {}
        for label, figures in about.items():
            labels_by_figures.setdefault(_join_figures(figures), []).append(label)
        subjects = "; ".join(
            f"{figures} of {_join_labels(labels)}" if any(labels) and len(names) > 1 else figures
            for figures, labels in labels_by_figures.items()
        )
        lines.append(one_line(f"{status.replace('_', ' ')}: {subjects}: {reason}"))
    return lines


def _figure_name(score: Score) -> str:
    return " ".join(filter(None, (score.metric, score.part))) or score.task


def _join_figures(names: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(names))
    if len(distinct) <= MOST_NAMES:
        return ", ".join(distinct)
    return f"{len(distinct)} figures ({', '.join(distinct[: MOST_NAMES - 1])} ...)"


def _join_labels(labels: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(labels))
    if len(distinct) <= MOST_NAMES:
        return ", ".join(distinct)
    first_names = ", ".join(distinct[: MOST_NAMES - 1])
    return f"{len(distinct)} SAEs ({first_names} and {len(distinct) - MOST_NAMES + 1} more)"


def hidden_note(scores: Sequence[Score], shown_scores: Sequence[Score], how: str) -> list[str]:
    """How many figures are not in the tables, and how to see them."""
    scored = [score for score in scores if score.status == "scored"]
    metrics = {(score.task, score.metric) for score in scored}
    shown_metrics = {(score.task, score.metric) for score in shown_scores}
    parts = {(s.task, s.metric, s.part) for s in scored if s.part is not None}
    parts -= {(s.task, s.metric, s.part) for s in shown_scores}
    counts = []
    if metrics - shown_metrics:
        counts.append(f"{len(metrics - shown_metrics)} metrics")
    if parts:
        counts.append(f"{len(parts)} figures of parts")
    return [f"Not shown ({how}): {', '.join(counts)}."] if counts else []
