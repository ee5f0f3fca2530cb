"""A comparison as tables for people, and the notes that say what may be claimed."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from saeval.results.comparison.findings import Findings
from saeval.results.comparison.row import Row
from saeval.results.tables.cells import ARROWS, brief, number, with_half
from saeval.results.tables.grid import Column, Grid, grid_html, grid_text, natural_width
from saeval.results.tables.names import Names, short_names
from saeval.results.task_seeds import seeds_text
from saeval.results.text import NO_BREAK, one_line, wrapped

NAME = 26
"""Columns that a side's name may take."""
_INTERVAL = "95 % interval".replace(" ", NO_BREAK)


def comparison_text(found: Findings, width: int) -> str:
    """Tables and notes as text, no line wider than `width`."""
    names = _names(found)
    lines = [line for note in notes(found) for line in wrapped(note, width, hanging=4)]
    tables = [
        grid_text(wide if natural_width(wide) <= width else narrow, width)
        for wide, narrow in zip(grids(found), grids(found, narrow=True), strict=True)
    ]
    legend = [line for entry in names.legend for line in wrapped(entry, width, hanging=4)]
    return "\n\n".join(filter(None, [*tables, "\n".join([*legend, *lines])]))


def comparison_html(found: Findings) -> str:
    """Tables and notes as HTML for a notebook; every text is escaped."""
    paragraphs = "".join(f"<p>{escape(note)}</p>" for note in notes(found))
    return f"<div>{''.join(map(grid_html, grids(found)))}{paragraphs}</div>"


def _names(found: Findings) -> Names:
    return short_names([side.name for side in found.sides], NAME, found.nulls)


def grids(found: Findings, *, narrow: bool = False) -> list[Grid]:
    """One table for each pair, with a row for each metric.

    Args:
        found: The comparison.
        narrow: Whether the difference and its verdict come first, for tables that are cut in two.
    """
    names = _names(found)
    by_pair: dict[tuple[str, str], list[Row]] = {}
    for row in found.compared:
        by_pair.setdefault((row.first, row.second), []).append(row)
    return [_grid(rows, names, narrow) for rows in by_pair.values()]


def _grid(rows: Sequence[Row], names: Names, narrow: bool) -> Grid:  # noqa: FBT001
    values = {
        "first": [_value(row.value_first, row) for row in rows],
        "second": [_value(row.value_second, row) for row in rows],
    }
    difference = {"difference": [_signed(row.difference, row) for row in rows]}
    ends = {_INTERVAL: [_interval(row) for row in rows]}
    verdict = {
        "first is": [row.verdict for row in rows],
        "p Holm": [_p(row.p_holm) for row in rows],
    }
    more = {
        "p": [_p(row.p) for row in rows],
        "found from": [brief(number(row.mde, row.mde)) for row in rows],
        "n": [number(row.n) for row in rows],
        "clusters differ": [_clusters(row) for row in rows],
    }
    halves = {"difference": [_with_half(row) for row in rows]}
    parts = (halves, verdict, values, more) if narrow else (values, difference, ends, verdict, more)
    texts = {head: cells for part in parts for head, cells in part.items()}
    heads = tuple(_metric(row, with_task=len({row.task for row in rows}) > 1) for row in rows)
    columns = [Column(head, tuple(cells), ()) for head, cells in texts.items() if any(cells)]
    labels = (Column("metric", heads, (), breaks="anywhere"),)
    return Grid(_title(rows, names), labels, tuple(columns))


def _title(rows: Sequence[Row], names: Names) -> str:
    """Both sides, the seeds, and the L0 at which they were matched."""
    first, second = (names.short[name] for name in (rows[0].first, rows[0].second))
    words = [f"{first} compared with {second}"]
    words += [f"of {names.common}"] * bool(names.common)
    if len({row.seeds for row in rows}) == 1:
        seeds = rows[0].seeds
        words.append(
            f"seed {seeds[0]}" if len(seeds) == 1 else f"mean of seeds {seeds_text(seeds)}"
        )
    matched = {row.at_l0 for row in rows if row.at_l0}
    words += [f"at L0 {number(matched.pop())}"] if len(matched) == 1 else []
    return " · ".join(words)


def _metric(row: Row, *, with_task: bool) -> str:
    task = f"{one_line(row.task)} " if with_task else ""
    return task + one_line(row.metric) + ARROWS.get(row.better or "", "")


def _value(value: float | None, row: Row) -> str:
    return brief(number(value, row.stderr))


def _signed(value: float | None, row: Row) -> str:
    text = brief(number(value, row.stderr))
    return f"+{text}" if value and value > 0 else text


def _interval(row: Row) -> str:
    if row.ci_low is None or row.ci_high is None:
        return ""
    return f"{_signed(row.ci_low, row)} to {_signed(row.ci_high, row)}"


