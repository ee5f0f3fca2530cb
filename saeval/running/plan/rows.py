"""The rows of a plan: every result, every download, and the forecast for all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from saeval.results.text import listing, wrapped
from saeval.running.plan.forecast import Forecast, duration, size

State = Literal["found", "compute", "unknown", "fails", "not applicable"]


@dataclass(frozen=True)
class PlannedResult:
    """One result of a run: one SAE (or set), one task, one seed."""

    sae: str | None
    set: str | None
    task: str
    task_version: int
    seed: int
    state: State = "unknown"
    """`unknown`: its key needs files that are not downloaded yet. `fails`: a run would fail now.
    `compute` without a result id: only preparing will tell whether the result exists."""
    result_id: str | None = None
    seconds: float | None = None
    """Time that this result adds to a run; None where it adds none, or it is unknown."""
    basis: Literal["recorded", "rehearsed"] | None = None
    reason: str | None = None
    """Reason for the state, or for a missing time."""

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
    """None if the hub did not tell the size."""


@dataclass(frozen=True)
class Plan:
    """All that a run would do."""

    results: tuple[PlannedResult, ...]
    downloads: tuple[Download, ...]
    forecast: Forecast

    def rows(self) -> Iterator[dict[str, Any]]:
        """One JSON object per result and per download, then one for the forecast."""
        yield from ({"kind": "result", **planned.row()} for planned in self.results)
        yield from ({"kind": "download", **vars(download)} for download in self.downloads)
        yield {"kind": "forecast", **self.forecast.row()}

    def text(self, width: int = 80) -> str:
        """The plan as text for people, no line wider than `width`."""
        rows = [
            {
                "SAE": result.sae,
                "set": result.set,
                "task": result.task,
                "seed": result.seed,
                "state": result.state,
                "time": None if result.seconds is None else duration(result.seconds),
                "why": result.reason,
            }
            for result in self.results
        ]
        fetched = [
            {"download": download.what, "size": size(download.bytes)} for download in self.downloads
        ]
        blocks = [listing(rows, width, needed=len(rows[0]) if rows else 1, right=("seed", "time"))]
        blocks += [listing(fetched, width, needed=2, right=("size",))] if fetched else []
        lines = [text for line in self.forecast.lines() for text in wrapped(line, width, hanging=4)]
        return "\n\n".join([*blocks, "\n".join(lines)])


def total_bytes(downloads: Sequence[Download]) -> int | None:
    """Sum of the sizes; None if one of them is unknown."""
    sizes = [download.bytes for download in downloads if download.bytes is not None]
    return sum(sizes) if len(sizes) == len(downloads) else None
