"""What a job will cost, from running its task on one batch of the rows that it asks for."""

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
from saeval.running.jobs import Job
from saeval.running.loading import Loaded, LoadedSAE
from saeval.running.places import SiteSpec
from saeval.running.plan.first_batch_source import FirstBatchSource, OutOfTime, Stopwatch
from saeval.running.preflight.checks import refuse
from saeval.running.preflight.members import Checks
from saeval.running.preflight.sample_rows import rows_to_look_at
from saeval.running.prepared_cache import held, prepared
from saeval.running.scoring import check_ready, prepared_key
from saeval.running.session import Session
from saeval.sae import origin_of
from saeval.task import Member, Prepared

PASS_SECONDS = 0.15
"""What one pass of the model over the batch that is shown may take, about."""
_PROVENANCE_BYTES = 5000
"""Of a result.json, beside scores and recipes."""


class Unpredictable(Exception):
    """A job that could not be rehearsed, and why."""


@dataclass(frozen=True)
class Costs:
    """What one job adds to a run."""

    prepare: float = 0.0
    """Seconds; 0 where that was done before, or for another job of the plan."""
    preflight: float = 0.0
    """Seconds, likewise."""
    score: float = 0.0
    """Seconds, intervals included."""
    prepared_bytes: int = 0
    results_bytes: int = 0


@dataclass
class Stage:
    """Rehearses the jobs of a plan, work of one kind once."""

    session: Session
    stopwatch: Stopwatch
    shown: int = 0
    """Tokens of the batch that was shown, where it stood for most."""
    asked: int = 0
    """Tokens for which it stood."""
    _first_batches: dict[SiteSpec | None, FirstBatchSource] = field(default_factory=dict)
    _prepared: dict[str, Prepared] = field(default_factory=dict)
    _scored: dict[Any, tuple[float, int]] = field(default_factory=dict)

    def costs(self, loaded: Loaded, job: Job, checks: Checks) -> tuple[Costs, Checks]:
        """Costs of a job, after those that were asked for before.

        Args:
            loaded: SAEs to be scored together.
            job: The task under a seed.
            checks: Of the preflight, if an earlier job of these SAEs held it; else none.

        Returns:
            The costs, and the checks for the next job.

        Raises:
            Unpredictable: if the task cannot be run here and now, or would not score.
        """
        try:
            costs = self._prepare(loaded, job)
            members = self._members(loaded, job)
            if not checks:
                checks, spent = self._check(loaded, members)
                costs = replace(costs, preflight=spent)
            keys = [digest(key) for key in self._keys(loaded, job)]
            work = (*dict.fromkeys(keys), shape(loaded))
            if work not in self._scored:
                self._scored[work] = self._score(members, job)
        except OutOfTime as error:
            raise Unpredictable(f"unknown: rehearsals took {error}") from error
        except NotApplicable as error:
            raise Unpredictable(f"not applicable: {error}") from error
        except PreflightError as error:
            raise Unpredictable(f"will fail: {error}") from error
        seconds, size = self._scored[work]
        return replace(costs, score=seconds, results_bytes=size), checks

    def is_prepared(self, loaded: Loaded, job: Job) -> bool:
        """Whether the cache, or an earlier job of the plan, holds what the task prepares."""
        store = self.session.opening.store
        return all(
            digest(key) in self._prepared or held(store, key) for key in self._keys(loaded, job)
        )

    @property
    def code_bytes(self) -> float:
        """Most that codes of an SAE will hold in memory."""
        return max((first.code_bytes for first in self._first_batches.values()), default=0.0)

    def _keys(self, loaded: Loaded, job: Job) -> list[dict[str, Any]]:
        """Of what the task prepares, for each member."""
        return [prepared_key(loaded, member, job, self.session) for member in loaded.members]

    def _first_batch(self, loaded: Loaded, member: LoadedSAE) -> FirstBatchSource:
        if member.place not in self._first_batches:
            with loaded.clock.phase("model"):
                source = self.session.sources.open(member.place)
            self._first_batches[member.place] = FirstBatchSource(suited(source), self.stopwatch)
        return self._first_batches[member.place]

    def _members(self, loaded: Loaded, job: Job) -> tuple[Member, ...]:
        """The SAEs with what was prepared for them, each on one batch of what it reads."""
        return tuple(
            Member(
                member.named.label,
                member.sae,
                self._prepared[digest(prepared_key(loaded, member, job, self.session))],
                self._first_batch(loaded, member),
            )
            for member in loaded.members
        )

    def _prepare(self, loaded: Loaded, job: Job) -> Costs:
        """Have what the task prepares at each place: from the cache, or from one batch."""
        seconds, size = 0.0, 0
        for member in loaded.first_readers.values():
            key = prepared_key(loaded, member, job, self.session)
            if digest(key) in self._prepared:
                continue
            ready, spent = self._prepared_at(loaded, member, job, key)
            self._prepared[digest(key)] = ready
            if spent is not None:
                seconds, size = seconds + spent, size + _prepared_bytes(ready)
        return Costs(prepare=seconds, prepared_bytes=size)

    def _prepared_at(
        self, loaded: Loaded, member: LoadedSAE, job: Job, key: Mapping[str, Any]
    ) -> tuple[Prepared, float | None]:
        """What the task prepares where a member reads, and seconds; None if it was there."""
        spent: float | None = None

        def make() -> Prepared:
            nonlocal spent
            first = self._first_batch(loaded, member)
            try:
                ready, spent = self.stopwatch.timed(lambda: job.task.prepare(first, job.seed))
            except (NotApplicable, OutOfTime):
                raise
            except Exception as error:
                raise Unpredictable(f"unknown until prepared: {_said(error)}") from error
            return ready

        return prepared(self.session.opening.store, key, make)[0], spent

    def _check(self, loaded: Loaded, members: Sequence[Member]) -> tuple[Checks, float]:
        """The preflight and its seconds; it reads so little that it is held as in a run."""
        whole = [replace(one, source=_whole(one.source)) for one in members]
        checks, spent = self.stopwatch.timed(lambda: check_ready(loaded, whole))
        refuse(checks)
        return checks, spent

    def _score(self, members: Sequence[Member], job: Job) -> tuple[float, int]:
        """Seconds, and bytes of the result. What is yielded is thrown away."""

        def score() -> list[Evidence | Missing]:
            yielded = []
            for each in job.evidence(members):
                yielded.append(each)
                self.stopwatch.check()
            return yielded

        try:
            evidence, spent = self.stopwatch.timed(score)
        except (NotApplicable, OutOfTime):
            raise
        except Exception as error:
            raise Unpredictable(f"unknown: one batch gave {_said(error)}") from error
        finally:
            self._note_what_was_shown(members)
        task = job.task
        summarised, size = _result(evidence, Labels("", task.name, task.version, job.seed))
        return spent + summarised, size

    def _note_what_was_shown(self, members: Sequence[Member]) -> None:
        for member in members:
            source = member.source
            if not isinstance(source, FirstBatchSource):
                continue
            if source.asked > self.asked:
                self.asked, self.shown = source.asked, source.shown
            source.release(member.sae)


