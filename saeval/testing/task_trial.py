"""One task tried in one case: prepare, store and score, with errors turned into failures."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saeval.activations import ActivationSource
from saeval.errors import SaevalError
from saeval.evidence import Evidence, Missing
from saeval.results.from_evidence import scores_of
from saeval.results.score import Labels, Score
from saeval.running import prepared_cache
from saeval.sae import SAE
from saeval.task import Member, Prepared
from saeval.testing.cases import Case
from saeval.testing.same import difference
from saeval.testing.untouched import untouched

Yielded = Sequence[Evidence | Missing]


@dataclass(frozen=True)
class TaskTrial:
    """A task in one case. Failures begin with their names."""

    task: Any
    case: Case
    folder: Path
    """Folder of the source's store."""
    seed: int

    def fail(self, message: str) -> AssertionError:
        """A failure of this trial."""
        return AssertionError(f"{self.task.name} on {self.case.name}: {message}")


def prepare(trial: TaskTrial, positions: int) -> Prepared:
    """The content that the task prepares, at most so many positions per batch."""
    source = trial.case.open(trial.folder, positions)
    with _report_as_failure(trial, "prepare"):
        prepared = trial.task.prepare(source, trial.seed)
    if not isinstance(prepared, Prepared):
        raise trial.fail(
            f"`prepare` gives a {type(prepared).__name__}, which cannot be stored. Give a "
            "Prepared of arrays, tables and facts."
        )
    return prepared


def store_and_load(trial: TaskTrial, prepared: Prepared) -> Prepared:
    """The content as it comes back from disk, after a check that it is the same."""
    prepared_cache.check(prepared)
    with tempfile.TemporaryDirectory(dir=trial.folder) as folder:
        prepared_cache.save(prepared, Path(folder))
        stored = prepared_cache.load(Path(folder))
    changed = difference(prepared, stored)
    if changed:
        raise trial.fail(
            f"what `prepare` gives comes back changed from the store: {changed}. Arrays hold "
            "numbers, tables have text as column names, facts are JSON with text as keys."
        )
    return stored


def run_score(
    trial: TaskTrial, prepared: Prepared, positions: int, sae: SAE | None = None
) -> Yielded:
    """All that the task yields for an SAE, by default the random one. The SAE must not change.

    A group task gets the set of all SAEs of the case.
    """
    case, yielded = trial.case, []
    source = case.open(trial.folder, positions)
    with untouched(sae or case.random, trial.fail), _report_as_failure(trial, "score"):
        for entry in _call_score(trial, sae or case.random, prepared, source):
            if not isinstance(entry, Evidence | Missing):
                raise trial.fail(
                    f"`score` yields {entry!r:.60}, from which no interval and no comparison can "
                    "follow. Yield Evidence over named units, or Missing with a reason."
                )
            if isinstance(entry, Missing) and not entry.reason.strip():
                raise trial.fail(f"'{entry.metric}' is Missing for no reason. Say why.")
            yielded.append(entry)
    if not yielded:
        raise trial.fail(
            "`score` yields nothing, so that a table would be silent about it. Raise NotApplicable "
            "with the reason, or yield Missing for each metric."
        )
    return yielded


def _call_score(
    trial: TaskTrial, sae: SAE, prepared: Prepared, source: ActivationSource
) -> Iterable[Any]:
    task, case = trial.task, trial.case
    if not hasattr(task, "score_group"):
        return task.score(sae, prepared, source, trial.seed)
    saes = [case.random, *case.exact]
    members = [
        Member(f"member {number}", sae_of_case, prepared, source)
        for number, sae_of_case in enumerate(saes)
    ]
    return task.score_group(members, trial.seed)


@contextmanager
def _report_as_failure(trial: TaskTrial, method: str) -> Iterator[None]:
    """Turn unexpected errors into failures of a method; deliberate ones pass."""
    try:
        yield
    except (SaevalError, AssertionError) as error:
        error.add_note(
            f"`{method}` of the task raised this on {trial.case.name} (a case of check_task)."
        )
        raise
    except Exception as error:
        raise trial.fail(
            f"`{method}` raises {type(error).__name__}: {error}. Where the task cannot serve a "
            "source or an SAE it raises NotApplicable with the reason; where its data is off, "
            "DataError."
        ) from error


def scores_from(trial: TaskTrial, yielded: Yielded) -> tuple[Score, ...]:
    """Scores from evidence: finite, each metric and part once."""
    task = trial.task
    return scores_of(yielded, Labels("sae", task.name, task.version, trial.seed))
