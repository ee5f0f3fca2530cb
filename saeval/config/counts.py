"""Counts among options and fields: how low they may be, and limits as a number or as a share."""

from collections.abc import Mapping
from typing import Any

from saeval.errors import UsageError, shown

Limit = int | float
"""At most so many units: a whole number of them, or a share of all, above 0 and below 1."""


def check_counts(task: Any, least: Mapping[str, int]) -> None:
    """Check counts among a task's fields. A field `limit` may also be a share.

    Args:
        task: With a `name`, and fields of which None means not set.
        least: Smallest value of each field.

    Raises:
        UsageError: naming the first field that is too low.
    """
    for field, low in least.items():
        value, title = getattr(task, field), f"{task.name}.{field}"
        if field == "limit":
            check_limit(value, title, low)
        elif value is not None and value < low:
            raise UsageError(f"{title} must be at least {low}, not {value}.")


def check_limit(limit: Limit | None, title: str, least: int = 1) -> None:
    """Check a limit, None where there is none.

    Args:
        limit: A whole number of units, or a share of them.
        title: What the message calls it.
        least: Smallest whole number; a share may be any above 0 and below 1.

    Raises:
        UsageError: if it is neither, or too low.
    """
    if limit is None or (isinstance(limit, float) and 0 < limit < 1):
        return
    if isinstance(limit, float | bool):
        raise limit_error(limit, title, least)
    if limit < least:
        raise UsageError(
            f"{title} must be at least {least}, not {limit}; or a share of the units, such as 0.1."
        )


def limit_error(limit: Any, title: str, least: int = 1) -> UsageError:
    """The error for what is no limit."""
    return UsageError(
        f"{title} must be a whole number from {least}, or a share of the units above 0 and below "
        f"1, such as 0.1, not {shown(limit)}."
    )


def limited_count(limit: Limit | None, units: int, least: int = 1) -> int:
    """How many of so many units a limit leaves.

    Args:
        limit: None leaves all. A share is rounded to the nearest whole number (halves to the even
            one), and leaves `least` at least.
        units: Number of units without the limit.
        least: Fewest units that a share leaves, where there are so many.
    """
    if limit is None:
        return units
    if isinstance(limit, float):
        limit = max(least, round(limit * units))
    return min(limit, units)
