"""What a person sees of a run on stderr: a line that moves, warnings, and a closing sum."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from saeval.results.text import printable

if TYPE_CHECKING:
    from saeval.running.progress import Step

_DOING = {
    "load": "loading the SAE",
    "model": "loading the model",
    "prepare": "preparing",
    "preflight": "checking the SAE against the model",
    "score": "scoring",
    "summarise": "computing intervals",
}


@dataclass
class Display:
    """Takes the steps of a run; draws on a terminal, and only counts elsewhere."""

    moving: bool
    """Whether to draw the line."""
    began: float = field(default_factory=time.perf_counter)
    seconds: dict[str, float] = field(default_factory=dict)
    """Of each phase, in the order in which they began."""
    found: int = 0
    computed: int = 0
    drawn: int = 0
    """Characters of the line on the screen."""

    def __call__(self, step: "Step") -> None:
        """Take one step."""
        if step.what == "found":
            self.found += 1
        elif step.what == "computed":
            self.computed += 1
        elif step.seconds is not None:
            self.seconds[step.what] = self.seconds.get(step.what, 0.0) + step.seconds
        if self.moving:
            self._draw(step)

    def clear(self) -> None:
        """Take the line off the screen."""
        if self.drawn:
            sys.stderr.write("\r" + " " * self.drawn + "\r")
            sys.stderr.flush()
            self.drawn = 0

    def summary(self, folder: str) -> str:
        """Where results are, what was found and computed, and where the time went."""
        whole = time.perf_counter() - self.began
        counts = f"{self.computed} computed, {self.found} found"
        parts = [f"{name} {spent:.1f}" for name, spent in self.seconds.items() if spent >= 0.05]
        split = f" ({', '.join(parts)})" if parts else ""
        return f"Results in {folder}: {counts}. {whole:.1f} s{split}."

    def _draw(self, step: "Step") -> None:
        self.clear()
        done = self.found + self.computed
        where = f" {step.task}" if step.task else ""
        line = f"[{done}/{step.total}]" if step.total else f"[{done}]"
        line = printable(f"{line} {step.sae}{where}: {_DOING.get(step.what, step.what)}")[:110]
        sys.stderr.write(line)
        sys.stderr.flush()
        self.drawn = len(line)


class Warnings(logging.Handler):
    """Log records as lines on stderr, under the moving line."""

    def __init__(self, display: Display) -> None:
        super().__init__(logging.WARNING)
        self.display = display

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self.display.clear()
        sys.stderr.write(f"{record.levelname.lower()}: {printable(record.getMessage())}\n")


@contextmanager
def warnings_shown(display: Display) -> Iterator[None]:
    """While open, log records from WARNING on are shown."""
    handler = Warnings(display)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
