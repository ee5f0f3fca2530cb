"""What a run reports while it goes on: phases that begin and end, and finished results."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from saeval.results.provenance import Phase, PhaseTimer

StepKind = Literal[
    "begin", "load", "model", "prepare", "preflight", "score", "null", "summarise",
    "found", "computed", "end",
]  # fmt: skip


@dataclass(frozen=True)
class ProgressStep:
    """One event of a run."""

    what: StepKind
    """A phase; a result that was found or has been computed; a run that begins or ends."""
    sae: str
    """Name of an SAE or a set; empty where a run begins or ends."""
    task: str = ""
    seed: int | None = None
    seconds: float | None = None
    """Length of the phase; None where the phase only begins."""
    total: int = 0
    """Number of results that the whole run will give."""


Progress = Callable[[ProgressStep], None]


def silent(_: ProgressStep) -> None:
    """Report nothing."""


@contextmanager
def whole_run(tell: Progress, total: int) -> Iterator[None]:
    """Report that a run begins, and that it ends, also where an error ends it."""
    tell(ProgressStep("begin", "", total=total))
    try:
        yield
    finally:
        tell(ProgressStep("end", "", total=total))


@dataclass(frozen=True)
class Clock:
    """Times the phases of one SAE's scoring, and reports when each begins and ends."""

    sae: str
    tell: Progress
    total: int = 0
    timer: PhaseTimer = field(default_factory=PhaseTimer)

    @contextmanager
    def phase(self, kind: StepKind, task: str = "", seed: int | None = None) -> Iterator[Phase]:
        """Measure what happens inside."""
        self.tell(ProgressStep(kind, self.sae, task, seed, total=self.total))
        with self.timer.phase(kind) as phase:
            seconds_before = phase.seconds
            yield phase
        spent = phase.seconds - seconds_before
        self.tell(ProgressStep(kind, self.sae, task, seed, spent, self.total))
