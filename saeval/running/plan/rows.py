"""What a plan says: every result, every download, and what all of it takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from saeval.results.text import listing, wrapped
from saeval.running.plan.forecast import Forecast, duration, size

State = Literal["found", "compute", "unknown", "fails", "not applicable"]


@dataclass(frozen=True)
class Planned:
    """One result of a run: one SAE (or set), one task, one seed."""

    sae: str | None
    set: str | None
    task: str
    task_version: int
    seed: int
    state: State = "unknown"
    """`unknown`: its key needs files that are not here yet. `fails`: as things stand, it would.
    `compute` without a result id: only preparing will tell whether it is there."""
    result_id: str | None = None
    seconds: float | None = None
    """What this one adds to a run; None where nothing does, or nobody knows."""
    basis: Literal["recorded", "rehearsed"] | None = None
    reason: str | None = None
    """Why the state, or the time, is what it is."""

    def row(self) -> dict[str, Any]:
        """As one JSON object."""
        seconds = None if self.seconds is None else round(self.seconds, 3)
        return {**vars(self), "seconds": seconds}


@dataclass(frozen=True)
class Download:
    """Files that a run would fetch from the hub."""

    what: str
    """Source of an SAE, or id of a model."""
    bytes: int | None
    """None where only the hub could tell, and did not."""


@dataclass(frozen=True)
class Plan:
    """All that a run would do."""

    results: tuple[Planned, ...]
    downloads: tuple[Download, ...]
    forecast: Forecast

    def rows(self) -> Iterator[dict[str, Any]]:
        """One JSON object for each result and download, then one for the whole."""
        yield from ({"kind": "result", **planned.row()} for planned in self.results)
        yield from ({"kind": "download", **vars(one)} for one in self.downloads)
        yield {"kind": "forecast", **self.forecast.row()}

    def text(self, width: int = 80) -> str:
        """For people, no line wider than `width`."""
        rows = [
            {
                "SAE": each.sae,
                "set": each.set,
                "task": each.task,
                "seed": each.seed,
                "state": each.state,
                "time": None if each.seconds is None else duration(each.seconds),
                "why": each.reason,
            }
            for each in self.results
        ]
        fetched = [{"download": one.what, "size": size(one.bytes)} for one in self.downloads]
        blocks = [listing(rows, width, needed=len(rows[0]) if rows else 1, right=("seed", "time"))]
        blocks += [listing(fetched, width, needed=2, right=("size",))] if fetched else []
        lines = [text for line in self.forecast.lines() for text in wrapped(line, width, hanging=4)]
        return "\n\n".join([*blocks, "\n".join(lines)])


def total_bytes(downloads: Sequence[Download]) -> int | None:
    """All together; None if one is unknown."""
    known = [one.bytes for one in downloads if one.bytes is not None]
    return sum(known) if len(known) == len(downloads) else None
