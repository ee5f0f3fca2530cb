"""Scores and lists as text: digits that the intervals support, one block a task."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from saeval.results.score import Score
from saeval.results.text import listing, printable

ARROWS = {"higher": "↑", "lower": "↓", "none": ""}
PARTS_SHOWN = 6
"""Parts listed of a metric that has no figure over all of them."""

NAMED = 3
"""Metrics of a part that are named where they are missing."""

_CROSSED = re.compile(r"(.+) (x|in) (.+) \((\d+ of )?(\d+) (?:x|in) (\d+)\)")
# Such as `text x label (152 x 10)`, as saeval.evidence.counting writes it.

Column = tuple[str, int]
"""One SAE (or set) under one seed."""


def number(value: float | None, stderr: float | None = None) -> str:
    """A value to two significant digits of its standard error; without one, to four of its own.

    None gives the empty text.
    """
    if value is None:
        return ""
    if value == int(value) and abs(value) < 1e6 and not stderr:
        return f"{int(value)}"
    size = stderr or value / 100
    decimals = 1 - math.floor(math.log10(abs(size))) if size else 4
    if not -4 <= decimals <= 8 or abs(value) >= 1e7:
        return f"{value:.4g}"
    return f"{value:.{max(decimals, 0)}f}"


def score_tables(scores: Iterable[Score], *, width: int = 100) -> str:
    """One block a task; several SAEs or seeds stand side by side, as many as the width holds."""
    tasks: dict[tuple[str, int], list[Score]] = {}
    for score in scores:
        tasks.setdefault((score.task, score.task_version), []).append(score)
    return "\n\n".join(
        _block(f"{task} v{version}", found, width) for (task, version), found in tasks.items()
    )


def _block(title: str, scores: Sequence[Score], width: int) -> str:
    columns = list(dict.fromkeys(_column(score) for score in scores))
    scored = [score for score in scores if score.status == "scored"]
    shown = _headline(scored)
    single = len(columns) == 1
    heads = _heads(columns)
    lines = [printable(f"{title} · {heads[columns[0]]}" if single else title)]
    if shown:
        lines.append(_detailed(shown) if single else _compared(shown, columns, heads, width))
    hidden = len({(s.metric, s.part) for s in scored}) - len({(s.metric, s.part) for s in shown})
    if hidden:
        lines.append(f"{hidden} figures of parts are not shown; --json has them.")
    lines += _without_interval(shown)
    lines += _not_scored(scores, heads)
    return "\n".join(lines)


def _column(score: Score) -> Column:
    return score.sae or score.set or "", score.seed


def _headline(scores: Sequence[Score]) -> list[Score]:
    """Figures over everything; a metric that has none keeps its first parts."""
    whole = {score.metric for score in scores if score.part is None}
    parts: dict[str | None, list[str | None]] = {}
    for score in scores:
        if score.metric not in whole and score.part not in parts.setdefault(score.metric, []):
            parts[score.metric].append(score.part)
    return [
        score
        for score in scores
        if score.part is None
        or (score.metric in parts and score.part in parts[score.metric][:PARTS_SHOWN])
    ]


def _heads(columns: Sequence[Column]) -> dict[Column, str]:
    """Names that tell the columns apart, as short as that allows."""
    saes = list(dict.fromkeys(sae for sae, _ in columns))
    seeds = {seed for _, seed in columns}
    short = _short(saes)
    return {
        (sae, seed): (" · " if len(columns) == 1 else " ").join(
            ([short[sae]] if len(saes) > 1 or len(columns) == 1 else [])
            + ([f"seed {seed}"] if len(seeds) > 1 or len(columns) == 1 else [])
        )
        for sae, seed in columns
    }


def _short(saes: Sequence[str]) -> dict[str, str]:
    """Names without the folders that all share.

    Of absolute paths their ends, no longer than it takes to tell them apart: half an absolute
    path would be another path.
    """
    split = [sae.split("/") for sae in saes]
    least = min(map(len, split), default=1)
    if len(saes) == 1:
        return {sae: sae for sae in saes}
    if all(sae.startswith("/") for sae in saes):
        for kept in range(1, least - 1):
            ends = ["/".join(parts[-kept:]) for parts in split]
            if len(set(ends)) == len(saes):
                return dict(zip(saes, ends, strict=True))
        return {sae: sae for sae in saes}
    shared = 0
    while shared + 1 < least and len({parts[shared] for parts in split}) == 1:
        shared += 1
    return {sae: "/".join(parts[shared:]) for sae, parts in zip(saes, split, strict=True)}


def _name(score: Score) -> str:
    part = f"  {score.part}" if score.part is not None else ""
    return printable(f"{score.metric}{part} {ARROWS[score.better or 'none']}".rstrip())


def counted(n: int | None, unit: str | None) -> str:
    """How many of what: `12 rows`, `152 texts x 10 labels`, `412 words in 24 letters`.

    Args:
        n: Of a score.
        unit: Its `unit_of_n`, whose numbers stand in brackets where units are crossed or nested.
    """
    if n is None:
        return ""
    crossed = _CROSSED.fullmatch(unit or "")
    if not crossed:
        return f"{n} {_plural(unit or '', n)}".strip()
    first, between, second, some, a, b = crossed.groups()
    return f"{some or ''}{a} {_plural(first, int(a))} {between} {b} {_plural(second, int(b))}"


def _plural(noun: str, count: int) -> str:
    if count == 1 or not noun:
        return noun
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("ch", "sh", "s", "x")) else f"{noun}s"


def _detailed(scores: Sequence[Score]) -> str:
    rows = [
        {
            "metric": _name(score),
            "value": number(score.value, score.stderr),
            "95 % interval": _interval(score),
            "unit": printable(score.unit or ""),
            "n": printable(counted(score.n, score.unit_of_n)),
            "floor": number(score.floor),
            "ceiling": number(score.ceiling),
        }
        for score in scores
    ]
    return listing(rows, right=("value", "n", "floor", "ceiling"))


def _interval(score: Score) -> str:
    if score.ci_low is None or score.ci_high is None:
        return f"± {number(score.stderr, score.stderr)}" if score.stderr else ""
    return f"[{number(score.ci_low, score.stderr)}, {number(score.ci_high, score.stderr)}]"


def _compared(
    scores: Sequence[Score], columns: Sequence[Column], heads: Mapping[Column, str], width: int
) -> str:
    """Metrics down, SAEs across, in as many tables as the width asks for."""
    rows: dict[str, dict[Column, Score]] = {}
    for score in scores:
        rows.setdefault(_name(score), {})[_column(score)] = score
    cells = {column: [_cell(found.get(column)) for found in rows.values()] for column in columns}
    sizes = {column: max(map(len, [heads[column], *cells[column]])) + 2 for column in columns}
    some = [next(iter(found.values())) for found in rows.values()]
    left = {
        "metric": list(rows),
        "unit": [printable(score.unit or "") for score in some],
        "floor": [_common(found, "floor") for found in rows.values()],
        "ceiling": [_common(found, "ceiling") for found in rows.values()],
    }
    room = width - sum(max(map(len, [name, *texts])) + 2 for name, texts in left.items())
    tables = []
    for group in _packed(columns, sizes, max(room, 1)):
        table = {"metric": left["metric"], "unit": left["unit"]}
        table |= {printable(heads[column]): cells[column] for column in group}
        table |= {"floor": left["floor"], "ceiling": left["ceiling"]}
        lines = [dict(zip(table, line, strict=True)) for line in zip(*table.values(), strict=True)]
        names = [printable(heads[column]) for column in group]
        tables.append(listing(lines, right=(*names, "floor", "ceiling")))
    return "\n\n".join([*tables, "Values ± distance to the farther end of the 95 % interval."])


def _packed(
    columns: Sequence[Column], sizes: Mapping[Column, int], room: int
) -> list[list[Column]]:
    groups: list[list[Column]] = [[]]
    used = 0
    for column in columns:
        if groups[-1] and used + sizes[column] > room:
            groups.append([])
            used = 0
        groups[-1].append(column)
        used += sizes[column]
    return groups


def _cell(score: Score | None) -> str:
    if score is None:
        return ""
    half = _half_interval(score)
    if not half:
        return number(score.value, score.stderr)
    return f"{number(score.value, half)} ± {number(half, half)}"


def _half_interval(score: Score) -> float | None:
    """Distance from the value to the farther end of its 95 % interval."""
    if score.value is None or score.ci_low is None or score.ci_high is None:
        return None
    return max(score.ci_high - score.value, score.value - score.ci_low)


def _common(found: Mapping[Column, Score], field: str) -> str:
    """A floor or ceiling that all columns share; their range where they differ."""
    values = [getattr(score, field) for score in found.values()]
    values = sorted({value for value in values if value is not None})
    return (
        "" if not values else " to ".join(number(v) for v in dict.fromkeys((values[0], values[-1])))
    )


def _without_interval(scores: Sequence[Score]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for score in scores:
        if score.ci_low is None and score.reason:
            reasons.setdefault(score.reason, []).append(str(score.metric))
    return [
        printable(f"No interval for {', '.join(dict.fromkeys(metrics))}: {reason}")
        for reason, metrics in reasons.items()
    ]


def _not_scored(scores: Sequence[Score], heads: Mapping[Column, str]) -> list[str]:
    """One line a reason: which columns, and which of their metrics."""
    found: dict[tuple[str, str | None], dict[Column, list[Score]]] = {}
    for score in scores:
        if score.status != "scored":
            columns = found.setdefault((score.status, score.reason), {})
            columns.setdefault(_column(score), []).append(score)
    lines = []
    for (status, reason), columns in found.items():
        alike: dict[str, list[str]] = {}
        for column, missing in columns.items():
            alike.setdefault(_told(missing), []).append(heads[column])
        subjects = "; ".join(f"{', '.join(c)} {told}".rstrip() for told, c in alike.items())
        lines.append(printable(f"{status.replace('_', ' ')}: {subjects}: {reason}"))
    return lines


def _told(missing: Sequence[Score]) -> str:
    """Metrics by name; of a part that lacks many, the part and their number."""
    parts: dict[str | None, list[str]] = {}
    for score in missing:
        if score.metric:
            parts.setdefault(score.part, []).append(score.metric)
    names = []
    for part, metrics in parts.items():
        own = list(dict.fromkeys(metrics))
        if part is not None and len(own) > NAMED:
            names.append(f"{part} ({len(own)} metrics)")
        else:
            names += [" ".join(filter(None, (metric, part))) for metric in own]
    return ", ".join(names)
