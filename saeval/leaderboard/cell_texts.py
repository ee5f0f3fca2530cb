"""Cells of a board as short texts, for tables and pages alike."""

from saeval.leaderboard.cells import Cell
from saeval.leaderboard.rank_sets import RankSet
from saeval.results.tables.cells import brief, number

MARKS = {
    "other version": "other version",
    "other data": "other units",
    "imported": "imported",
    "unverified": "not verified",
    "missing": "missing",
    "failed": "failed",
    "not applicable": "n/a",
}
"""What a cell says of itself where it is not ranked."""


def value_text(cell: Cell) -> str:
    """The value with the digits that its standard error supports; empty without a value."""
    if cell.score is None or cell.value is None:
        return ""
    return brief(number(cell.value, cell.score.stderr))


def interval_text(cell: Cell) -> str:
    """`.471 to .493`; empty without an interval."""
    score = cell.score
    if score is None or score.ci_low is None or score.ci_high is None:
        return ""
    low, high = (brief(number(end, score.stderr)) for end in (score.ci_low, score.ci_high))
    return f"{low} to {high}"


def anchored_text(cell: Cell) -> str:
    """Where it lies between floor (0) and ceiling (1); empty without both."""
    anchored = cell.score.anchored if cell.score else None
    return "" if anchored is None else f"{anchored:.2f}"


def rank_text(rank: RankSet | None) -> str:
    """`2 to 5 of 8`, or `1 of 8` where only one rank is possible."""
    if rank is None:
        return ""
    span = f"{rank.best}" if rank.best == rank.worst else f"{rank.best} to {rank.worst}"
    return f"{span} of {rank.of}"


def null_text(cell: Cell) -> str:
    """What the nulls say of it: `beats 4 of 4 nulls`, and whether that can be told."""
    if cell.beaten_nulls is None:
        return ""
    text = f"beats {cell.beaten_nulls} of {cell.nulls} null{'s' * (cell.nulls > 1)}"
    test = cell.against_null
    if test is None or test.verdict == "better":
        return text
    told = {
        "cannot be told": f"cannot be told from {test.null}",
        "worse": f"worse than {test.null}",
        "not tested": f"no valid test against {test.null}: {test.reason}",
    }
    return f"{text}, {told[test.verdict]}"


def is_grey(cell: Cell) -> bool:
    """Whether it is no better than a null as far as can be told, or has no value that ranks."""
    test = cell.against_null
    return cell.status != "scored" or (
        test is not None and test.verdict in ("cannot be told", "worse")
    )
