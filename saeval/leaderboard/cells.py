"""Cells of a board: one SAE in one column, as a value with its evidence, or as what it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Literal

from saeval.errors import ResultError
from saeval.evidence import Evidence, content_digest, over_seeds, point_values
from saeval.leaderboard.entrants import Entrant, Filed, scores_named
from saeval.leaderboard.rank_sets import RankSet
from saeval.results.recompute import TOLERANCE
from saeval.results.score import Score

CellStatus = Literal[
    "scored", "not applicable", "failed", "missing", "other version", "other data",
    "imported", "unverified",
]  # fmt: skip
"""Only `scored` cells are ranked. `other version`, `other data` and `imported` have a value too."""
EvidenceOf = Callable[[Path], Sequence[Evidence]]
"""Evidence of the result in a folder; raises ResultError where it cannot be read."""


@dataclass(frozen=True)
class NullTest:
    """An SAE against the best of the board's nulls."""

    null: str
    """Label of the null SAE that scores best in this column."""
    verdict: Literal["better", "worse", "cannot be told", "not tested"]
    """After Holm's correction over the column's SAEs."""
    delta: float
    """Value of the SAE minus value of the null."""
    p: float | None
    """Not corrected; None where no test is valid."""
    reason: str | None = None
    """Why no test is valid."""


@dataclass(frozen=True)
class Cell:
    """One SAE in one column."""

    status: CellStatus
    reason: str | None = None
    """Why there is no value, or why it is not ranked; of a scored one, why it has no interval."""
    score: Score | None = None
    """The score, the mean over seeds; None where there is no value."""
    result_ids: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = field(default=(), repr=False, compare=False)
    """Of each seed, in the order of the board's; empty unless scored."""
    rank: RankSet | None = None
    beaten_nulls: int | None = None
    """How many of the nulls it scores better than."""
    nulls: int = 0
    """Null SAEs with a value in this column."""
    against_null: NullTest | None = None
    frontier: bool = False
    """Whether no other entry is as sparse and better, or sparser and as good."""

    @property
    def value(self) -> float | None:
        """The value, whether it is ranked or not."""
        return self.score.value if self.score else None

    @property
    def percentile(self) -> float | None:
        """Share of the nulls, in percent, that it scores better than."""
        if self.beaten_nulls is None or not self.nulls:
            return None
        return 100 * self.beaten_nulls / self.nulls


@dataclass(frozen=True)
class Asked:
    """What a column asks for: a metric of a task version, under each of some seeds."""

    task: str
    version: int
    metric: str
    seeds: tuple[int, ...]


def read_cell(entrant: Entrant, asked: Asked, evidence_of: EvidenceOf) -> Cell:
    """What an SAE has in a column. Whether it can be ranked with others shows `same_data`."""
    filed = entrant.of(asked.task)
    current = [one for one in filed if one.result.task_version == asked.version]
    if not filed:
        return Cell("missing", f"not scored on {asked.task}")
    if all(one.imported for one in filed):
        return _of_imported(filed, asked)
    if not current:
        return _of_other_version(filed, asked)
    by_seed: dict[int, Filed] = {}
    for one in current:
        by_seed.setdefault(one.result.seed, one)
    lacking = [seed for seed in asked.seeds if seed not in by_seed]
    if lacking:
        names = ", ".join(map(str, lacking))
        return Cell("missing", f"not scored under seed{'s' * (len(lacking) > 1)} {names}")
    return _of_seeds([by_seed[seed] for seed in asked.seeds], asked, evidence_of)


def _of_other_version(filed: Sequence[Filed], asked: Asked) -> Cell:
    """A value of the latest other version, kept and marked."""
    newest = max(filed, key=lambda one: one.result.task_version)
    score = scores_named(newest, asked.metric)
    version = newest.result.task_version
    reason = f"{asked.task} v{version}, while the board ranks v{asked.version}"
    score = score if score and score.value is not None else None
    return Cell("other version", reason, score, (newest.result.result_id,))


