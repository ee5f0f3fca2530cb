"""A built board as files: Markdown to read, CSV and JSON. Equal boards give equal bytes."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from saeval.leaderboard.build import BuiltBoard, Method, Row
from saeval.leaderboard.columns import Column
from saeval.leaderboard.markdown import markdown
from saeval.results.text import one_line

_DIGITS = 9
"""Significant digits in files: more may differ between machines."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of a text that a spreadsheet would compute."""


def write_tables(built: BuiltBoard, folder: Path) -> list[Path]:
    """Write `<board>.md`, `.csv` and `.json` to a folder, made if need be. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {".md": markdown(built), ".csv": csv_text(built), ".json": json_text(built)}
    paths = []
    for ending, text in texts.items():
        path = folder / f"{built.board.name}{ending}"
        path.write_text(text, encoding="utf-8", newline="\n")
        paths.append(path)
    return paths


def rounded(value: float | None) -> float | None:
    """A number to nine significant digits, whole if it is whole; None stays."""
    return None if value is None else float(f"{value:.{_DIGITS}g}")


def cell_record(row: Row, column: Column) -> dict[str, Any]:
    """All that is known of a cell, as JSON values."""
    cell = column.cells[row.place.label]
    score, test = cell.score, cell.against_null
    return {
        "sae": row.place.label,
        "kind": row.place.kind,
        "l0_group": row.place.group or None,
        "task": column.asked.task,
        "task_version": column.asked.version,
        "metric": column.asked.metric,
        "unit": column.unit,
        "better": column.better,
        "status": cell.status,
        "reason": cell.reason,
        "value": rounded(cell.value),
        "stderr": rounded(score.stderr if score else None),
        "ci_low": rounded(score.ci_low if score else None),
        "ci_high": rounded(score.ci_high if score else None),
        "n": score.n if score else None,
        "unit_of_n": score.unit_of_n if score else None,
        "floor": rounded(score.floor if score else None),
        "ceiling": rounded(score.ceiling if score else None),
        "anchored": rounded(score.anchored if score else None),
        "rank_best": cell.rank.best if cell.rank else None,
        "rank_worst": cell.rank.worst if cell.rank else None,
        "ranked_with": cell.rank.of if cell.rank else None,
        "pareto_frontier": cell.frontier if cell.rank else None,
        "nulls_beaten": cell.beaten_nulls,
        "nulls": cell.nulls or None,
        "null_percentile": rounded(cell.percentile),
        "best_null": test.null if test else None,
        "against_best_null": test.verdict if test else None,
        "difference_to_best_null": rounded(test.delta if test else None),
        "p_against_best_null": rounded(test.p if test else None),
        "result_ids": " ".join(cell.result_ids),
    }


def row_record(row: Row) -> dict[str, Any]:
    """All that is known of an SAE apart from its cells, as JSON values."""
    about = row.entrant.about
    return {
        "sae": row.place.label,
        "kind": row.place.kind,
        "null": about.get("null"),
        "architecture": about.get("architecture"),
        "d_sae": about.get("d_sae"),
        "source": about.get("source"),
        "content": row.entrant.content or None,
        "badge": row.entrant.badge,
        "owner": row.entrant.owner,
        "l0": rounded(row.place.l0),
        "l0_group": row.place.group or None,
        "seconds": rounded(row.seconds),
        "peak_memory_mb": rounded(row.peak_mb),
    }


def csv_text(built: BuiltBoard) -> str:
    """One line a cell, with all that is known of it and of its SAE."""
    records = [
        {**row_record(row), **cell_record(row, column)}
        for row in built.rows
        for column in built.columns
    ]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _csv_cell(value) for key, value in record.items()} for record in records)
    return out.getvalue()


def _csv_cell(value: Any) -> Any:
    if isinstance(value, str):
        text = one_line(value)
        return f"'{text}" if text.startswith(_FORMULA) else text
    return value


def json_text(built: BuiltBoard) -> str:
    """Board, columns, SAEs, cells and methods as one JSON object."""
    record = {
        "board": board_record(built),
        "saes": [row_record(row) for row in built.rows],
        "cells": [cell_record(row, column) for row in built.rows for column in built.columns],
        "methods": [_method_record(method) for method in built.methods],
    }
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def board_record(built: BuiltBoard) -> dict[str, Any]:
    """What the board declares, and its columns."""
    board = built.board
    return {
        "name": board.name,
        "title": board.title,
        "about": board.about,
        "model": board.model,
        "site": board.site,
        "tasks": dict(board.tasks),
        "seeds": list(board.seeds),
        "nulls": list(board.nulls),
        "anchors": list(board.anchors),
        "columns": [column.name for column in built.columns],
    }


def _method_record(method: Method) -> dict[str, Any]:
    return {
        "method": method.name,
        "members": list(method.members),
        "l0": rounded(method.l0),
        "figures": {
            name: {"mean": rounded(figure.mean), "sd": rounded(figure.sd)}
            for name, figure in method.figures.items()
        },
    }
