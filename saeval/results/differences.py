"""The paired difference of two SAEs of a run, seed by seed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from saeval.errors import ResultError, suggestion
from saeval.results.score import Score
from saeval.results.task_seeds import EvidenceOf

if TYPE_CHECKING:
    from saeval.evidence import Difference, Evidence, SeedDifference


def difference(
    scores: Sequence[Score],
    evidence_of: EvidenceOf,
    first: str,
    second: str,
    metric: str,
    task: str | None = None,
) -> "Difference | SeedDifference":
    """The value of the first SAE less that of the second, by the evidence of both; of all data.

    Args:
        scores: Of the run.
        evidence_of: The evidence of a result.
        first: Name of an SAE, or of a set.
        second: The same of the other.
        metric: Name of the metric.
        task: Task that reports it; needed only where several do.

    Raises:
        ResultError: if a name is unknown or a task not unique, one of the two lacks a seed or a
            value, or the evidence is gone or of other data.
    """
    from saeval.evidence import compare, compare_seeds

    whole = [score for score in scores if score.part is None and score.metric is not None]
    whole = [score for score in whole if task in (None, score.task)]
    _check_known("metric", metric, [score.metric for score in whole])
    of_metric = [score for score in whole if score.metric == metric]
    tasks = dict.fromkeys(score.task for score in of_metric)
    if len(tasks) > 1:
        raise ResultError(f"'{metric}' is a metric of {', '.join(tasks)}; say which task is meant.")
    sides = [_by_seed(of_metric, name) for name in (first, second)]
    if sides[0].keys() != sides[1].keys():
        of_each = [", ".join(map(str, sorted(side))) for side in sides]
        raise ResultError(
            f"'{first}' and '{second}' are compared over equal seeds, and have '{metric}' of seeds "
            f"{of_each[0]} and {of_each[1]}. Score both under the same seeds."
        )
    pairs = [
        (_evidence(sides[0][seed], evidence_of), _evidence(sides[1][seed], evidence_of))
        for seed in sorted(sides[0])
    ]
    return compare_seeds(pairs) if len(pairs) > 1 else compare(*pairs[0])


def _check_known(kind: str, name: str, names: Sequence[str | None]) -> None:
    known = list(dict.fromkeys(each for each in names if each))
    if name not in known:
        hint = suggestion(name, known)
        raise ResultError(f"There is no {kind} '{name}' among these scores.{hint}")


def _by_seed(scores: Sequence[Score], name: str) -> dict[int, Score]:
    """Seed -> the score of an SAE."""
    _check_known("SAE", name, [score.sae or score.set for score in scores])
    return {score.seed: score for score in scores if (score.sae or score.set) == name}


def _evidence(score: Score, evidence_of: EvidenceOf) -> "Evidence":
    if score.value is None:
        raise ResultError(
            f"'{score.metric}' of '{score.sae or score.set}' has no value under seed {score.seed}: "
            f"{score.reason}"
        )
    found = [
        entry
        for entry in evidence_of(score.result_id or "")
        if (entry.metric, entry.part) == (score.metric, None)
    ]
    if not found:
        raise ResultError(f"There is no evidence of '{score.metric}' of seed {score.seed}.")
    return found[0]
