"""What a run says: scores, the results they belong to, and the key that inputs give a result."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

from saeval.errors import ResultError

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["scored", "not_applicable", "failed"]

_DTYPES = {"task_version": "Int64", "seed": "Int64", "n": "Int64"} | dict.fromkeys(
    ("value", "stderr", "ci_low", "ci_high", "floor", "ceiling"), "float64"
)


@dataclass(frozen=True)
class Score:
    """One row of every table and file. None where a column does not apply.

    Raises:
        ResultError: if a number is not finite, or value, status and reason contradict each other.
    """

    sae: str | None
    """Name of the SAE; None for a score of a whole set."""
    set: str | None
    """Name of the set it was scored in."""
    task: str
    task_version: int
    seed: int
    part: str | None
    """Part of the task's data; None for all of it."""
    metric: str | None
    """None for a task that scored nothing, which is one row."""
    value: float | None
    """None unless scored."""
    stderr: float | None
    ci_low: float | None
    """Lower end of the 95 % interval."""
    ci_high: float | None
    n: int | None
    """Units behind the value."""
    unit_of_n: str | None
    """What one of the n is, in the singular: `row`, `latent`. With numbers where units are crossed,
    `text x label (152 x 10)`, or nested, `word in letter (412 in 24)`."""
    unit: str | None
    """Unit of measure."""
    better: Literal["higher", "lower", "none"] | None
    floor: float | None
    """Value of knowing nothing."""
    ceiling: float | None
    """Best possible value."""
    status: Status
    reason: str | None
    """Why there is no value; for a scored metric, why there is no interval."""
    result_id: str | None

    def __post_init__(self) -> None:
        for name in _DTYPES:
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ResultError(
                    f"Score {self.task}/{self.metric}: {name} is {number}; a score has finite "
                    "numbers, or a status and a reason."
                )
        if self.status not in get_args(Status):
            raise ResultError(f"Score {self.task}/{self.metric}: no status '{self.status}'.")
        if (self.value is not None) != (self.status == "scored"):
            raise ResultError(
                f"Score {self.task}/{self.metric}: value {self.value} with status "
                f"'{self.status}'; only what is scored has a value."
            )
        if self.status != "scored" and not self.reason:
            raise ResultError(f"Score {self.task}/{self.metric} is {self.status} for no reason.")

    def row(self) -> dict[str, Any]:
        """The columns in order, as plain JSON values."""
        return {name: getattr(self, name) for name in COLUMNS}


COLUMNS = tuple(item.name for item in fields(Score))
"""Columns of a score row everywhere: command line, API, files."""


@dataclass(frozen=True)
class Labels:
    """What all scores of one result have in common."""

    sae: str | None
    task: str
    task_version: int
    seed: int
    result_id: str | None = None
    set: str | None = None

    def score(self, **columns: Any) -> Score:
        """A score with these labels; columns not named are None.

        A task that scored nothing is one such row with a status and a reason alone.
        """
        return Score(**{**dict.fromkeys(COLUMNS), **vars(self), **columns})


@dataclass(frozen=True)
class Result:
    """One SAE (or set), one task, one seed: what was found, and how to find it again."""

    result_id: str
    """20 hex digits, the `result_key` of its inputs."""
    sae: str | None
    """Name of the SAE, a label only: identity is the content that the key hashes."""
    task: str
    task_version: int
    seed: int
    status: Status
    reason: str | None
    """Why the task as a whole is not scored."""
    scores: tuple[Score, ...]
    provenance: Mapping[str, Any]
    """JSON-like: hashes, versions, device, time and memory."""
    run: Mapping[str, Any]
    """The configuration that reproduces it."""
    evidence: tuple[str, ...] = ()
    """File names of the evidence tables."""
    set: str | None = None
    """Name of the set."""

    @classmethod
    def of(
        cls,
        labels: Labels,
        scores: Sequence[Score],
        *,
        provenance: Mapping[str, Any],
        run: Mapping[str, Any],
    ) -> "Result":
        """A result from its scores; a row without a metric speaks for the whole task."""
        whole = next((score for score in scores if score.metric is None), None)
        status, reason = (whole.status, whole.reason) if whole else ("scored", None)
        return cls(
            str(labels.result_id),
            labels.sae,
            labels.task,
            labels.task_version,
            labels.seed,
            status,
            reason,
            tuple(scores),
            provenance,
            run,
            set=labels.set,
        )

    def renamed(self, *, sae: str | None, set: str | None) -> "Result":  # noqa: A002  its column
        """The same result under the names of another request: content decides, names are labels."""
        scores = tuple(replace(score, sae=sae, set=set) for score in self.scores)
        return replace(self, sae=sae, set=set, scores=scores)


class Results(Sequence[Result]):
    """The results of a run, in the order of the request."""

    def __init__(self, results: Sequence[Result]) -> None:
        self._results = tuple(results)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> "Results": ...
    def __getitem__(self, index: int | slice) -> "Result | Results":
        found = self._results[index]
        return found if isinstance(found, Result) else Results(found)

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results)

    @property
    def results(self) -> tuple[Result, ...]:
        """All of them."""
        return self._results

    @property
    def scores(self) -> tuple[Score, ...]:
        """Every score of every result."""
        return tuple(score for result in self._results for score in result.scores)

    @property
    def failed(self) -> bool:
        """Whether anything failed. Not applicable is an outcome, not a failure."""
        return any(score.status == "failed" for score in self.scores)

    def to_pandas(self) -> "pd.DataFrame":
        """One row a score, `COLUMNS` in order; absent numbers are NaN or NA, absent texts None."""
        import pandas as pd

        rows = [score.row() for score in self.scores]
        return pd.DataFrame(
            {
                name: pd.Series([row[name] for row in rows], dtype=_DTYPES.get(name, "object"))
                for name in COLUMNS
            }
        )

    def __repr__(self) -> str:
        """How many there are, and the scores over whole tasks."""
        count = f"{len(self)} result{'s' if len(self) != 1 else ''}"
        lines = [f"{count}, {len(self.scores)} scores{', some failed' if self.failed else ''}"]
        lines += [
            f"  {score.sae or score.set}  {score.task}  {_in_brief(score)}"
            for score in self.scores
            if score.part is None
        ]
        most = 30
        return "\n".join(lines[:most] + (["  ..."] if len(lines) > most else []))


def _in_brief(score: Score) -> str:
    if score.value is None:
        return f"{score.metric or ''}  {score.status.replace('_', ' ')}: {score.reason}".lstrip()
    ends = "" if score.ci_low is None else f" [{score.ci_low:.4g}, {score.ci_high:.4g}]"
    return f"{score.metric}  {score.value:.4g}{ends} {score.unit or ''}".rstrip()