def _whole(source: ActivationSource) -> ActivationSource:
    """What the first batch stands for."""
    return source.source if isinstance(source, FirstBatchSource) else source


def suited(source: ActivationSource) -> ActivationSource:
    """The source with batches that the model runs in about `PASS_SECONDS`, and warm."""
    if not isinstance(source, ModelSource):
        return source
    lacking = dict(source.store.lacking)
    rows = rows_to_look_at(source)
    row = None if rows is None else rows.take(slice(0, 1))
    tokens = source.batch_tokens
    if row is not None:
        _seconds(source, row)  # the first pass is slow for other reasons
        spent = max(_seconds(source, row), 1e-6)
        tokens = min(tokens, int(row.attention.sum() * PASS_SECONDS / spent))
    source.store.lacking.clear()
    source.store.lacking.update(lacking)
    return replace(source, batch_tokens=max(tokens, 1))


def _seconds(source: ModelSource, rows: TokenRows) -> float:
    """What one pass over some rows takes."""
    began = time.perf_counter()
    for _ in source.final_hidden(rows) if has_logits(source) else source.batches(rows):
        pass
    return time.perf_counter() - began


def shape(loaded: Loaded) -> tuple[Any, ...]:
    """What decides how long an SAE takes, about."""
    saes = [member.sae for member in loaded.members]
    return tuple((origin_of(sae).architecture, sae.d_in, sae.d_sae) for sae in saes)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, SaevalError) else f"{type(error).__name__}: {error}"


def _prepared_bytes(ready: Prepared) -> int:
    tables = sum(int(table.memory_usage(index=False).sum()) for table in ready.tables.values())
    facts = len(json.dumps(dict(ready.facts)))
    return sum(array.nbytes for array in ready.arrays.values()) + tables + facts


def _result(evidence: Sequence[Evidence | Missing], labels: Labels) -> tuple[float, int]:
    """Seconds that intervals take, and bytes that the result takes."""
    began = time.perf_counter()
    scores: tuple[Score, ...] = ()
    try:
        scores = scores_of(evidence, labels)
    except ResultError:  # a metric may be undefined on one batch alone
        scores = (labels.score(status="failed", reason="undefined"),) * len(evidence)
    spent = time.perf_counter() - began
    found = [each for each in evidence if isinstance(each, Evidence)]
    tables = distinct_tables(found).values()
    numbers = sum(len(each.table) * 8 * (len(each.statistics) + 1) for each in tables)
    about = [*(score.row() for score in scores), *map(recipe, found)]
    text = json.dumps(about, indent=1, default=str)
    return spent, numbers + len(text.encode()) + _PROVENANCE_BYTES
