"""`saeval plan`: what a run would compute, find and download, and what that would take."""

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from saeval.activations import Store
from saeval.config.options import Configuration
from saeval.errors import ModelError, UsageError
from saeval.registry.entries import Entry, FolderRef
from saeval.registry.fetch import bytes_to_fetch_member
from saeval.registry.hub.cache import offline
from saeval.results.key import result_key
from saeval.results.provenance import peak_rss_mb
from saeval.results.reading import find_result
from saeval.running.jobs import Job
from saeval.running.lent import lent
from saeval.running.loading import Loaded, identified, load_saes
from saeval.running.named_saes import NamedSAE, find_saes
from saeval.running.plan.dry_run import Costs, Stage, Unpredictable
from saeval.running.plan.first_batch_source import Stopwatch
from saeval.running.plan.forecast import Forecast, History, method
from saeval.running.plan.rows import Download, Plan, Planned, total_bytes
from saeval.running.preflight.members import Checks
from saeval.running.progress import Clock, Progress, silent
from saeval.running.scoring import key_inputs
from saeval.running.session import (
    Request,
    Session,
    begin,
    request_of_configuration,
    request_of_keywords,
)
from saeval.running.walk import NO_SET, WorkItem, walked, work_items

REHEARSAL_SECONDS = 6.0
"""Time for all rehearsals of a plan together."""
NO_INPUTS = "{} does not declare its inputs: prepared anew, and only then found if it is there"
"""Why a plan cannot tell whether a result is there."""


def plan(saes: Any, tasks: Any = None, **options: Any) -> Plan:
    """What `saeval.evaluate` would do with the same arguments. Nothing is scored or downloaded.

    SAEs that are here are loaded, and tasks are tried on one batch to see how long they take.

    Args:
        saes: As of `evaluate`.
        tasks: Likewise.
        **options: The others of `evaluate`, but for `progress`.

    Raises:
        UsageError: as of `evaluate`.
        SaevalError: if data cannot be read.
    """
    with lent(options.get("model"), saes):
        return _plan(request_of_keywords({"saes": saes, "tasks": tasks, **options}))


def plan_configuration(options: Configuration, progress: Progress = silent) -> Plan:
    """What a run of this configuration would do; see `plan`."""
    # Results are not counted: a plan gives none.
    return _plan(request_of_configuration(options), lambda step: progress(replace(step, total=0)))


def _plan(request: Request, tell: Progress = silent) -> Plan:
    named_saes = find_saes(request.saes, request.options.registry)
    with tempfile.TemporaryDirectory() as inputs:
        store = Store(writable=False)
        session = begin(request, named_saes, inputs=Path(inputs), store=store, tell=tell)
        return _Planner(session).plan(named_saes)


