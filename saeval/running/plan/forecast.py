"""Time, memory and disk of a run: from equal work that was recorded, and from rehearsals."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from saeval.results.provenance import device_name
from saeval.results.reading import find_folder, read_results
from saeval.results.score import Result
from saeval.running.jobs import Job
from saeval.running.loading import Loaded
from saeval.running.plan.dry_run import Costs, shape
from saeval.running.scoring import key_inputs
from saeval.running.session import Session

PHASES = ("load", "model", "prepare", "preflight", "score")
"""In the order of a run; `score` has its intervals."""


@dataclass(frozen=True)
class Recorded:
    """What equal work took: the same task on the same activations, an SAE of the same shape."""

    score: float
    """Seconds, intervals included."""
    prepare: float | None
    """Seconds; None if no result that prepared anew is at hand."""
    preflight: float
    model: float
    """Seconds of loading the model."""
    peak_bytes: float
    """Highest resident memory."""
    results_bytes: int

    def costs(self, rehearsed: Costs) -> Costs:
        """What was rehearsed, with what is known better."""
        anew = rehearsed.prepare > 0 and self.prepare is not None
        return Costs(
            self.prepare if anew and self.prepare is not None else rehearsed.prepare,
            rehearsed.preflight,
            self.score,
            rehearsed.prepared_bytes,
            self.results_bytes,
        )


@dataclass
class History:
    """Results that lie under the folder of results."""

    session: Session

    def match(self, loaded: Loaded, job: Job) -> Recorded | None:
        """What equal work took on this machine; None if it was never done.

        Args:
            loaded: SAEs to be scored together.
            job: A task that declares its inputs; without these, no two works are known equal.
        """
        key = _work(key_inputs(loaded, job, self.session, ()))
        equal = [result for result in self._results if _matches(result, key, loaded, self.session)]
        if not equal:
            return None
        phases = [result.provenance["phases"] for result in equal]
        fresh = [each for each in phases if each.get("prepare", {}).get("tokens")]
        return Recorded(
            score=median(_seconds(each, "score", "summarise") for each in phases),
            prepare=median(_seconds(each, "prepare") for each in fresh) if fresh else None,
            preflight=min(_seconds(each, "preflight") for each in phases),
            model=max(_seconds(each, "model") for each in phases),
            peak_bytes=1e6 * max(p["peak_rss_mb"] for each in phases for p in each.values()),
            results_bytes=int(median(_folder_bytes(self.session.root, result) for result in equal)),
        )

    @cached_property
    def _results(self) -> list[Result]:
        return read_results(self.session.root)


def _matches(result: Result, key: Mapping[str, Any], loaded: Loaded, session: Session) -> bool:
    about, device = result.provenance, session.opening.device
    if result.status != "scored" or _work(about.get("key", {})) != key:
        return False
    members = [(one.get("architecture"), one["d_in"], one["d_sae"]) for one in about["saes"]]
    machine = (about["device"], about["device_name"])
    return tuple(members) == shape(loaded) and machine == (device, device_name(device))


def _work(key: Mapping[str, Any]) -> dict[str, Any]:
    """What of a result's key decides how much work it is."""
    return {**key, "saes": None, "seed": None}


def _seconds(phases: Mapping[str, Mapping[str, Any]], *names: str) -> float:
    return sum(float(phases[name]["seconds"]) for name in names if name in phases)


def _folder_bytes(root: Path, result: Result) -> int:
    folder = find_folder(root, result.result_id)
    return sum(file.stat().st_size for file in folder.iterdir()) if folder else 0


@dataclass(frozen=True)
class Forecast:
    """What a run would take in all."""

    seconds: Mapping[str, float]
    """By phase, of `PHASES`."""
    memory_bytes: float
    """Highest resident memory of the process."""
    cache_bytes: int
    """That the cache grows by, unless its quota stops it."""
    results_bytes: int
    download_bytes: int | None
    """None if the size of a download is unknown."""
    found: int
    compute: int
    unknown: int
    """Jobs of which it is not known whether their results are there."""
    unpredicted: int
    """Jobs to compute that enter no figure, since they could not be predicted."""
    method: str
    """How the figures came about, and how far to trust them."""

    @property
    def total_seconds(self) -> float:
        """All phases, downloads aside."""
        return sum(self.seconds.values())

    @property
    def is_known(self) -> bool:
        """Whether anything is; what waits for files or data is never guessed."""
        return self.compute > self.unpredicted or not (self.unpredicted or self.unknown)

    def row(self) -> dict[str, Any]:
        """As one JSON object; null where nothing is known."""
        row = {
            **asdict(self),
            "seconds": round(self.total_seconds, 3),
            "phases": {name: round(spent, 3) for name, spent in self.seconds.items()},
            "memory_bytes": round(self.memory_bytes),
        }
        figures = ("seconds", "phases", "memory_bytes", "cache_bytes", "results_bytes")
        return row if self.is_known else row | dict.fromkeys(figures)

    def lines(self) -> list[str]:
        """For people."""
        counts = [f"{self.compute} to compute", f"{self.found} found"]
        counts += [f"{self.unknown} unknown"] * bool(self.unknown)
        least = "at least " if self.unpredicted or self.unknown else ""
        return [
            f"{', '.join(counts)}.",
            *(self._figures(least) if self.is_known else ["Time, memory and disk: unknown."]),
            f"Downloads: {size(self.download_bytes)}.",
            f"Method: {self.method}",
        ]

    def _figures(self, least: str) -> list[str]:
        known = {name: self.seconds.get(name, 0.0) for name in PHASES}
        parts = [f"{name} {duration(spent)}" for name, spent in known.items() if spent]
        disk = size(self.cache_bytes + self.results_bytes)
        split = f"{size(self.cache_bytes)} of cache, {size(self.results_bytes)} of results"
        return [
            f"Time: {least}{duration(self.total_seconds)} ({', '.join(parts)}).",
            f"Memory: {least}{size(self.memory_bytes)} at most at a time.",
            f"Disk: {least}{disk} ({split}).",
        ]


def method(shown: int, asked: int, recorded: int, rehearsed: int) -> str:
    """One line on where the figures come from."""
    parts = []
    if rehearsed:
        part = f" ({shown:,} of {asked:,} tokens)" if asked else ""
        parts.append(f"{_results(rehearsed)} by trying the task on one batch{part}, within 2x")
    if recorded:
        parts.append(f"{_results(recorded)} from recorded times of equal work, within 1.5x")
    if not parts:
        return "only what is here was loaded and timed; what is unknown is not guessed."
    return f"{'; '.join(parts)}; other programs add to it, downloads are not timed."


def _results(count: int) -> str:
    return f"{count} result{'s' * (count != 1)}"


def duration(seconds: float) -> str:
    """Two digits and a unit."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds:.2g} s" if seconds < 100 else f"{seconds:.0f} s"


def size(count: float | None) -> str:
    """Two or three digits and a unit of 10^3; `unknown` for None."""
    if count is None:
        return "unknown"
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= length:
            return f"{count / length:.3g} {unit}"
    return f"{count:.0f} B"
