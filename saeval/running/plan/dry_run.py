"""What a job will cost, from running its task on one batch of the rows that it asks for."""

import json
import time
from collections.abc import Sequence
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
from saeval.running.plan.first_batch_source import FirstBatchSource, OutOfTime, Stopwatch
from saeval.running.preflight.checks import preflight, refuse
from saeval.running.preflight.reconstruction import take_sample
from saeval.running.prepared_cache import held, prepared
from saeval.running.scoring import Meeting, prepared_key, rows_to_look_at
from saeval.running.sources import Place
from saeval.sae import origin_of
from saeval.task import Prepared

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

    stopwatch: Stopwatch
    shown: int = 0
    """Tokens of the batch that was shown, where it stood for most."""
    asked: int = 0
    """Tokens for which it stood."""
    _glimpses: dict[Place | None, FirstBatchSource] = field(default_factory=dict)
    _prepared: dict[str, Prepared] = field(default_factory=dict)
    _scored: dict[Any, tuple[float, int]] = field(default_factory=dict)

    def costs(self, meeting: Meeting, job: Job) -> Costs:
        """Costs of a job, after those that were asked for before.

        Raises:
            Unpredictable: if the task cannot be run here and now, or would not score.
        """
        try:
            costs = self._prepare(meeting, job)
            if not meeting.checks:
                costs = replace(costs, preflight=self._check(meeting, job))
            work = (digest(prepared_key(meeting, job)), shape(meeting))
            if work not in self._scored:
                self._scored[work] = self._score(meeting, job)
        except OutOfTime as error:
            raise Unpredictable(f"unknown: rehearsals took {error}") from error
        except NotApplicable as error:
            raise Unpredictable(f"not applicable: {error}") from error
        except PreflightError as error:
            raise Unpredictable(f"will fail: {error}") from error
        seconds, size = self._scored[work]
        return replace(costs, score=seconds, results_bytes=size)

    def is_prepared(self, meeting: Meeting, job: Job) -> bool:
        """Whether the cache, or an earlier job of the plan, holds what the task prepares."""
        key = prepared_key(meeting, job)
        return digest(key) in self._prepared or held(meeting.session.opening.store, key)

    @property
    def code_bytes(self) -> float:
        """Most that codes of an SAE will hold in memory."""
        return max((glimpse.code_bytes for glimpse in self._glimpses.values()), default=0.0)

    def _glimpse(self, meeting: Meeting) -> FirstBatchSource:
        if meeting.place not in self._glimpses:
            with meeting.clock.phase("model"):
                source = meeting.session.sources.open(meeting.place)
            self._glimpses[meeting.place] = FirstBatchSource(suited(source), self.stopwatch)
        return self._glimpses[meeting.place]

    def _prepare(self, meeting: Meeting, job: Job) -> Costs:
        """Have what the task prepares: from the cache, or from one batch."""
        key = digest(prepared_key(meeting, job))
        if key in self._prepared:
            return Costs()
        seconds: list[float] = []

        def make() -> Prepared:
            glimpse = self._glimpse(meeting)
            try:
                ready, spent = self.stopwatch.timed(lambda: job.task.prepare(glimpse, job.seed))
            except (NotApplicable, OutOfTime):
                raise
            except Exception as error:
                raise Unpredictable(f"unknown until prepared: {_said(error)}") from error
            seconds.append(spent)
            return ready

        store = meeting.session.opening.store
        ready = prepared(store, prepared_key(meeting, job), make)
        self._prepared[key] = ready
        if not seconds:
            return Costs()
        return Costs(prepare=seconds[0], prepared_bytes=_prepared_bytes(ready))

    def _check(self, meeting: Meeting, job: Job) -> float:
        """Seconds of the preflight, which reads so little that it is held as in a run."""
        source = self._glimpse(meeting).source
        rows = self._prepared[digest(prepared_key(meeting, job))].rows

        def check() -> None:
            seen = rows or rows_to_look_at(source)
            sample = None if seen is None else take_sample(source, seen)
            found = [
                check
                for sae, claims in zip(meeting.saes, meeting.claims, strict=True)
                for check in preflight(sae, claims, source, sample)
            ]
            refuse(found)
            meeting.checks = tuple(found)

        return self.stopwatch.timed(check)[1]

    def _score(self, meeting: Meeting, job: Job) -> tuple[float, int]:
        """Seconds, and bytes of the result. What is yielded is thrown away."""
        glimpse = self._glimpse(meeting)
        ready = self._prepared[digest(prepared_key(meeting, job))]
        task, seed = job.task, job.seed

        def score() -> list[Evidence | Missing]:
            yielded = (
                task.score_group(meeting.saes, ready, glimpse, seed)
                if job.is_group
                else task.score(meeting.saes[0], ready, glimpse, seed)
            )
            found = []
            for each in yielded:
                found.append(each)
                self.stopwatch.check()
            return found

        try:
            evidence, spent = self.stopwatch.timed(score)
        except (NotApplicable, OutOfTime):
            raise
        except Exception as error:
            raise Unpredictable(f"unknown: one batch gave {_said(error)}") from error
        finally:
            if glimpse.asked > self.asked:
                self.asked, self.shown = glimpse.asked, glimpse.shown
            for sae in meeting.saes:
                glimpse.release(sae)
        summarised, size = _result(evidence, Labels("", task.name, task.version, seed))
        return spent + summarised, size


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


def shape(meeting: Meeting) -> tuple[Any, ...]:
    """What decides how long an SAE takes, about."""
    return tuple((origin_of(sae).architecture, sae.d_in, sae.d_sae) for sae in meeting.saes)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, SaevalError) else f"{type(error).__name__}: {error}"


def _prepared_bytes(ready: Prepared) -> int:
    tables = sum(int(table.memory_usage(index=False).sum()) for table in ready.tables.values())
    facts = len(json.dumps(dict(ready.facts)))
    all_rows = [*ready.more_rows.values(), *([] if ready.rows is None else [ready.rows])]
    tokens = sum(rows.ids.nbytes + 2 * rows.mask.nbytes for rows in all_rows)
    return sum(array.nbytes for array in ready.arrays.values()) + tokens + tables + facts


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
