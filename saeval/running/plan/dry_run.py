"""Costs of a job, estimated by running its task on the first batch of the rows that it reads."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from saeval.activations import ActivationSource, TokenRows, has_logits
from saeval.activations.model_source import ModelSource
from saeval.activations.store import digest
from saeval.errors import NotApplicable, PreflightError, ResultError, SaevalError
from saeval.evidence import Evidence, Missing
from saeval.results.evidence_files import distinct_tables, recipe
from saeval.results.from_evidence import scores_of
from saeval.results.score import Labels, Score
from saeval.running.job_keys import prepared_key
from saeval.running.jobs import Job
from saeval.running.loading import LoadedSAE, LoadedSAEs
from saeval.running.null_floors import DRAWS, NoNull, floors_key, needs_null, null_shape
from saeval.running.places import SiteSpec
from saeval.running.plan.first_batch_source import FirstBatchSource, OutOfTime, Stopwatch
from saeval.running.preflight.checks import refuse
from saeval.running.preflight.members import Checks
from saeval.running.preflight.sample_rows import rows_to_look_at
from saeval.running.prepared_cache import has_prepared, load_or_prepare
from saeval.running.scoring import run_preflight
from saeval.running.session import Session
from saeval.sae import origin_of
from saeval.task import Member, Prepared

PASS_SECONDS = 0.15
"""About how long one pass of the model over the first batch may take."""
_PROVENANCE_BYTES = 5000
"""About the size of the provenance in a result.json."""


class Unpredictable(Exception):
    """A job that cannot be run on one batch; the message says why."""


@dataclass(frozen=True)
class Costs:
    """Time and disk space that one job adds to a run."""

    prepare: float = 0.0
    """Seconds; 0 where the content is in the cache, or another job of the plan prepares it."""
    preflight: float = 0.0
    """Seconds, likewise."""
    score: float = 0.0
    """Seconds, intervals included, and null SAEs where their floors are in no cache yet."""
    prepared_bytes: int = 0
    results_bytes: int = 0


@dataclass(frozen=True)
class _Scored:
    """What scoring takes, and whether null SAEs are scored besides."""

    score: float
    """Seconds."""
    summarise: float
    """Seconds."""
    results_bytes: int
    needs_null: bool


@dataclass
class DryRun:
    """Runs the jobs of a plan on one batch, equal work only once."""

    session: Session
    stopwatch: Stopwatch
    sample_tokens: int = 0
    """Tokens of the first batch that stood for the most tokens."""
    total_tokens: int = 0
    """Tokens that this batch stood for."""
    _first_batches: dict[SiteSpec | None, FirstBatchSource] = field(default_factory=dict)
    _prepared: dict[str, Prepared] = field(default_factory=dict)
    _scored: dict[Any, _Scored] = field(default_factory=dict)
    _floors: set[str] = field(default_factory=set)
    """Keys of floors that an earlier job of the plan measures."""

    def costs(self, saes: LoadedSAEs, job: Job, checks: Checks) -> tuple[Costs, Checks]:
        """Costs of a job, given that the jobs of earlier calls run before it.

        Args:
            saes: SAEs to be scored together.
            job: The task under a seed.
            checks: Of the preflight, if an earlier job of these SAEs has run it; else none.

        Returns:
            The costs, and the checks for the next job.

        Raises:
            Unpredictable: if the task cannot be run now, or would not score.
        """
        try:
            costs = self._run_prepare(saes, job)
            members = self._members(saes, job)
            if not checks:
                checks, spent = self._run_preflight(saes, members)
                costs = replace(costs, preflight=spent)
            keys = [digest(key) for key in self._keys(saes, job)]
            work = (*dict.fromkeys(keys), shape(saes))
            if work not in self._scored:
                self._scored[work] = self._run_score(members, job)
            scored = self._scored[work]
            draws = DRAWS if scored.needs_null and self._lacks_floors(saes, members, job) else 0
        except OutOfTime as error:
            raise Unpredictable(f"unknown: rehearsals took {error}") from error
        except NotApplicable as error:
            raise Unpredictable(f"not applicable: {error}") from error
        except PreflightError as error:
            raise Unpredictable(f"will fail: {error}") from error
        seconds = scored.score * (1 + draws) + scored.summarise
        return replace(costs, score=seconds, results_bytes=scored.results_bytes), checks

    def is_prepared(self, saes: LoadedSAEs, job: Job) -> bool:
        """Whether the cache, or an earlier job of the plan, holds what the task prepares."""
        store = self.session.opening.store
        return all(
            digest(key) in self._prepared or has_prepared(store, key)
            for key in self._keys(saes, job)
        )

    @property
    def code_bytes(self) -> float:
        """Most bytes of memory that the codes of an SAE will hold."""
        return max((source.code_bytes for source in self._first_batches.values()), default=0.0)

    def _keys(self, saes: LoadedSAEs, job: Job) -> list[dict[str, Any]]:
        """Key of the content that the task prepares, for each member."""
        return [prepared_key(saes, member, job, self.session) for member in saes.members]

    def _first_batch(self, saes: LoadedSAEs, member: LoadedSAE) -> FirstBatchSource:
        if member.place not in self._first_batches:
            with saes.clock.phase("model"):
                source = self.session.sources.open(member.place)
            self._first_batches[member.place] = FirstBatchSource(
                with_quick_batches(source), self.stopwatch
            )
        return self._first_batches[member.place]

    def _members(self, saes: LoadedSAEs, job: Job) -> tuple[Member, ...]:
        """The SAEs with their prepared content, each with the first batch of its source."""
        return tuple(
            Member(
                member.named_sae.label,
                member.sae,
                self._prepared[digest(prepared_key(saes, member, job, self.session))],
                self._first_batch(saes, member),
            )
            for member in saes.members
        )

    def _run_prepare(self, saes: LoadedSAEs, job: Job) -> Costs:
        """Get the prepared content of each place: from the cache, or from one batch."""
        seconds, size = 0.0, 0
        for member in saes.first_readers.values():
            key = prepared_key(saes, member, job, self.session)
            if digest(key) in self._prepared:
                continue
            content, spent = self._prepared_at(saes, member, job, key)
            self._prepared[digest(key)] = content
            if spent is not None:
                seconds, size = seconds + spent, size + _prepared_bytes(content)
        return Costs(prepare=seconds, prepared_bytes=size)

    def _prepared_at(
        self, saes: LoadedSAEs, member: LoadedSAE, job: Job, key: Mapping[str, Any]
    ) -> tuple[Prepared, float | None]:
        """Prepared content for what a member reads, and its seconds; None if it was cached."""
        spent: float | None = None

        def make() -> Prepared:
            nonlocal spent
            source = self._first_batch(saes, member)
            try:
                content, spent = self.stopwatch.timed(lambda: job.task.prepare(source, job.seed))
            except (NotApplicable, OutOfTime):
                raise
            except Exception as error:
                raise Unpredictable(f"unknown until prepared: {_error_text(error)}") from error
            return content

        return load_or_prepare(self.session.opening.store, key, make)[0], spent

    def _run_preflight(self, saes: LoadedSAEs, members: Sequence[Member]) -> tuple[Checks, float]:
        """The preflight and its seconds. It reads so little that it runs in full, as in a run."""
        full_members = [replace(member, source=_full_source(member.source)) for member in members]
        checks, spent = self.stopwatch.timed(lambda: run_preflight(saes, full_members))
        refuse(checks)
        return checks, spent

    def _lacks_floors(self, saes: LoadedSAEs, members: Sequence[Member], job: Job) -> bool:
        """Whether this job is the first to need the floors of its SAE's shape.

        The SAE's L0, which decides about the shape, is that of one batch.
        """
        (member,) = members
        try:
            shape, _ = self.stopwatch.timed(lambda: null_shape(member))
        except NoNull:
            return False
        key = floors_key(
            job, shape, lambda job: prepared_key(saes, saes.members[0], job, self.session)
        )
        if digest(key) in self._floors or has_prepared(self.session.opening.store, key):
            return False
        self._floors.add(digest(key))
        return True

    def _run_score(self, members: Sequence[Member], job: Job) -> _Scored:
        """What scoring takes. The evidence is thrown away."""

        def score() -> list[Evidence | Missing]:
            yielded = []
            for item in job.score_members(members):
                yielded.append(item)
                self.stopwatch.check()
            return yielded

        try:
            evidence, spent = self.stopwatch.timed(score)
        except (NotApplicable, OutOfTime):
            raise
        except Exception as error:
            raise Unpredictable(f"unknown: one batch gave {_error_text(error)}") from error
        finally:
            self._note_tokens(members)
        task = job.task
        summarised, size = _summarise(evidence, Labels("", task.name, task.version, job.seed))
        return _Scored(spent, summarised, size, needs_null(evidence) and not job.is_group)

    def _note_tokens(self, members: Sequence[Member]) -> None:
        for member in members:
            source = member.source
            if not isinstance(source, FirstBatchSource):
                continue
            if source.total_tokens > self.total_tokens:
                self.total_tokens, self.sample_tokens = source.total_tokens, source.sample_tokens
            source.release(member.sae)


def _full_source(source: ActivationSource) -> ActivationSource:
    """The real source behind a first batch."""
    return source.source if isinstance(source, FirstBatchSource) else source


def with_quick_batches(source: ActivationSource) -> ActivationSource:
    """The source with batches that the model runs in about `PASS_SECONDS`, and warmed up."""
    if not isinstance(source, ModelSource):
        return source
    earlier_misses = dict(source.store.lacking)
    rows = rows_to_look_at(source)
    row = None if rows is None else rows.take(slice(0, 1))
    tokens = source.batch_tokens
    if row is not None:
        _pass_seconds(source, row)  # not timed: a first pass has costs that later ones have not
        spent = max(_pass_seconds(source, row), 1e-6)
        tokens = min(tokens, int(row.attention.sum() * PASS_SECONDS / spent))
    # What these passes would have stored does not belong to the run, so it is not counted.
    source.store.lacking.clear()
    source.store.lacking.update(earlier_misses)
    return replace(source, batch_tokens=max(tokens, 1))


def _pass_seconds(source: ModelSource, rows: TokenRows) -> float:
    """Seconds of one pass over some rows."""
    began = time.perf_counter()
    for _ in source.final_hidden(rows) if has_logits(source) else source.batches(rows):
        pass
    return time.perf_counter() - began


def shape(saes: LoadedSAEs) -> tuple[Any, ...]:
    """Architecture and widths of each SAE, which decide about how long scoring takes."""
    members = [member.sae for member in saes.members]
    return tuple((origin_of(sae).architecture, sae.d_in, sae.d_sae) for sae in members)


def _error_text(error: Exception) -> str:
    return str(error) if isinstance(error, SaevalError) else f"{type(error).__name__}: {error}"


def _prepared_bytes(content: Prepared) -> int:
    tables = sum(int(table.memory_usage(index=False).sum()) for table in content.tables.values())
    facts = len(json.dumps(dict(content.facts)))
    return sum(array.nbytes for array in content.arrays.values()) + tables + facts


def _summarise(evidence: Sequence[Evidence | Missing], labels: Labels) -> tuple[float, int]:
    """Seconds that intervals take, and bytes that the result takes."""
    began = time.perf_counter()
    scores: tuple[Score, ...] = ()
    try:
        scores = scores_of(evidence, labels)
    except ResultError:  # a metric may be undefined on one batch and defined on all
        scores = (labels.score(status="failed", reason="undefined"),) * len(evidence)
    spent = time.perf_counter() - began
    measured = [item for item in evidence if isinstance(item, Evidence)]
    tables = distinct_tables(measured).values()
    numbers = sum(len(item.table) * 8 * (len(item.statistics) + 1) for item in tables)
    about = [*(score.row() for score in scores), *map(recipe, measured)]
    text = json.dumps(about, indent=1, default=str)
    return spent, numbers + len(text.encode()) + _PROVENANCE_BYTES
