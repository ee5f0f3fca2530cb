"""What a board's page computes with: values for its charts, and paired differences of all SAEs."""

from collections.abc import Mapping
from typing import Any

from saeval.leaderboard.build import BuiltBoard
from saeval.leaderboard.columns import Column
from saeval.leaderboard.tables import rounded

_DIGITS = 5
"""Significant digits of what is drawn and compared."""


def board_data(built: BuiltBoard, pages: Mapping[str, str]) -> dict[str, Any]:
    """SAEs, columns and differences of a board as JSON values.

    Args:
        built: The board.
        pages: Label of an SAE -> the address of its page.
    """
    labels = [row.place.label for row in built.rows]
    return {
        "saes": [
            {
                "label": built.short(row.place.label),
                "kind": row.place.kind,
                "architecture": str(row.entrant.about.get("architecture") or "unknown"),
                "l0": rounded(row.place.l0),
                "page": pages[row.place.label],
            }
            for row in built.rows
        ],
        "columns": [_column(column, labels) for column in built.columns],
        "checkpoints": {
            name: [labels.index(label) for label in members]
            for name, members in built.checkpoints.items()
        },
    }


def _column(column: Column, labels: list[str]) -> dict[str, Any]:
    cells = [column.cells[label] for label in labels]
    shown = [cell.score if cell.status == "scored" else None for cell in cells]
    place = {label: number for number, label in enumerate(labels)}
    return {
        "name": column.name,
        "metric": column.asked.metric,
        "task": column.asked.task,
        "unit": column.unit,
        "direction": column.direction,
        "values": [_short(score.value) if score else None for score in shown],
        "low": [_short(score.ci_low) if score else None for score in shown],
        "high": [_short(score.ci_high) if score else None for score in shown],
        "frontier": [cell.frontier for cell in cells],
        "status": [None if cell.status == "scored" else cell.status for cell in cells],
        "pairs": [
            [place[a], place[b], *map(_short, (one.delta, one.ci_low, one.ci_high, one.p))]
            for (a, b), one in column.pairs.items()
        ],
    }


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")
