"""`saeval plan`: what a run would compute, find and download, and what that would take."""

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from saeval.activations import Store
from saeval.config.options import Configuration, Settings
from saeval.errors import ModelError, UsageError
from saeval.registry.entries import Entry, FolderRef
from saeval.registry.fetch import bytes_to_fetch_member
from saeval.registry.hub.cache import offline
from saeval.results.key import result_key
from saeval.results.provenance import peak_rss_mb
from saeval.results.score import Result
from saeval.results.verification import find_verified
from saeval.running.job_keys import key_inputs
from saeval.running.jobs import Job
from saeval.running.lent import lent
from saeval.running.loading import LoadedSAEs, identify_sources, load_saes
from saeval.running.named_saes import NamedSAE, find_saes
from saeval.running.plan.dry_run import Costs, DryRun, Unpredictable
from saeval.running.plan.first_batch_source import Stopwatch
from saeval.running.plan.forecast import Forecast, History, method
from saeval.running.plan.rows import Download, Plan, PlannedResult, total_bytes
from saeval.running.preflight.members import Checks
from saeval.running.progress import Clock, Progress, silent
from saeval.running.session import (
    Request,
    Session,
    begin_session,
    request_of_configuration,
    request_of_keywords,
)
from saeval.running.walk import NO_SET, WorkItem, visit_all, work_items

REHEARSAL_SECONDS = 6.0
"""Time for all dry runs of a plan together."""
NO_INPUTS = "{} does not declare its inputs: prepared anew, and only then found if it is there"
"""Why a plan cannot tell whether a result exists."""


def plan(saes: Any, tasks: Any = None, **options: Any) -> Plan:
    """What `saeval.evaluate` would do with the same arguments. Nothing is scored or downloaded.

    SAEs whose files are on this machine are loaded, and tasks run on one batch to see how long they
    take.

    Args:
        saes: As in `evaluate`.
        tasks: As in `evaluate`.
        **options: Other arguments of `evaluate`, except `progress`.

    Raises:
        UsageError: as in `evaluate`.
        SaevalError: if data cannot be read.
    """
    with lent(options.get("model"), saes):
        return _plan(request_of_keywords({"saes": saes, "tasks": tasks, **options}))


def plan_configuration(
    options: Configuration,
    progress: Progress = silent,
    default_fields: Settings = MappingProxyType({}),
) -> Plan:
    """What a run of this configuration would do; see `plan` and `run_configuration`."""
    request = request_of_configuration(options, default_fields)
    # A plan gives no results, so the display must not count towards a total.
    return _plan(request, lambda step: progress(replace(step, total=0)))


def _plan(request: Request, tell: Progress = silent) -> Plan:
    named_saes = find_saes(request.saes, request.options.registry)
    with tempfile.TemporaryDirectory() as inputs:
        store = Store(writable=False)
        session = begin_session(request, named_saes, inputs=Path(inputs), store=store, tell=tell)
        return _Planner(session).plan(named_saes)


