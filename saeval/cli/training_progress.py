"""Progress of a training on stderr: a bar with figures, or lines where no terminal is."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from saeval.cli.display import DisplayMode
    from saeval.training.figures import Figures
    from saeval.training.loop import Watch

LINES = 10
"""Lines per training where stderr is no terminal."""


def figures_text(figures: "Figures") -> str:
    """`FVU 0.123, L0 16.0, dead 0.4 %`."""
    return f"FVU {figures.fvu:.3f}, L0 {figures.l0:.1f}, dead {100 * figures.dead:.1f} %"


@contextmanager
def show_training(mode: "DisplayMode") -> "Iterator[Watch]":
    """A function that takes figures and shows them on stderr, as a bar, as lines or not at all."""
    with {"line": _bar, "lines": _lines, "nothing": _nothing}[mode]() as watch:
        yield watch


@contextmanager
def _nothing() -> "Iterator[Watch]":
    yield lambda _: None


@contextmanager
def _bar() -> "Iterator[Watch]":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.percentage:>3.0f} %"),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("loading, and reading the first activations", total=1.0)

        def watch(figures: "Figures") -> None:
            progress.update(task, completed=figures.share, description=figures_text(figures))

        yield watch


@contextmanager
def _lines() -> "Iterator[Watch]":
    lines_written = 0

    def watch(figures: "Figures") -> None:
        nonlocal lines_written
        if int(LINES * figures.share) > lines_written:
            lines_written = int(LINES * figures.share)
            begin = f"{100 * figures.share:3.0f} % after {figures.seconds:.0f} s"
            sys.stderr.write(f"{begin}: {figures_text(figures)}\n")

    yield watch
