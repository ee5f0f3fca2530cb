"""What commands write: JSON, tables and records on stdout, complaints on stderr."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click


def complain(message: str) -> None:
    """Write an error to stderr, in one line."""
    sys.stderr.write(f"error: {message}\n")


def can_draw_png() -> bool:
    """Whether plots can be written as PNG; if not, stderr says why, and HTML must do."""
    from saeval.results.plots.files import png_hindrance

    hindrance = png_hindrance()
    if hindrance:
        sys.stderr.write(f"Plots are HTML alone. {hindrance}\n")
    return hindrance is None


def print_verdict(verdict: Any) -> None:
    """The facts of a validated SAE, and its checks as a table."""
    row = verdict.row()
    checks = row.pop("preflight")
    print_record(row)
    rows = [{key: text for key, text in check.items() if key != "message"} for check in checks]
    print_rows(rows, "Give --model to check it against the model it reads.")
    for check in checks:
        if check["message"]:
            print_wrapped(f"{check['status']}: {check['message']}")


def print_json(rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON object per line."""
    for row in rows:
        click.echo(json.dumps(dict(row), ensure_ascii=False, allow_nan=False))


def print_tables(results: Any, columns: str | None, parts: bool, summary: str) -> None:
    """Tables of a run's scores. An unknown column is refused only here: results are stored."""
    from saeval.results.text import terminal_width

    names = [name.strip() for name in (columns or "").split(",") if name.strip()]
    hint = "--columns all, --parts, --json"
    click.echo(results.table(width=terminal_width(), columns=names, parts=parts, how=hint) + "\n")
    print_wrapped(summary)


def print_wrapped(line: str) -> None:
    """A line of prose, wrapped to the terminal."""
    from saeval.results.text import one_line, terminal_width, wrapped

    click.echo("\n".join(wrapped(one_line(line), terminal_width(), hanging=4)))


def print_rows(rows: Sequence[Mapping[str, Any]], empty_text: str, needed: int = 1) -> None:
    """A table of rows, or `empty_text` where there is none. `needed` first columns always show."""
    from saeval.results.text import listing, terminal_width

    click.echo(listing(rows, terminal_width(), needed=needed) if rows else empty_text)


def print_record(record: Mapping[str, Any]) -> None:
    """One record, one field per line."""
    from saeval.results.text import record_text, terminal_width

    click.echo(record_text(record, terminal_width()))
