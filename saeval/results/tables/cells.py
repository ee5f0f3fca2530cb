"""Texts of cells: numbers with as many digits as their intervals support, heads, counts."""

import math
import re
from collections.abc import Sequence
from typing import Literal

from saeval.results.score import Score
from saeval.results.text import NO_BREAK, one_line

_CROSSED = re.compile(r"(.+) (x|in) (.+) \((\d+ of )?(\d+) (?:x|in) (\d+)(, .+ each)?\)")
# Such as `text x label (152 x 10)`, as saeval.evidence.counting writes it.
_GROUPED = re.compile(r"(.+?)( of \d+(?: to \d+)? .+)")
# Such as `letter of 3 to 18 words`.
ARROWS = {"higher": f"{NO_BREAK}↑", "lower": f"{NO_BREAK}↓"}
ABSENT = "-"
"""Stands in a cell whose figure is not among the scores."""
DECIMALS = 4
"""Most decimals in a cell with an interval, unless this would hide the interval."""


def number(value: float | None, stderr: float | None = None) -> str:
    """A value to two significant digits of its standard error; without one, to four of its own.

    None becomes the empty text.
    """
    if value is None:
        return ""
    if value == int(value) and abs(value) < 1e6 and not stderr:
        return f"{int(value)}"
    size = stderr or value / 100
    return _rounded(value, 1 - math.floor(math.log10(abs(size))) if size else 4)


def _rounded(value: float, decimals: int) -> str:
    if not -4 <= decimals <= 8 or abs(value) >= 1e7:
        return f"{value:.4g}"
    return f"{value:.{max(decimals, 0)}f}"


def brief(text: str) -> str:
    """A number without the 0 before its decimal point: `.482`."""
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def with_half(value: float, half: float) -> str:
    """A value and the longer half of its interval, `.482 ±.011`, for tables of many scores.

    Two significant digits of the half, or one where two would take more than four decimals.
    """
    decimals = 1 - math.floor(math.log10(half))
    decimals = min(decimals, max(decimals - 1, DECIMALS))
    return f"{brief(_rounded(value, decimals))} ±{brief(_rounded(half, decimals))}"


def half_interval(score: Score) -> float | None:
    """Distance from the value to the farther end of its 95 % interval."""
    if score.value is None or score.ci_low is None or score.ci_high is None:
        return None
    return max(score.ci_high - score.value, score.value - score.ci_low)


def interval_text(score: Score) -> str:
    """Both ends of the 95 % interval, `.471 to .493`; empty if there is none."""
    if score.ci_low is None or score.ci_high is None:
        return f"±{brief(number(score.stderr, score.stderr))}" if score.stderr else ""
    low, high = (number(end, score.stderr) for end in (score.ci_low, score.ci_high))
    return f"{brief(low)} to {brief(high)}"


def count_text(n: int | None, unit: str | None) -> str:
    """Number and unit of n: `12 rows`, `152 texts x 10 labels`, `7 letters of 3 to 18 words`.

    Args:
        n: The n of a score.
        unit: Its `unit_of_n`, which has counts in brackets if units are crossed or nested, and
            sizes if they are groups.
    """
    if n is None:
        return ""
    crossed = _CROSSED.fullmatch(unit or "")
    if not crossed:
        grouped = _GROUPED.fullmatch(unit or "")
        noun, sizes = grouped.groups() if grouped else (unit or "", "")
        return f"{n} {_plural(noun, n)}{sizes}".strip()
    noun_a, link, noun_b, filled, count_a, count_b, sizes = crossed.groups()
    nouns_a = f"{filled or ''}{count_a} {_plural(noun_a, int(count_a))}"
    return f"{nouns_a} {link} {count_b} {_plural(noun_b, int(count_b))}{sizes or ''}"


def _plural(noun: str, count: int) -> str:
    if count == 1 or not noun:
        return noun
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("ch", "sh", "s", "x")) else f"{noun}s"


def metric_name(score: Score) -> str:
    """The metric, with an arrow where one direction is better."""
    return one_line(score.metric) + ARROWS.get(score.better or "", "")


def value_text(score: Score | None) -> str:
    """The value alone; without a value, the reason in one word."""
    if score is None:
        return ABSENT
    if score.value is None:
        return "failed" if score.status == "failed" else "n/a"
    return brief(number(score.value, score.stderr))


def value_and_half(score: Score | None) -> str:
    """The value and half its interval; without a value, the reason in one word."""
    half = half_interval(score) if score else None
    if score is None or score.value is None or not half:
        return value_text(score)
    return with_half(score.value, half)


def anchors_text(scores: Sequence[Score]) -> str:
    """Floor and ceiling, `0 → 1`; if they differ between SAEs, the range of each."""
    floor, ceiling = (_range_text(scores, name) for name in ("floor", "ceiling"))
    return f"{floor} → {ceiling}".strip() if floor or ceiling else ""


def _range_text(scores: Sequence[Score], name: Literal["floor", "ceiling"]) -> str:
    values = sorted({v for v in (getattr(score, name) for score in scores) if v is not None})
    texts = dict.fromkeys(brief(number(value)) for value in values[:1] + values[-1:])
    return " to ".join(texts)
