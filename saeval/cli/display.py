"""Progress of a run on stderr, its warnings, and a closing summary.

On a terminal one line is rewritten; elsewhere (a file, a notebook) plain lines are written.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from saeval.results.text import one_line, shortened, width_of

if TYPE_CHECKING:
    from saeval.running.progress import ProgressStep

EVERY = 30.0
"""Seconds without any plain line after which one is written."""
NARROWEST_NAME = 8
"""Fewest columns of a shortened name; where even these do not fit, the line's end is cut off."""
_VERBS = {
    "load": "loading",
    "model": "loading the model of",
    "prepare": "preparing",
    "preflight": "checking against its model",
    "score": "scoring",
    "null": "measuring floors for",
    "summarise": "computing intervals of",
    "found": "found",
    "computed": "finished",
}

DisplayMode = Literal["line", "lines", "nothing"]
"""One line that is rewritten, plain lines, or nothing at all."""


def display_mode(*, quiet: bool = False) -> DisplayMode:
    """The mode that the user asks for and stderr allows."""
    if quiet:
        return "nothing"
    return "line" if sys.stderr.isatty() else "lines"


@dataclass
class Tally:
    """Counts and times since a run began."""

    total: int = 0
    """Number of results that the run will give; 0: unknown."""
    found: int = 0
    computed: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds of each phase, in the order in which phases began."""
    began: float = field(default_factory=time.perf_counter)

    @property
    def finished(self) -> int:
        """Number of results that exist by now."""
        return self.found + self.computed

    def take(self, step: "ProgressStep") -> None:
        """Add one step."""
        self.total = step.total or self.total
        if step.what == "found":
            self.found += 1
        elif step.what == "computed":
            self.computed += 1
        elif step.seconds is not None:
            self.seconds[step.what] = self.seconds.get(step.what, 0.0) + step.seconds

    def time(self) -> str:
        """Time since the run began: `42 s`, `3 min 5 s`, `2 h 10 min`."""
        elapsed = round(time.perf_counter() - self.began)
        minutes, seconds = divmod(elapsed, 60)
        hours, minutes_left = divmod(minutes, 60)
        if hours:
            return f"{hours} h {minutes_left} min"
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


class Display:
    """Takes the steps of a run and shows how far it is. A step `begin` resets it."""

    def __init__(self, mode: DisplayMode | None = None) -> None:
        """Show nothing yet.

        Args:
            mode: How to show; None: as stderr allows when a run begins.
        """
        self.created = time.perf_counter()
        self.fixed_mode: DisplayMode | None = mode
        self.mode: DisplayMode = "nothing" if mode is None else mode
        self.tally = Tally()
        self.latest: ProgressStep | None = None
        self.line_width = 0
        """Columns of the rewritten line on the screen; 0 if there is none."""
        self.last_line_at = self.tally.began
        """When the last plain line was written."""
        self.ended = threading.Event()

    def __call__(self, step: "ProgressStep") -> None:
        """Take one step."""
        if step.what == "begin":
            self._begin(step)
            return
        if step.what == "end":
            self._end()
            return
        self.latest = step
        self.tally.take(step)
        if self.mode == "line":
            self._rewrite_line(step)
        elif step.what == "computed" or self._is_late():
            self._write_line(_step_text(step))

    def _begin(self, step: "ProgressStep") -> None:
        self.mode = display_mode() if self.fixed_mode is None else self.fixed_mode
        self.tally = Tally(step.total)
        self.last_line_at = self.tally.began
        self.ended = threading.Event()
        if self.mode == "lines":
            threading.Thread(target=self._repeat_lines, args=(self.ended,), daemon=True).start()

    def _end(self) -> None:
        self.ended.set()
        self.clear()
        if self.mode == "lines":
            self._write_line(f"{self.tally.computed} computed, {self.tally.found} found")

    def _repeat_lines(self, ended: threading.Event) -> None:
        """Write a line after every half minute in which no other was written."""
        while not ended.wait(max(self.last_line_at + EVERY - time.perf_counter(), 0.01)):
            if self._is_late() and self.latest:
                self._write_line(_step_text(self.latest))

    def _is_late(self) -> bool:
        return time.perf_counter() - self.last_line_at >= EVERY

    def _write_line(self, text: str) -> None:
        if self.mode == "lines":
            self.last_line_at = time.perf_counter()
            tally = self.tally
            of = f" of {tally.total}" if tally.total else ""
            sys.stderr.write(f"{tally.finished}{of} results after {tally.time()}: {text}\n")
            sys.stderr.flush()

    def _rewrite_line(self, step: "ProgressStep") -> None:
        self.clear()
        done, total = self.tally.finished, self.tally.total
        counts = f"[{done}/{total}] " if total else ""
        line = _fit_line(f"{counts}{_activity(step)} ", one_line(step.sae), _terminal_columns() - 1)
        sys.stderr.write(line)
        sys.stderr.flush()
        self.line_width = width_of(line)

    def clear(self) -> None:
        """Remove the rewritten line from the screen."""
        if self.line_width:
            sys.stderr.write("\r" + " " * self.line_width + "\r")
            sys.stderr.flush()
            self.line_width = 0

    def summary(self, folder: str) -> str:
        """Folder of the results, how many were found and computed, and seconds by phase."""
        tally = self.tally
        elapsed = time.perf_counter() - self.created
        counts = f"{tally.computed} computed, {tally.found} found"
        phases = [f"{name} {spent:.1f}" for name, spent in tally.seconds.items() if spent >= 0.05]
        split = f" ({', '.join(phases)})" if phases else ""
        return one_line(f"Results in {folder}: {counts}. {elapsed:.1f} s{split}.")


_FROM_PYTHON = Display()


def progress(step: "ProgressStep") -> None:
    """Show how far a run is: `saeval.evaluate(..., progress=saeval.progress)`.

    On stderr: one rewritten line on a terminal; in a notebook or a file a line per result, and one
    every half minute. Each says how many results are there, of how many.
    """
    _FROM_PYTHON(step)


def _activity(step: "ProgressStep") -> str:
    """The verb of a step, and the task if the step has one."""
    seed = f" (seed {step.seed})" if step.task and step.seed else ""
    task = f" {one_line(step.task)}{seed} of" if step.task else ""
    return _VERBS.get(step.what, step.what) + task


def _step_text(step: "ProgressStep") -> str:
    return f"{_activity(step)} {one_line(step.sae)}"


def _fit_line(start: str, name: str, width: int) -> str:
    """Start and name in at most `width` columns: the name loses its middle, the line its end."""
    room = width - width_of(start)
    line = start + (shortened(name, room) if room >= NARROWEST_NAME else name)
    while width_of(line) > width:
        line = line[:-1]
    return line


def _terminal_columns() -> int:
    """Columns of the terminal behind stderr; 80 if they are unknown."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


class Warnings(logging.Handler):
    """Log records as lines on stderr. The rewritten line is removed before each."""

    def __init__(self, display: Display) -> None:
        super().__init__(logging.WARNING)
        self.display = display

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self.display.clear()
        sys.stderr.write(f"{record.levelname.lower()}: {one_line(record.getMessage())}\n")


@contextmanager
def show_warnings(display: Display) -> Iterator[None]:
    """Show log records of level WARNING and above inside this block."""
    handler = Warnings(display)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
