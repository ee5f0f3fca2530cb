"""What a person sees of a run on stderr: how far it is, warnings, and a closing sum.

On a terminal one line moves; elsewhere (a file, a notebook) there are plain lines.
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
"""Seconds after which a plain line says what goes on, if no other did."""
NAME = 8
"""Columns of a name at least; where there is no room for them, the line's end is cut off."""
_DOING = {
    "load": "loading",
    "model": "loading the model of",
    "prepare": "preparing",
    "preflight": "checking against its model",
    "score": "scoring",
    "summarise": "computing intervals of",
    "found": "found",
    "computed": "finished",
}

Way = Literal["line", "lines", "nothing"]
"""One line that moves, plain lines, or nothing at all."""


def way_to_show(*, quiet: bool = False) -> Way:
    """As stderr allows and the user asks."""
    if quiet:
        return "nothing"
    return "line" if sys.stderr.isatty() else "lines"


@dataclass
class Tally:
    """What happened since a run began."""

    total: int = 0
    """Results that it will give; 0: unknown."""
    found: int = 0
    computed: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    """Of each phase, in the order in which they began."""
    began: float = field(default_factory=time.perf_counter)

    @property
    def done(self) -> int:
        """Results that are there."""
        return self.found + self.computed

    def take(self, step: "Step") -> None:
        """Add one step."""
        self.total = step.total or self.total
        if step.what == "found":
            self.found += 1
        elif step.what == "computed":
            self.computed += 1
        elif step.seconds is not None:
            self.seconds[step.what] = self.seconds.get(step.what, 0.0) + step.seconds

    def time(self) -> str:
        """Since it began: `42 s`, `3 min 5 s`, `2 h 10 min`."""
        whole = round(time.perf_counter() - self.began)
        minutes, seconds = divmod(whole, 60)
        hours, rest = divmod(minutes, 60)
        if hours:
            return f"{hours} h {rest} min"
        return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


class Display:
    """Takes the steps of a run and shows how far it is. A step `begin` starts it anew."""

    def __init__(self, way: Way | None = None) -> None:
        """Show nothing yet.

        Args:
            way: How to show; None: as stderr allows when a run begins.
        """
        self.created = time.perf_counter()
        self.given: Way | None = way
        self.way: Way = "nothing" if way is None else way
        self.tally = Tally()
        self.latest: ProgressStep | None = None
        self.drawn = 0
        """Columns of the line on the screen."""
        self.said = self.tally.began
        """When the last plain line was written."""
        self.over = threading.Event()

    def __call__(self, step: "Step") -> None:
        """Take one step."""
        if step.what == "begin":
            self._begin(step)
            return
        if step.what == "end":
            self._end()
            return
        self.latest = step
        self.tally.take(step)
        if self.way == "line":
            self._draw(step)
        elif step.what == "computed" or self._is_late():
            self._say(_told(step))

    def _begin(self, step: "Step") -> None:
        self.way = way_to_show() if self.given is None else self.given
        self.tally = Tally(step.total)
        self.said = self.tally.began
        self.over = threading.Event()
        if self.way == "lines":
            threading.Thread(target=self._keep_telling, args=(self.over,), daemon=True).start()

    def _end(self) -> None:
        self.over.set()
        self.clear()
        if self.way == "lines":
            self._say(f"{self.tally.computed} computed, {self.tally.found} found")

    def _keep_telling(self, over: threading.Event) -> None:
        """A line every half minute in which no other was written."""
        while not over.wait(max(self.said + EVERY - time.perf_counter(), 0.01)):
            if self._is_late() and self.latest:
                self._say(_told(self.latest))

    def _is_late(self) -> bool:
        return time.perf_counter() - self.said >= EVERY

    def _say(self, what: str) -> None:
        if self.way == "lines":
            self.said = time.perf_counter()
            tally = self.tally
            left = f", {tally.total - tally.done} left" if tally.done < tally.total else ""
            of = f" of {tally.total}" if tally.total else ""
            sys.stderr.write(f"{tally.done}{of} results{left}, {tally.time()}: {what}\n")
            sys.stderr.flush()

    def _draw(self, step: "Step") -> None:
        self.clear()
        done, total = self.tally.done, self.tally.total
        counts = f"[{done}/{total}] " if total else ""
        line = _cut(f"{counts}{_doing(step)} ", one_line(step.sae), _terminal_columns() - 1)
        sys.stderr.write(line)
        sys.stderr.flush()
        self.drawn = width_of(line)

    def clear(self) -> None:
        """Take the moving line off the screen."""
        if self.drawn:
            sys.stderr.write("\r" + " " * self.drawn + "\r")
            sys.stderr.flush()
            self.drawn = 0

    def summary(self, folder: str) -> str:
        """Where results are, what was found and computed, and where the time went."""
        tally = self.tally
        whole = time.perf_counter() - self.created
        counts = f"{tally.computed} computed, {tally.found} found"
        parts = [f"{name} {spent:.1f}" for name, spent in tally.seconds.items() if spent >= 0.05]
        split = f" ({', '.join(parts)})" if parts else ""
        return one_line(f"Results in {folder}: {counts}. {whole:.1f} s{split}.")


_FROM_PYTHON = Display()


def progress(step: "Step") -> None:
    """Show how far a run is: `saeval.evaluate(..., progress=saeval.progress)`.

    On stderr: a moving line on a terminal; in a notebook or a file a line at each result, and
    one every half minute. Each says how many results are there and how many are left.
    """
    _FROM_PYTHON(step)


def _doing(step: "Step") -> str:
    """The verb, and the task where it is about one."""
    seed = f" (seed {step.seed})" if step.task and step.seed else ""
    task = f" {one_line(step.task)}{seed} of" if step.task else ""
    return _DOING.get(step.what, step.what) + task


def _told(step: "Step") -> str:
    return f"{_doing(step)} {one_line(step.sae)}"


def _cut(start: str, name: str, width: int) -> str:
    """Both in at most `width` columns: the name's middle goes first, then the line's end."""
    room = width - width_of(start)
    line = start + (shortened(name, room) if room >= NAME else name)
    while width_of(line) > width:
        line = line[:-1]
    return line


def _terminal_columns() -> int:
    """Columns of the terminal that stderr is; 80 where it does not tell."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


class Warnings(logging.Handler):
    """Log records as lines on stderr, under the moving line."""

    def __init__(self, display: Display) -> None:
        super().__init__(logging.WARNING)
        self.display = display

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self.display.clear()
        sys.stderr.write(f"{record.levelname.lower()}: {one_line(record.getMessage())}\n")


@contextmanager
def warnings_shown(display: Display) -> Iterator[None]:
    """While open, log records from WARNING on are shown."""
    handler = Warnings(display)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