def _of_imported(filed: Sequence[Filed], asked: Asked) -> Cell:
    """A number that another harness published, whose versions and seeds are its own."""
    for one in filed:
        score = scores_named(one, asked.metric)
        if score is None or score.metric is None:
            continue
        ids = (one.result.result_id,)
        if score.status != "scored":
            return Cell("not applicable", score.reason, None, ids)
        reason = f"published by {one.imported} as a number, without evidence"
        return Cell("imported", reason, score, ids)
    return Cell("missing", f"{filed[0].imported} published no {asked.metric}")


def _of_seeds(filed: Sequence[Filed], asked: Asked, evidence_of: EvidenceOf) -> Cell:
    ids = tuple(one.result.result_id for one in filed)
    scores = [scores_named(one, asked.metric) for one in filed]
    found = [score for score in scores if score is not None]
    for score in sorted(found, key=lambda score: score.status != "failed"):
        if score.status != "scored":
            status = "failed" if score.status == "failed" else "not applicable"
            return Cell(status, score.reason, None, ids)
    if len(found) < len(scores) or any(score.metric is None for score in found):
        return Cell("missing", f"this result has no {asked.metric}", None, ids)
    try:
        evidence = [
            _evidence(one, score, evidence_of) for one, score in zip(filed, found, strict=True)
        ]
        score = _joined(found, evidence)
    except ResultError as error:
        return Cell("unverified", str(error), None, ids)
    return Cell("scored", score.reason, score, ids, tuple(evidence))


def _evidence(filed: Filed, score: Score, evidence_of: EvidenceOf) -> Evidence:
    """The evidence of a score, which gives its value.

    Raises:
        ResultError: if it is not there or damaged, or gives another value.
    """
    own = [
        entry
        for entry in evidence_of(filed.folder)
        if (entry.metric, entry.part) == (score.metric, None)
    ]
    if not own:
        raise ResultError(f"There is no evidence of {score.metric}.")
    if own[0].units.data is None:
        raise ResultError("Its evidence does not say what data it was measured on.")
    value = point_values(own[:1])[0][0]
    if abs(value - (score.value or 0.0)) > TOLERANCE * max(1.0, abs(value)):
        raise ResultError(f"It states {score.value!r}, and its evidence gives {value!r}.")
    return own[0]


def _joined(scores: Sequence[Score], evidence: Sequence[Evidence]) -> Score:
    """The score of one seed as it is, or the mean over several with its interval."""
    if len(scores) == 1:
        return scores[0]
    found = over_seeds(evidence)
    return replace(
        _mean_of_values(scores),
        value=found.mean,
        stderr=found.stderr,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        reason=found.reason,
    )


def _mean_of_values(scores: Sequence[Score]) -> Score:
    """The mean over seeds of value and anchors, without an interval unless there is one seed."""
    if len(scores) == 1:
        return scores[0]
    values = [score.value for score in scores if score.value is not None]
    return replace(
        scores[0],
        value=fmean(values),
        stderr=None,
        ci_low=None,
        ci_high=None,
        floor=_mean([score.floor for score in scores]),
        ceiling=_mean([score.ceiling for score in scores]),
    )


def _mean(anchors: Sequence[float | None]) -> float | None:
    known = [anchor for anchor in anchors if anchor is not None]
    return fmean(known) if len(known) == len(anchors) else None


def data_key(cell: Cell) -> str:
    """A digest of what a scored cell was measured on and how: equal where two can be compared."""
    digests = []
    for entry in cell.evidence:
        table = entry.units.table[["part", "unit_id", "cluster", "weight"]]
        ordered = table.iloc[entry.units.rows(entry.part)].sort_values(
            ["part", "unit_id"], kind="stable"
        )
        labels = [
            [str(label) for label in ordered[name].to_numpy(object)]
            for name in ("part", "unit_id", "cluster")
        ]
        question = (entry.metric, entry.unit, entry.aggregator, sorted(entry.settings.items()))
        data = sorted((entry.units.data or {}).items())
        digests.append(
            content_digest(*labels, ordered["weight"].to_numpy(), repr(question), repr(data))
        )
    return content_digest(digests)
