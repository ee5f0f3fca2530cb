"""The records of a run: scores, and the results that they belong to."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from saeval.errors import ResultError

Status = Literal["scored", "not_applicable", "failed"]

DTYPES = {"task_version": "Int64", "seed": "Int64", "n": "Int64"} | dict.fromkeys(
    ("value", "stderr", "ci_low", "ci_high", "floor", "ceiling"), "float64"
)
"""Pandas' types of the columns that are numbers."""


@dataclass(frozen=True)
class Score:
    """One score, a row of every table and file. A column that does not apply is None.

    Raises:
        ResultError: if a number is not finite, or value, status and reason contradict each other.
    """

    sae: str | None
    """Name of the SAE; None for a score of a whole set."""
    set: str | None
    """Name of the set in which it was scored."""
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
    """The unit of n in the singular: `row`, `latent`. It has counts if units are crossed,
    `text x label (152 x 10)`, or nested, `word in letter (412 in 24)`."""
    unit: str | None
    """Unit of measure."""
    better: Literal["higher", "lower", "none"] | None
    floor: float | None
    """Value without any information, or that of a random SAE of equal width and L0."""
    ceiling: float | None
    """Best possible value."""
    status: Status
    reason: str | None
    """Why there is no value; for a scored metric, why there is no interval."""
    result_id: str | None

    def __post_init__(self) -> None:
        for name in DTYPES:
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

    @property
    def anchored(self) -> float | None:
        """Where the value lies between floor and ceiling: (value - floor) / (ceiling - floor).

        0 at the floor, 1 at the ceiling; below 0 where it is worse than the floor, above 1 where it
        is better than the ceiling. None without a value, either anchor or a better direction, or
        where both anchors are equal or the ceiling is on the worse side.
        """
        value, floor, ceiling = self.value, self.floor, self.ceiling
        if value is None or floor is None or ceiling is None:
            return None
        upwards = {"higher": 1, "lower": -1}.get(self.better or "", 0)
        if not upwards * (ceiling - floor) > 0:
            return None
        return (value - floor) / (ceiling - floor)

    def row(self) -> dict[str, Any]:
        """The columns in order, as plain JSON values, as files hold them."""
        return {name: getattr(self, name) for name in COLUMNS}

    def shown_row(self) -> dict[str, Any]:
        """The columns in order and `anchored`, which follows from them, as users see them."""
        return {name: getattr(self, name) for name in SHOWN_COLUMNS}


COLUMNS = tuple(item.name for item in fields(Score))
"""Columns of a score row everywhere: command line, API, files."""
SHOWN_COLUMNS = (*COLUMNS, "anchored")
"""Columns of a score row for users: command line and API."""


@dataclass(frozen=True)
class Labels:
    """Labels that all scores of one result share."""

    sae: str | None
    task: str
    task_version: int
    seed: int
    result_id: str | None = None
    set: str | None = None

    def score(self, **columns: Any) -> Score:
        """A score with these labels; columns that are not given are None.

        A task that scored nothing gives one such row, with only a status and a reason.
        """
        return Score(**{**dict.fromkeys(COLUMNS), **vars(self), **columns})


@dataclass(frozen=True)
class Result:
    """One SAE (or set), one task, one seed: the scores, and how to reproduce them."""

    result_id: str
    """20 hex digits, the `result_key` of its inputs."""
    sae: str | None
    """Name of the SAE. It is only a label: the key hashes the SAE's content."""
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
        task_score = next((score for score in scores if score.metric is None), None)
        status, reason = (task_score.status, task_score.reason) if task_score else ("scored", None)
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
        """The same result under the names of another request."""
        scores = tuple(replace(score, sae=sae, set=set) for score in self.scores)
        return replace(self, sae=sae, set=set, scores=scores)
