"""What a task's page says in its tables."""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "tasks"


def rows(page: str) -> list[list[str]]:
    """Cells of the rows that name metrics, headings and rules left out."""
    lines = (FOLDER / page).read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line[:3] == "| `"]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in kept]


def named(row: list[str]) -> list[str]:
    """Metrics in its first cell."""
    return re.findall(r"`(\w+)`", row[0])
