"""One row of a comparison: two sides, one metric, and what may be said of their difference."""

from dataclasses import dataclass, fields
from typing import Any, Literal

Verdict = Literal[
    "better",
    "worse",
    "higher",
    "lower",
    "differs",
    "equal",
    "indistinguishable",
    "no test",
    "not compared",
    "missing",
]
"""`better` and `worse`: by the metric's direction, after Holm's correction. `higher`, `lower`: the
same of a metric without one. `differs`, `equal`: of a figure in which nothing is sampled. `no
test`: the units allow none. `not compared`, `missing`: the reason says why, and what to do."""
SIGNIFICANT = 0.05
"""Corrected p below which two sides are told apart."""
SAME_L0 = 1.1
"""Ratio of two L0 up to which they count as alike."""


@dataclass(frozen=True)
class Row:
    """The difference of one metric between two sides."""

    first: str
    second: str
    task: str
    verdict: Verdict = "not compared"
    """What the first is, compared with the second."""
    reason: str | None = None
    """Why there is no test, or no comparison, and what to do."""
    task_version: int | None = None
    metric: str | None = None
    """None where the whole task is not compared."""
    unit: str | None = None
    better: str | None = None
    value_first: float | None = None
    value_second: float | None = None
    difference: float | None = None
    """The first less the second."""
    stderr: float | None = None
    ci_low: float | None = None
    """Lower end of the 95 % interval of the difference, not corrected for other rows."""
    ci_high: float | None = None
    p: float | None = None
    """Two-sided p-value for no difference, not corrected."""
    p_holm: float | None = None
    """The same after Holm's correction over all rows of the comparison."""
    mde: float | None = None
    """Minimum detectable difference: a true one of this size is found in 80 % of runs."""
    n: int | None = None
    """Units, of one seed."""
    unit_of_n: str | None = None
    clusters: int | None = None
    """Independent clusters of units."""
    differing: int | None = None
    """How many of these differ between the two sides."""
    seeds: tuple[int, ...] = ()
    """Seeds of the task that both have."""
    claim: Literal["checkpoints", "methods"] = "checkpoints"
    """What the interval is about: these checkpoints, or methods under other training seeds too."""
    trainings_first: int = 1
    """Training seeds of the first side."""
    trainings_second: int = 1
    at_l0: float | None = None
    """The L0 at which both are read from their families; None: each at its own."""
    l0_first: float | None = None
    """Active latents per token."""
    l0_second: float | None = None

    @property
    def is_compared(self) -> bool:
        """Whether it has both values."""
        return self.difference is not None

    @property
    def l0_differs(self) -> bool:
        """Whether the sides have other L0, by more than a tenth, and none was matched."""
        if self.at_l0 is not None or not self.l0_first or not self.l0_second:
            return False
        return not 1 / SAME_L0 <= self.l0_first / self.l0_second <= SAME_L0

    def record(self) -> dict[str, Any]:
        """Its columns in order, as plain JSON values."""
        record = {name: getattr(self, name) for name in COLUMNS}
        return {**record, "seeds": ",".join(map(str, self.seeds)), "l0_differs": self.l0_differs}


COLUMNS = tuple(item.name for item in fields(Row))
"""Columns of a row in files; `l0_differs`, which follows from others, stands last there."""


def verdict_of(row: Row) -> Verdict:
    """The verdict of a row with both values and, where there is one, a corrected p."""
    if row.difference is None:
        return row.verdict
    if row.p_holm is None:
        if row.difference == 0:
            return "equal"
        return "differs" if row.clusters is None else "no test"
    if row.p_holm >= SIGNIFICANT:
        return "indistinguishable"
    is_up = row.difference > 0
    if row.better not in ("higher", "lower"):
        return "higher" if is_up else "lower"
    return "better" if is_up == (row.better == "higher") else "worse"
