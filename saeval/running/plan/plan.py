"""`saeval plan`: what a run would compute, find and download, and what that would take."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from saeval.activations import Store
from saeval.config.configuration import Configuration
from saeval.errors import ModelError, NotApplicable, UsageError
from saeval.lab.synthetic import world_name
from saeval.models import LoadedModel
from saeval.models.absent import bytes_to_load
from saeval.registry.entries import Entry, EntrySet, FolderRef
from saeval.registry.fetch import bytes_to_fetch_member
from saeval.registry.hub.cache import offline
from saeval.results.key import result_key
from saeval.results.provenance import peak_rss_mb
from saeval.results.reading import find_result
from saeval.running.jobs import Job
from saeval.running.named_saes import Subject, find_subjects
from saeval.running.plan.dry_run import Costs, Stage, Unpredictable
from saeval.running.plan.first_batch_source import Meter
from saeval.running.plan.forecast import Forecast, History, method
from saeval.running.plan.rows import Download, Plan, Planned, total_bytes
from saeval.running.progress import Progress, silent
from saeval.running.run import neighbourhood
from saeval.running.scoring import Meeting, gather, identify, key_inputs
from saeval.running.session import Request, Session, begin

REHEARSAL_SECONDS = 6.0
"""Time for all rehearsals of a plan together."""


def plan(saes: Any, tasks: Any, **options: Any) -> Plan:
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
    return _plan(Request(saes, tasks, **options))


def plan_configuration(chosen: Configuration, progress: Progress = silent) -> Plan:
    """What a run of this configuration would do; see `plan`."""
    # Results are not counted: a plan gives none.
    return _plan(Request.of(chosen), lambda step: progress(replace(step, total=0)))


def _plan(request: Request, tell: Progress = silent) -> Plan:
    request.configuration()
    subjects = find_subjects(request.saes, request.registry)
    with tempfile.TemporaryDirectory() as inputs:
        store = Store(writable=False)
        session = begin(request, subjects, inputs=Path(inputs), store=store, tell=tell)
        return _Planner(session).plan(subjects)


@dataclass
class _Planner:
    """Goes through a run as `saeval.run` does, and adds up what it sees."""

    session: Session
    stage: Stage = field(default_factory=lambda: Stage(Meter(REHEARSAL_SECONDS)))
    downloads: dict[str, Download] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    """By phase."""
    bytes: dict[str, int] = field(default_factory=lambda: {"cache": 0, "results": 0})
    peak: float = 0.0
    """Bytes of resident memory, in earlier runs of equal work."""
    hub_answers: bool = True

    def __post_init__(self) -> None:
        self.history = History(self.session.root)

    def plan(self, subjects: Sequence[Subject]) -> Plan:
        """Every result, in the order in which a run gives them."""
        named = self.session.opening.model
        if isinstance(named, str):
            try:
                self._is_model_here(named)
            except ModelError:
                self.session.sources.check()  # which says it as a run does
                raise
        done: dict[int, list[Planned]] = {}
        for i in sorted(range(len(subjects)), key=lambda i: neighbourhood(subjects[i])):
            done[i] = self._of_sae(subjects[i])
        alone = [planned for i in sorted(done) for planned in done[i]]
        results = (*alone, *self._of_sets(subjects))
        downloads = tuple(self.downloads.values())
        return Plan(results, downloads, self._forecast(results, downloads))

    def _of_sae(self, subject: Subject) -> list[Planned]:
        jobs = [job for job in self.session.jobs if not job.is_group]
        return self._of([subject], subject.label, jobs, subject.label, subject.group)

    def _of_sets(self, subjects: Sequence[Subject]) -> Iterator[Planned]:
        """Results of the tasks that score whole sets."""
        jobs = [job for job in self.session.jobs if job.is_group]
        sets = {subject.set: subject.group for subject in subjects if subject.group} if jobs else {}
        if not sets:
            why = "It compares the members of a set, and no set was asked for."
            for job in jobs:
                yield replace(_blank(job, None, None), state="not applicable", reason=why)
        for name, group in sets.items():
            members = [subject for subject in subjects if subject.set == name]
            yield from self._of(members, str(name), jobs, None, group)

    def _of(
        self,
        subjects: Sequence[Subject],
        label: str,
        jobs: Sequence[Job],
        sae: str | None,
        group: EntrySet | None,
    ) -> list[Planned]:
        """Results of all jobs for one SAE, or the members of one set."""
        blanks = [_blank(job, sae, group) for job in jobs]
        if not jobs:
            return []
        try:
            meeting = self._met(subjects, label)
        except UsageError:
            raise
        except _Absent as why:
            return [replace(blank, reason=str(why)) for blank in blanks]
        except NotApplicable as why:
            return [replace(blank, state="not applicable", reason=str(why)) for blank in blanks]
        except Exception as error:  # noqa: BLE001  one SAE's files do not end the plan
            return [replace(blank, state="fails", reason=str(error)) for blank in blanks]
        with offline():
            found = [self._job(meeting, *pair) for pair in zip(jobs, blanks, strict=True)]
        for phase, figures in meeting.clock.timer.record().items():
            self._add(phase, figures["seconds"])
        return found

    def _met(self, subjects: Sequence[Subject], label: str) -> Meeting:
        """SAEs with what they read, all of it here already.

        Raises:
            _Absent: if files would have to be downloaded.
            SaevalError: as `meet`.
        """
        lacking = [subject.label for subject in subjects if not self._is_here(subject)]
        if lacking:
            raise _Absent("unknown until its files are downloaded")
        with offline():
            meeting = gather(subjects, label, self.session)
        named = meeting.place.model if meeting.place else None
        in_memory = isinstance(self.session.opening.model, LoadedModel)
        if named and not in_memory and not self._is_model_here(named):
            raise _Absent("unknown until the model is downloaded")
        with offline():
            identify(meeting)
        return meeting

    def _is_here(self, subject: Subject) -> bool:
        member = subject.member
        if not isinstance(member, Entry | FolderRef):
            return True
        with self._asking():
            count = bytes_to_fetch_member(member)
        return self._noted(member.source, count)

    def _is_model_here(self, name: str) -> bool:
        if world_name(name):
            return True
        if name not in self.downloads:
            with self._asking():
                return self._noted(name, bytes_to_load(name))
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

    def _job(self, meeting: Meeting, job: Job, blank: Planned) -> Planned:
        """Found, or to be computed at some cost."""
        key = result_key(key_inputs(meeting, job))
        planned = replace(blank, result_id=key, state="compute")
        found = None if self.session.configuration.force else find_result(self.session.root, key)
        if found is not None and found.status != "failed":
            return replace(planned, state="found")
        try:
            costs, basis = self._costs(meeting, job)
        except Unpredictable as why:
            return replace(planned, reason=str(why))
        for phase in ("prepare", "preflight", "score"):
            self._add(phase, getattr(costs, phase))
        self.bytes["cache"] += costs.prepared_bytes
        self.bytes["results"] += costs.results_bytes
        seconds = costs.prepare + costs.preflight + costs.score
        return replace(planned, seconds=seconds, basis=basis)

    def _costs(self, meeting: Meeting, job: Job) -> tuple[Costs, Any]:
        """What was recorded of equal work goes before what is rehearsed."""
        recorded = self.history.match(meeting, job)
        if recorded is None:
            return self.stage.costs(meeting, job), "rehearsed"
        self.peak = max(self.peak, recorded.peak_bytes)
        if not self.stage.is_prepared(meeting, job):
            return recorded.costs(self.stage.costs(meeting, job)), "recorded"
        if self.session.sources.opened(meeting.place) is None:
            self.seconds["model"] = max(self.seconds.get("model", 0.0), recorded.model)
        rehearsed = Costs(preflight=recorded.preflight)
        return recorded.costs(rehearsed), "recorded"

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


def _blank(job: Job, sae: str | None, group: EntrySet | None) -> Planned:
    name = group.name if group else None
    return Planned(sae, name, job.task.name, job.task.version, job.seed)