def _with_half(row: Row) -> str:
    """The difference and the longer half of its interval."""
    if row.difference is None or row.ci_low is None or row.ci_high is None:
        return _signed(row.difference, row)
    text = with_half(row.difference, max(row.ci_high - row.difference, row.difference - row.ci_low))
    return f"+{text}" if row.difference > 0 else text


def _p(p: float | None) -> str:
    if p is None:
        return ""
    return "<.001" if p < 0.001 else brief(f"{p:.3f}" if p < 0.1 else f"{p:.2f}")


def _clusters(row: Row) -> str:
    return "" if row.clusters is None else f"{row.differing} of {row.clusters}"


def notes(found: Findings) -> list[str]:
    """What the numbers mean, which claims they support, and what was not compared and why."""
    names = _names(found).short
    return [
        *_meaning(found),
        *_claims(found, names),
        *_sparsity(found, names),
        *_without_test(found.compared),
        *_not_compared(found.rows, names),
    ]


def _meaning(found: Findings) -> list[str]:
    tests = sum(row.p is not None for row in found.compared)
    if not tests:
        return []
    meaning = (
        "Difference: first less second, paired over the same units, with its 95 % interval. "
        f"Verdicts hold together, after Holm's correction over {tests} test{'s' * (tests > 1)}."
    )
    power = (
        "A true difference of the size under 'found from' is found in 80 % of runs. "
        "Indistinguishable does not mean equal: smaller differences may be there."
    )
    return [meaning, power]


def _claims(found: Findings, names: Mapping[str, str]) -> list[str]:
    """Which kind of claim the rows support, and which they do not."""
    lines = []
    methods = [row for row in found.compared if row.claim == "methods"]
    others = [row for row in found.compared if row.claim != "methods"]
    for of_pair in _by_pair(methods):
        row = of_pair[0]
        lines.append(
            f"Claim about methods: {names[row.first]} and {names[row.second]}, over "
            f"{row.trainings_first} and {row.trainings_second} training seeds; "
            "intervals include what training again changes."
        )
    if not others:
        return lines
    few = [row for row in others if max(row.trainings_first, row.trainings_second) > 1]
    which = "Other rows: claim" if methods else "Claim"
    there = ", and these results have them: --sets" if found.enough_trainings else ""
    lines.append(
        f"{which} about these checkpoints only. A claim about the methods that trained them takes "
        "three training seeds of each side, since another seed may turn the verdict" + f"{there}."
    )
    if few:
        counts = ", ".join(
            dict.fromkeys(
                f"{names[name]} {count}"
                for row in few
                for name, count in (
                    (row.first, row.trainings_first),
                    (row.second, row.trainings_second),
                )
            )
        )
        lines.append(f"Training seeds that are there: {counts}.")
    return lines


def _by_pair(rows: Iterable[Row]) -> list[list[Row]]:
    pairs: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        pairs.setdefault((row.first, row.second), []).append(row)
    return list(pairs.values())


def _sparsity(found: Findings, names: Mapping[str, str]) -> list[str]:
    """Pairs of other L0, which are not like for like, and where they may be matched."""
    lines = []
    for of_pair in _by_pair(row for row in found.compared if row.l0_differs):
        row = of_pair[0]
        span = found.spans.get((row.first, row.second))
        if span:
            end = (
                f"--at-l0 auto compares their families at one L0, or --at-l0 with a number from "
                f"{number(span[0])} to {number(span[1])}."
            )
        else:
            end = "Their families in these results have no L0 in common at which to compare them."
        lines.append(
            f"L0 differs: {names[row.first]} has {number(row.l0_first)}, {names[row.second]} "
            f"{number(row.l0_second)}, so part of each difference may be sparsity alone. {end}"
        )
    return lines


def _without_test(rows: Sequence[Row]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row.p is None and row.reason and row.verdict != "equal":
            reasons.setdefault(row.reason, []).append(str(row.metric))
    return [
        f"No test of {', '.join(dict.fromkeys(metrics))}: {reason}."
        for reason, metrics in reasons.items()
    ]


def _not_compared(rows: Sequence[Row], names: Mapping[str, str]) -> list[str]:
    """Each reason once, with the pairs and figures that it is about."""
    reasons: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for row in rows:
        if not row.is_compared and row.reason:
            figures, pairs = reasons.setdefault(row.reason, ({}, {}))
            figures[row.metric or row.task] = None
            pairs[f"{names[row.first]} and {names[row.second]}"] = None
    return [
        one_line(f"Not compared: {', '.join(figures)} of {'; '.join(pairs)}: {_ended(reason)}")
        for reason, (figures, pairs) in reasons.items()
    ]


def _ended(reason: str) -> str:
    """With a full stop, unless it ends in a command."""
    is_command = "saeval run" in reason.rsplit(": ", 1)[-1]
    return reason if is_command else f"{reason.removesuffix('.')}."