@dataclass
class _Planner:
    """Visits all items as a run does, and adds up downloads, time, memory and disk."""

    session: Session
    downloads: dict[str, Download] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds by phase."""
    bytes: dict[str, int] = field(default_factory=lambda: {"cache": 0, "results": 0})
    peak: float = 0.0
    """Bytes of resident memory, in earlier runs of equal work."""
    hub_answers: bool = True

    def __post_init__(self) -> None:
        self.dry_run = DryRun(self.session, Stopwatch(REHEARSAL_SECONDS))
        self.history = History(self.session)

    def plan(self, named_saes: Sequence[NamedSAE]) -> Plan:
        """Every result, in the order in which a run gives them."""
        model = self.session.opening.model
        if isinstance(model, str):
            try:
                self._is_model_downloaded(model)
            except ModelError:
                self.session.sources.check()  # raises the error that a run would raise
                raise
        results = visit_all(work_items(named_saes, self.session.jobs), self._plan_item)
        downloads = tuple(self.downloads.values())
        return Plan(tuple(results), downloads, self._forecast(results, downloads))

    def _plan_item(self, item: WorkItem) -> list[PlannedResult]:
        """Results of all jobs for one SAE, or the members of one set."""
        blanks = [_blank(item, job) for job in item.jobs]
        if not item.named_saes:
            return [replace(blank, state="not applicable", reason=NO_SET) for blank in blanks]
        try:
            saes = self._load_item(item)
        except UsageError:
            raise
        except _NotDownloaded as absence:
            return [replace(blank, reason=str(absence)) for blank in blanks]
        except Exception as error:  # noqa: BLE001  one SAE's files do not end the plan
            return [replace(blank, state="fails", reason=str(error)) for blank in blanks]
        planned, checks = [], ()
        with offline():
            for job, blank in zip(item.jobs, blanks, strict=True):
                result, checks = self._plan_job(saes, job, blank, checks)
                planned.append(result)
        for phase, figures in saes.clock.timer.record().items():
            self._add_seconds(phase, figures["seconds"])
        return planned

    def _load_item(self, item: WorkItem) -> LoadedSAEs:
        """The SAEs and the identities of their sources, from files on this machine.

        Raises:
            _NotDownloaded: if files would have to be downloaded.
            SaevalError: as in `load`.
        """
        absent = [
            named_sae.label for named_sae in item.named_saes if not self._is_downloaded(named_sae)
        ]
        if absent:
            raise _NotDownloaded("unknown until its files are downloaded")
        clock = Clock(item.label, self.session.tell, self.session.total)
        with offline():
            members = load_saes(item.named_saes, clock, self.session)
        models = {member.place.model for member in members if member.place}
        absent = [model for model in sorted(models) if not self._is_model_downloaded(model)]
        if absent:
            raise _NotDownloaded("unknown until the model is downloaded")
        with offline():
            return identify_sources(members, clock, self.session)

    def _is_downloaded(self, named_sae: NamedSAE) -> bool:
        member = named_sae.member
        if not isinstance(member, Entry | FolderRef):
            return True
        with self._hub_access():
            count = bytes_to_fetch_member(member)
        return self._note_download(member.source, count)

    def _is_model_downloaded(self, name: str) -> bool:
        if name not in self.downloads:
            with self._hub_access():
                return self._note_download(name, self.session.sources.bytes_to_load(name))
        return False

    def _hub_access(self) -> Any:
        """A context that asks the hub, or no longer asks it once an answer was missing."""
        return nullcontext() if self.hub_answers else offline()

    def _note_download(self, name: str, count: int | None) -> bool:
        if count == 0:
            return True
        self.hub_answers = self.hub_answers and count is not None
        self.downloads[name] = Download(name, count)
        return False

    def _plan_job(
        self, saes: LoadedSAEs, job: Job, blank: PlannedResult, checks: Checks
    ) -> tuple[PlannedResult, Checks]:
        """One planned result, found or with its costs; and the checks for the next job."""
        planned = replace(blank, state="compute")
        if job.declares_inputs:
            key = result_key(key_inputs(saes, job, self.session, ()))
            planned = replace(planned, result_id=key)
            stored = None if self.session.options.force else self._find(key)
            if stored is not None and stored.status != "failed":
                return replace(planned, state="found"), checks
        else:
            planned = replace(planned, reason=NO_INPUTS.format(job.task.name))
        try:
            costs, basis, checks = self._costs(saes, job, checks)
        except Unpredictable as error:
            return replace(planned, reason=str(error)), checks
        for phase in ("prepare", "preflight", "score"):
            self._add_seconds(phase, getattr(costs, phase))
        self.bytes["cache"] += costs.prepared_bytes
        self.bytes["results"] += costs.results_bytes
        seconds = costs.prepare + costs.preflight + costs.score
        return replace(planned, seconds=seconds, basis=basis), checks

    def _find(self, key: str) -> Result | None:
        """The stored result of a key, if it verifies."""
        finding = find_verified(self.session.root, key)
        self.session.warn(finding.warnings)
        return finding.result

    def _costs(
        self, saes: LoadedSAEs, job: Job, checks: Checks
    ) -> tuple[Costs, Literal["rehearsed", "recorded"], Checks]:
        """Costs of a job: recorded costs of equal work where there are any, else from a dry run."""
        recorded = self.history.match(saes, job) if job.declares_inputs else None
        if recorded is None:
            costs, checks = self.dry_run.costs(saes, job, checks)
            return costs, "rehearsed", checks
        self.peak = max(self.peak, recorded.peak_bytes)
        if not self.dry_run.is_prepared(saes, job):
            costs, checks = self.dry_run.costs(saes, job, checks)
            return recorded.costs(costs), "recorded", checks
        sources = self.session.sources
        if any(sources.opened(member.place) is None for member in saes.members):
            self.seconds["model"] = max(self.seconds.get("model", 0.0), recorded.model)
        rehearsed = Costs(preflight=recorded.preflight)
        return recorded.costs(rehearsed), "recorded", checks

    def _add_seconds(self, phase: str, seconds: float) -> None:
        self.seconds[phase] = self.seconds.get(phase, 0.0) + seconds

    def _forecast(
        self, results: Sequence[PlannedResult], downloads: Sequence[Download]
    ) -> Forecast:
        states = [planned.state for planned in results]
        bases = [planned.basis for planned in results]
        rehearsed, recorded = bases.count("rehearsed"), bases.count("recorded")
        memory_bytes = peak_rss_mb() * 1e6 + self.dry_run.code_bytes
        cache_bytes = sum(self.session.opening.store.lacking.values()) + self.bytes["cache"]
        return Forecast(
            seconds=self.seconds,
            memory_bytes=max(self.peak, memory_bytes),
            cache_bytes=min(cache_bytes, self.session.opening.store.quota_bytes),
            results_bytes=self.bytes["results"],
            download_bytes=total_bytes(downloads),
            found=states.count("found"),
            compute=states.count("compute"),
            unknown=states.count("unknown"),
            unpredicted=states.count("compute") - rehearsed - recorded,
            method=method(
                self.dry_run.sample_tokens, self.dry_run.total_tokens, recorded, rehearsed
            ),
        )


class _NotDownloaded(Exception):
    """Files that would have to be downloaded first."""


def _blank(item: WorkItem, job: Job) -> PlannedResult:
    labels = item.labels(job)
    return PlannedResult(labels.sae, labels.set, labels.task, labels.task_version, labels.seed)
