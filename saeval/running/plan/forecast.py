"""Time, memory and disk of a run: from recorded costs of equal work, and from dry runs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from saeval.activations.store import digest
from saeval.results.provenance import device_name
from saeval.results.reading import find_folder, read_results
from saeval.results.score import Result
from saeval.running.job_keys import key_inputs, prepared_key
from saeval.running.jobs import Job
from saeval.running.loading import LoadedSAEs
from saeval.running.null_floors import NullShape, floors_key
from saeval.running.plan.dry_run import Costs, shape
from saeval.running.prepared_cache import has_prepared
from saeval.running.session import Session

PHASES = ("load", "model", "prepare", "preflight", "score")
"""In the order of a run; `score` includes null SAEs and computing intervals."""


@dataclass(frozen=True)
class RecordedCosts:
    """Costs of equal work: the same task, the same activations, an SAE of the same shape."""

    score: float
    """Seconds, intervals included, and null SAEs where their floors are in no cache yet."""
    prepare: float | None
    """Seconds; None if every recorded result used prepared content from the cache."""
    preflight: float
    model: float
    """Seconds of loading the model."""
    peak_bytes: float
    """Highest resident memory."""
    results_bytes: int

    def costs(self, rehearsed: Costs) -> Costs:
        """The rehearsed costs, with recorded figures in place of estimates."""
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
    """Results in the folder of results, as records of past costs."""

    session: Session
    _floors: set[str] = field(default_factory=set)
    """Keys of floors that an earlier job of the plan measures."""

    def match(self, saes: LoadedSAEs, job: Job) -> RecordedCosts | None:
        """Costs of equal work on this machine; None if it was never done here.

        Args:
            saes: SAEs to be scored together.
            job: A task that declares its inputs; for others, equal work cannot be recognised.
        """
        key = _work_key(key_inputs(saes, job, self.session, ()))
        equal = [
            result for result in self._results if _is_equal_work(result, key, saes, self.session)
        ]
        if not equal:
            return None
        phases = [result.provenance["phases"] for result in equal]
        fresh = [record for record in phases if record.get("prepare", {}).get("tokens")]
        return RecordedCosts(
            score=median(_sum_seconds(record, "score", "summarise") for record in phases)
            + self._null_seconds(equal, saes, job),
            prepare=median(_sum_seconds(record, "prepare") for record in fresh) if fresh else None,
            preflight=min(_sum_seconds(record, "preflight") for record in phases),
            model=max(_sum_seconds(record, "model") for record in phases),
            peak_bytes=1e6 * max(p["peak_rss_mb"] for record in phases for p in record.values()),
            results_bytes=int(median(_folder_bytes(self.session.root, result) for result in equal)),
        )

    def _null_seconds(self, equal: Sequence[Result], saes: LoadedSAEs, job: Job) -> float:
        """What null SAEs add: as much as ever, or what finding their floors took at least.

        The SAE is taken to be as sparse as those of the records, so that no model is loaded here.
        """
        seconds = [_sum_seconds(result.provenance["phases"], "null") for result in equal]
        abouts = [result.provenance.get("null_floors", {}) for result in equal]
        shapes = {NullShape(about["d_sae"], about["k"]) for about in abouts if "k" in about}
        keys = [
            floors_key(
                job, shape, lambda job: prepared_key(saes, saes.members[0], job, self.session)
            )
            for shape in shapes
        ]
        store, names = self.session.opening.store, {digest(key) for key in keys}
        is_kept = bool(names & self._floors) or any(has_prepared(store, key) for key in keys)
        self._floors |= names
        return min(seconds) if is_kept else max(seconds)

    @cached_property
    def _results(self) -> list[Result]:
        return read_results(self.session.root)


def _is_equal_work(
    result: Result, key: Mapping[str, Any], saes: LoadedSAEs, session: Session
) -> bool:
    about, device = result.provenance, session.opening.device
    if result.status != "scored" or _work_key(about.get("key", {})) != key:
        return False
    members = [(sae.get("architecture"), sae["d_in"], sae["d_sae"]) for sae in about["saes"]]
    machine = (about["device"], about["device_name"])
    return tuple(members) == shape(saes) and machine == (device, device_name(device))


def _work_key(key: Mapping[str, Any]) -> dict[str, Any]:
    """The key without what does not change the amount of work."""
    return {**key, "saes": None, "seed": None}


def _sum_seconds(phases: Mapping[str, Mapping[str, Any]], *names: str) -> float:
    return sum(float(phases[name]["seconds"]) for name in names if name in phases)


def _folder_bytes(root: Path, result: Result) -> int:
    folder = find_folder(root, result.result_id)
    return sum(file.stat().st_size for file in folder.iterdir()) if folder else 0


@dataclass(frozen=True)
class Forecast:
    """Time, memory and disk that a run would take in all."""

    seconds: Mapping[str, float]
    """By phase, of `PHASES`."""
    memory_bytes: float
    """Highest resident memory of the process."""
    cache_bytes: int
    """Growth of the cache, unless its quota stops it."""
    results_bytes: int
    download_bytes: int | None
    """None if the size of a download is unknown."""
    found: int
    compute: int
    unknown: int
    """Jobs of which it is not known whether their results exist."""
    unpredicted: int
    """Jobs to compute whose costs could not be estimated, and so are in no figure."""
    method: str
    """How the figures were estimated, and how far to trust them."""

    @property
    def total_seconds(self) -> float:
        """All phases, downloads aside."""
        return sum(self.seconds.values())

    @property
    def is_known(self) -> bool:
        """Whether there is any estimate; jobs that wait for files or data are not guessed."""
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
        """The forecast as lines for people."""
        counts = [f"{self.compute} to compute", f"{self.found} found"]
        counts += [f"{self.unknown} unknown"] * bool(self.unknown)
        least = "at least " if self.unpredicted or self.unknown else ""
        return [
            f"{', '.join(counts)}.",
            *(self._figure_lines(least) if self.is_known else ["Time, memory and disk: unknown."]),
            f"Downloads: {size(self.download_bytes)}.",
            f"Method: {self.method}",
        ]

    def _figure_lines(self, least: str) -> list[str]:
        seconds = {name: self.seconds.get(name, 0.0) for name in PHASES}
        texts = [f"{name} {duration(spent)}" for name, spent in seconds.items() if spent]
        disk = size(self.cache_bytes + self.results_bytes)
        split = f"{size(self.cache_bytes)} of cache, {size(self.results_bytes)} of results"
        return [
            f"Time: {least}{duration(self.total_seconds)} ({', '.join(texts)}).",
            f"Memory: {least}{size(self.memory_bytes)} at most at a time.",
            f"Disk: {least}{disk} ({split}).",
        ]


def method(sample_tokens: int, total_tokens: int, recorded: int, rehearsed: int) -> str:
    """One line on where the figures come from."""
    texts = []
    if rehearsed:
        sample = f" ({sample_tokens:,} of {total_tokens:,} tokens)" if total_tokens else ""
        texts.append(
            f"{_count_results(rehearsed)} by trying the task on one batch{sample}, within 2x"
        )
    if recorded:
        texts.append(f"{_count_results(recorded)} from recorded times of equal work, within 1.5x")
    if not texts:
        return "only what is here was loaded and timed; what is unknown is not guessed."
    return f"{'; '.join(texts)}; other programs add to it, downloads are not timed."


def _count_results(count: int) -> str:
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
