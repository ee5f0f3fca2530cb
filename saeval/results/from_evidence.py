"""From evidence to scores."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from saeval.errors import ResultError
from saeval.results.folder import INTERVAL
from saeval.results.score import COLUMNS, Labels, Score

if TYPE_CHECKING:
    from saeval.evidence import Evidence, Missing


def scores_of(evidence: "Iterable[Evidence | Missing]", labels: Labels) -> tuple[Score, ...]:
    """One score per metric yielded, in order; a Missing becomes `not_applicable`.

    Raises:
        ResultError: if a metric is undefined on its units, or yielded twice for one part.
    """
    from saeval.evidence import Evidence, summarise_all

    yielded = list(evidence)
    names = set()
    for entry in yielded:
        if (entry.metric, entry.part) in names:
            raise ResultError(
                f"{labels.task} yields '{entry.metric}' twice for part {entry.part}; a metric and "
                "a part name one score."
            )
        names.add((entry.metric, entry.part))
    measured = [entry for entry in yielded if isinstance(entry, Evidence)]
    resampling = {"replicates": INTERVAL["replicates"], "seed": INTERVAL["seed"]}
    summaries = iter(summarise_all(measured, **resampling))
    scores = []
    for entry in yielded:
        columns = {"metric": entry.metric, "part": entry.part, "better": entry.better}
        if isinstance(entry, Evidence):
            summary = {key: val for key, val in vars(next(summaries)).items() if key in COLUMNS}
            anchors = {"floor": entry.floor, "ceiling": entry.ceiling}
            columns |= {"unit": entry.unit, "unit_of_n": entry.unit_of_n, "status": "scored"}
            scores.append(labels.score(**columns, **anchors, **summary))
        else:
            columns |= {"unit": entry.unit or None, "status": "not_applicable"}
            scores.append(labels.score(**columns, reason=entry.reason))
    return tuple(scores)
