"""What a run tells while it goes on: phases that begin and end, results that are there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from saeval.results.provenance import Phase, PhaseTimer

What = Literal[
    "begin", "load", "model", "prepare", "preflight", "score", "summarise",
    "found", "computed", "end",
]  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One thing that happened."""

    what: What
    """A phase; a result that was found or has been computed; a run that begins or ends."""
    sae: str
    """Name of an SAE or a set; empty where a run begins or ends."""
    task: str = ""
    seed: int | None = None
    seconds: float | None = None
    """What the phase took; None where it only begins."""
    total: int = 0
    """Results that the run will give."""


Progress = Callable[[Step], None]


def silent(_: Step) -> None:
    """Tell nothing."""


@contextmanager
def whole_run(tell: Progress, total: int) -> Iterator[None]:
    """Tell that a run begins, and that it ends, however it ends."""
    tell(Step("begin", "", total=total))
    try:
        yield
    finally:
        tell(Step("end", "", total=total))


@dataclass(frozen=True)
class Clock:
    """Times phases of one SAE's scoring and tells of them."""

    sae: str
    tell: Progress
    total: int = 0
    timer: PhaseTimer = field(default_factory=PhaseTimer)

    @contextmanager
    def phase(self, what: What, task: str = "", seed: int | None = None) -> Iterator[Phase]:
        """Measure what happens inside."""
        self.tell(Step(what, self.sae, task, seed, total=self.total))
        with self.timer.phase(what) as phase:
            before = phase.seconds
            yield phase
        spent = phase.seconds - before
        self.tell(Step(what, self.sae, task, seed, spent, self.total))
