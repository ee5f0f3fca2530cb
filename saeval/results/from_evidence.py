"""From evidence to scores."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from saeval.errors import ResultError
from saeval.results.folder import INTERVAL
from saeval.results.score import COLUMNS, Labels, Score

if TYPE_CHECKING:
    from saeval.evidence import Evidence, Missing


def scores_of(evidence: "Iterable[Evidence | Missing]", labels: Labels) -> tuple[Score, ...]:
    """A score for each piece of evidence, in order; a Missing becomes `not_applicable`.

    Raises:
        ResultError: if a metric is undefined on its units, or yielded twice for one part.
    """
    from saeval.evidence import Evidence, summarise_all

    yielded = list(evidence)
    seen = set()
    for each in yielded:
        if (each.metric, each.part) in seen:
            raise ResultError(
                f"{labels.task} yields '{each.metric}' twice for part {each.part}; a metric and a "
                "part name one score."
            )
        seen.add((each.metric, each.part))
    measured = [each for each in yielded if isinstance(each, Evidence)]
    drawn = {"replicates": INTERVAL["replicates"], "seed": INTERVAL["seed"]}
    summaries = iter(summarise_all(measured, **drawn))
    scores = []
    for each in yielded:
        named = {"metric": each.metric, "part": each.part, "better": each.better}
        if isinstance(each, Evidence):
            summary = {key: val for key, val in vars(next(summaries)).items() if key in COLUMNS}
            anchors = {"floor": each.floor, "ceiling": each.ceiling}
            named |= {"unit": each.unit, "unit_of_n": each.unit_of_n, "status": "scored"}
            scores.append(labels.score(**named, **anchors, **summary))
        else:
            named |= {"unit": each.unit or None, "status": "not_applicable"}
            scores.append(labels.score(**named, reason=each.reason))
    return tuple(scores)