@dataclass
class _Planner:
    """Goes through a run as `saeval.run` does, and adds up what it sees."""

    session: Session
    downloads: dict[str, Download] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    """By phase."""
    bytes: dict[str, int] = field(default_factory=lambda: {"cache": 0, "results": 0})
    peak: float = 0.0
    """Bytes of resident memory, in earlier runs of equal work."""
    hub_answers: bool = True

    def __post_init__(self) -> None:
        self.stage = Stage(self.session, Stopwatch(REHEARSAL_SECONDS))
        self.history = History(self.session)

    def plan(self, named_saes: Sequence[NamedSAE]) -> Plan:
        """Every result, in the order in which a run gives them."""
        named = self.session.opening.model
        if isinstance(named, str):
            try:
                self._is_model_here(named)
            except ModelError:
                self.session.sources.check()  # which says it as a run does
                raise
        results = walked(work_items(named_saes, self.session.jobs), self._planned)
        downloads = tuple(self.downloads.values())
        return Plan(tuple(results), downloads, self._forecast(results, downloads))

    def _planned(self, item: WorkItem) -> list[Planned]:
        """Results of all jobs for one SAE, or the members of one set."""
        blanks = [_blank(item, job) for job in item.jobs]
        if not item.named_saes:
            return [replace(blank, state="not applicable", reason=NO_SET) for blank in blanks]
        try:
            loaded = self._loaded(item)
        except UsageError:
            raise
        except _Absent as why:
            return [replace(blank, reason=str(why)) for blank in blanks]
        except Exception as error:  # noqa: BLE001  one SAE's files do not end the plan
            return [replace(blank, state="fails", reason=str(error)) for blank in blanks]
        planned, checks = [], ()
        with offline():
            for job, blank in zip(item.jobs, blanks, strict=True):
                each, checks = self._job(loaded, job, blank, checks)
                planned.append(each)
        for phase, figures in loaded.clock.timer.record().items():
            self._add(phase, figures["seconds"])
        return planned

    def _loaded(self, item: WorkItem) -> Loaded:
        """SAEs with what they read, all of it here already.

        Raises:
            _Absent: if files would have to be downloaded.
            SaevalError: as `load`.
        """
        lacking = [named_sae.label for named_sae in item.named_saes if not self._is_here(named_sae)]
        if lacking:
            raise _Absent("unknown until its files are downloaded")
        clock = Clock(item.label, self.session.tell, self.session.total)
        with offline():
            members = load_saes(item.named_saes, clock, self.session)
        models = {member.place.model for member in members if member.place}
        lacking = [model for model in sorted(models) if not self._is_model_here(model)]
        if lacking:
            raise _Absent("unknown until the model is downloaded")
        with offline():
            return identified(members, clock, self.session)

    def _is_here(self, named_sae: NamedSAE) -> bool:
        member = named_sae.member
        if not isinstance(member, Entry | FolderRef):
            return True
        with self._asking():
            count = bytes_to_fetch_member(member)
        return self._noted(member.source, count)

    def _is_model_here(self, name: str) -> bool:
        if name not in self.downloads:
            with self._asking():
                return self._noted(name, self.session.sources.bytes_to_load(name))
        return False

    def _asking(self) -> Any:
        """A hub that did not answer once is not asked again."""
        return nullcontext() if self.hub_answers else offline()

    def _noted(self, what: str, count: int | None) -> bool:
        if count == 0:
            return True
        self.hub_answers = self.hub_answers and count is not None
        self.downloads[what] = Download(what, count)
        return False

    def _job(
        self, loaded: Loaded, job: Job, blank: Planned, checks: Checks
    ) -> tuple[Planned, Checks]:
        """Found, or to be computed at some cost; and the checks for the next job."""
        planned = replace(blank, state="compute")
        if job.declares_inputs:
            key = result_key(key_inputs(loaded, job, self.session, ()))
            planned = replace(planned, result_id=key)
            stored = None if self.session.options.force else find_result(self.session.root, key)
            if stored is not None and stored.status != "failed":
                return replace(planned, state="found"), checks
        else:
            planned = replace(planned, reason=NO_INPUTS.format(job.task.name))
        try:
            costs, basis, checks = self._costs(loaded, job, checks)
        except Unpredictable as why:
            return replace(planned, reason=str(why)), checks
        for phase in ("prepare", "preflight", "score"):
            self._add(phase, getattr(costs, phase))
        self.bytes["cache"] += costs.prepared_bytes
        self.bytes["results"] += costs.results_bytes
        seconds = costs.prepare + costs.preflight + costs.score
        return replace(planned, seconds=seconds, basis=basis), checks

    def _costs(
        self, loaded: Loaded, job: Job, checks: Checks
    ) -> tuple[Costs, Literal["rehearsed", "recorded"], Checks]:
        """What was recorded of equal work goes before what is rehearsed."""
        recorded = self.history.match(loaded, job) if job.declares_inputs else None
        if recorded is None:
            costs, checks = self.stage.costs(loaded, job, checks)
            return costs, "rehearsed", checks
        self.peak = max(self.peak, recorded.peak_bytes)
        if not self.stage.is_prepared(loaded, job):
            costs, checks = self.stage.costs(loaded, job, checks)
            return recorded.costs(costs), "recorded", checks
        sources = self.session.sources
        if any(sources.opened(member.place) is None for member in loaded.members):
            self.seconds["model"] = max(self.seconds.get("model", 0.0), recorded.model)
        rehearsed = Costs(preflight=recorded.preflight)
        return recorded.costs(rehearsed), "recorded", checks

    def _add(self, phase: str, seconds: float) -> None:
        self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds

    def _forecast(self, results: Sequence[Planned], downloads: Sequence[Download]) -> Forecast:
        states = [planned.state for planned in results]
        bases = [planned.basis for planned in results]
        rehearsed, recorded = bases.count("rehearsed"), bases.count("recorded")
        here = peak_rss_mb() * 1e6 + self.stage.code_bytes
        kept = sum(self.session.opening.store.lacking.values()) + self.bytes["cache"]
        return Forecast(
            seconds=self.seconds,
            memory_bytes=max(self.peak, here),
            cache_bytes=min(kept, self.session.opening.store.quota_bytes),
            results_bytes=self.bytes["results"],
            download_bytes=total_bytes(downloads),
            found=states.count("found"),
            compute=states.count("compute"),
            unknown=states.count("unknown"),
            unpredicted=states.count("compute") - rehearsed - recorded,
            method=method(self.stage.shown, self.stage.asked, recorded, rehearsed),
        )


class _Absent(Exception):
    """Files that would have to be downloaded first."""


def _blank(item: WorkItem, job: Job) -> Planned:
    labels = item.labels(job)
    return Planned(labels.sae, labels.set, labels.task, labels.task_version, labels.seed)
