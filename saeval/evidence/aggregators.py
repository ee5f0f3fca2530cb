"""The closed registry of aggregators: named, versioned ways to turn units into one number.

Each takes many weightings of the same rows at once. The first weighting is the data itself, so the
first number is the score; the others are its bootstrap replicates.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

Scalar = str | int | float | bool
Parameters = Mapping[str, Scalar]
Columns = Mapping[str, Float[np.ndarray, " rows"]]
"""Role -> statistic, such as `num` -> squared error of each row."""
Sums = Mapping[str, Float[np.ndarray, "weightings groups"]]
"""Role -> weighted sum over the rows of each group."""
Keys = Mapping[str, Float[np.ndarray, " groups"]]
"""Key role -> its value in each group, such as `setting` -> 0, 1, 2."""
Numbers = Float[np.ndarray, " weightings"]
"""One number per weighting; NaN where the statistic is undefined under that weighting."""


@dataclass(frozen=True)
class Aggregator:
    """How a statistic is computed, from which columns. Either `of_sums` or `of_rows` is set."""

    needs: tuple[str, ...]
    """Roles that must have a column."""
    of_sums: Callable[[Sums, Keys, Parameters], Numbers] | None = None
    """The statistic from sums of its terms, for one that needs only sums."""
    of_rows: (
        Callable[[Columns, Float[np.ndarray, "weightings rows"], Parameters], Numbers] | None
    ) = None
    """The statistic from rows and their weights, for one that ranks rows."""
    ones: tuple[str, ...] = ()
    """Roles that are 1 in every row if they have no column: an average has denominator 1."""
    keys: tuple[str, ...] = ()
    """Roles whose values name groups. Each group is summed apart; keys are never summed."""
    labels: tuple[str, ...] = ()
    """Roles that may have a column of labels, which is never summed: only the rarer label tells how
    many units bear on the number, as for an area under the ROC curve."""
    by_part: bool = False
    """Whether the groups are the parts if there is no `group` column."""
    parameters: Parameters = field(default_factory=dict)
    """Parameters and their defaults."""
    terms: Callable[[Columns], Columns] = dict
    """The terms to sum, computed from the stored columns."""
    refuse: Callable[[Columns, Parameters], str | None] = lambda _columns, _parameters: None
    """A text that says what is wrong with rows or parameters; None if nothing is."""
    counts: Callable[[Columns], int] = lambda columns: len(next(iter(columns.values())))
    """n: the units behind the number. A unit under several settings counts once."""


def _ratio(
    num: Float[np.ndarray, "weightings groups"], den: Float[np.ndarray, "weightings groups"]
) -> Float[np.ndarray, "weightings groups"]:
    """Ratio of sums, NaN where den is 0 or has another sign than in the data.

    A denominator that changes sign under resampling cannot be told from zero, and the ratio
    then passes through infinity: no percentile of it means anything.
    """
    sound = den * den[:1] > 0
    return np.where(sound, num / np.where(sound, den, 1.0), np.nan)


def ratio_of_sums(sums: Sums, _keys: Keys, _parameters: Parameters) -> Numbers:
    """sum(num) / sum(den): a mean, a rate, an F1 (2TP over 2TP + FP + FN), an FVU."""
    return _ratio(sums["num"], sums["den"])[:, 0]


def difference_of_ratios(sums: Sums, _keys: Keys, _parameters: Parameters) -> Numbers:
    """sum(num_a) / sum(den_a) - sum(num_b) / sum(den_b), both over the same rows."""
    ratio_a = _ratio(sums["num_a"], sums["den_a"])
    return (ratio_a - _ratio(sums["num_b"], sums["den_b"]))[:, 0]


def macro_average(sums: Sums, _keys: Keys, _parameters: Parameters) -> Numbers:
    """Mean over groups, or parts, of the ratio of sums in each; every group counts the same.

    `multiplicity` (how often a weighting drew each group) is set only if the groups themselves are
    resampled, not rows within fixed groups.
    """
    ratios = _ratio(sums["num"], sums["den"])
    multiplicity = sums.get("multiplicity", np.ones_like(ratios))
    return (ratios * multiplicity).sum(1) / multiplicity.sum(1)


def frontier_area(sums: Sums, _keys: Keys, parameters: Parameters) -> Numbers:
    """Area under the frontier of settings, as a fraction of the box the parameters span.

    Setting s lies at x = sum(x_num) / sum(x_den), y likewise; more is better on both axes. At
    each x the frontier is the best y among settings that reach at least x, a staircase without
    interpolation, and y_low where none does. So a setting that buys y with all of x adds nothing,
    and neither does one that another setting beats on both axes.

    Source: the hypervolume of Zitzler and Thiele, "Multiobjective optimization using
    evolutionary algorithms" (1998), in two dimensions with (x_low, y_low) as reference point.
    """
    points = []
    for axis in ("x", "y"):
        low, high = float(parameters[f"{axis}_low"]), float(parameters[f"{axis}_high"])
        position = _ratio(sums[f"{axis}_num"], sums[f"{axis}_den"])
        points.append(np.clip((position - low) / (high - low), 0, 1))
    order = np.argsort(-points[0], axis=1, kind="stable")
    x, y = (np.take_along_axis(axis, order, 1) for axis in points)
    width = x - np.concatenate([x[:, 1:], np.zeros_like(x[:, :1])], 1)
    return (width * np.maximum.accumulate(y, 1)).sum(1)


def best_setting(sums: Sums, keys: Keys, parameters: Parameters) -> Numbers:
    """Ratio of sums of the best setting, chosen on other rows than those that score it.

    Rows with role 0 choose the setting with the largest ratio (the smallest where `maximise` is
    false; the first of equals), rows with role 1 score it. Every replicate chooses anew, so that
    the interval includes the choice.
    """
    ratios = _ratio(sums["num"], sums["den"])
    order = np.argsort(keys["setting"], kind="stable")
    select_groups = [g for g in order if keys["role"][g] == 0]
    score_groups = {keys["setting"][g]: g for g in order if keys["role"][g] == 1}
    select_ratios = ratios[:, select_groups] * (1 if parameters["maximise"] else -1)
    defined = ~np.isnan(select_ratios).any(1)
    best = np.where(np.isnan(select_ratios), -np.inf, select_ratios).argmax(1)
    score_group = np.array([score_groups[keys["setting"][g]] for g in select_groups])[best]
    return np.where(defined, ratios[np.arange(len(ratios)), score_group], np.nan)


def _matched_terms(columns: Columns) -> Columns:
    return {"num": columns["value"] * columns["match"], "den": columns["match"]}


def auc(
    columns: Columns, weights: Float[np.ndarray, "weightings rows"], _parameters: Parameters
) -> Numbers:
    """Area under the ROC curve: P(score of a label-1 row > that of a label-0 row), ties half.

    0.5 for a score without information. Undefined unless both labels have weight.

    Source: the Mann-Whitney form, Hanley and McNeil, "The meaning and use of the area under a
    receiver operating characteristic (ROC) curve" (1982), with weighted rows.
    """
    score, is_one = columns["score"], columns["label"] == 1
    ones = np.flatnonzero(is_one)
    zeros = np.flatnonzero(~is_one)
    zeros = zeros[np.argsort(score[zeros], kind="stable")]
    below = np.zeros((len(weights), len(zeros) + 1))
    np.cumsum(weights[:, zeros], axis=1, out=below[:, 1:])
    ties_begin = np.searchsorted(score[zeros], score[ones], side="left")
    ties_end = np.searchsorted(score[zeros], score[ones], side="right")
    won = weights[:, ones]
    total = won.sum(1) * below[:, -1]
    pairs = (won * (below[:, ties_begin] + below[:, ties_end])).sum(1) / 2
    return np.where(total > 0, pairs / np.where(total > 0, total, 1.0), np.nan)


def _refuse_labels(columns: Columns, _parameters: Parameters) -> str | None:
    labels = np.unique(columns["label"])
    if not np.array_equal(labels, [0, 1]):
        return f"its labels must be 0 and 1, both present, but are {labels[:5].tolist()}"
    return None


def _refuse_box(_columns: Columns, parameters: Parameters) -> str | None:
    for axis in ("x", "y"):
        low, high = parameters[f"{axis}_low"], parameters[f"{axis}_high"]
        if not float(low) < float(high):
            return f"{axis}_low {low} must be below {axis}_high {high}"
    return None


def _refuse_roles(columns: Columns, _parameters: Parameters) -> str | None:
    role, setting = columns["role"], columns["setting"]
    if not np.isin(role, (0, 1)).all():
        return f"role must be 0 (select) or 1 (score), not {role[~np.isin(role, (0, 1))][0]}"
    alone = np.setxor1d(setting[role == 0], setting[role == 1])
    if len(alone):
        return f"setting {alone[0]:g} has rows to select on or to score on, but not both"
    return None


def _largest_setting(columns: Columns) -> int:
    """Number of rows of the largest setting, without the rows that only select."""
    scored = columns["setting"][columns["role"] == 1 if "role" in columns else slice(None)]
    return int(np.unique(scored, return_counts=True)[1].max())


AGGREGATORS: Mapping[str, Aggregator] = MappingProxyType(
    {
        "ratio_of_sums/1": Aggregator(("num",), ratio_of_sums, ones=("den",), labels=("label",)),
        "difference_of_ratios/1": Aggregator(
            ("num_a", "num_b"), difference_of_ratios, ones=("den_a", "den_b")
        ),
        "auc/1": Aggregator(("score", "label"), of_rows=auc, refuse=_refuse_labels),
        "macro_average/1": Aggregator(
            ("num",),
            macro_average,
            ones=("den",),
            labels=("label",),
            keys=("group",),
            by_part=True,
        ),
        "frontier_area/1": Aggregator(
            ("setting", "x_num", "y_num"),
            frontier_area,
            ones=("x_den", "y_den"),
            keys=("setting",),
            parameters={"x_low": 0.0, "x_high": 1.0, "y_low": 0.0, "y_high": 1.0},
            refuse=_refuse_box,
            counts=_largest_setting,
        ),
        "best_setting/1": Aggregator(
            ("setting", "role", "num"),
            best_setting,
            ones=("den",),
            keys=("setting", "role"),
            parameters={"maximise": True},
            refuse=_refuse_roles,
            counts=_largest_setting,
        ),
        "matched_mean/1": Aggregator(
            ("value",), ratio_of_sums, ones=("match",), terms=_matched_terms
        ),
    }
)
"""Closed: a new way to aggregate is a new name, a changed one a new version."""
