"""The record by which a task declares a metric: how it is computed, and how to read its values."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from saeval.errors import ResultError
from saeval.evidence.evidence import Better, Evidence, Missing
from saeval.evidence.intervals import Bounds
from saeval.evidence.unit_tables import Units

OPEN = "{k}"
"""Stands in a name for a number, as in `auc_top_{k}`."""

Anchor = float | str | None
"""A floor or ceiling: a number; words, if the data set the number; None, if there is none."""

NULL_SAE = "what a random SAE of equal width and L0 scores"
"""A floor that a run measures, by scoring random SAEs on the same data. The task gives none."""


@dataclass(frozen=True)
class Metric:
    """One metric of a task, declared once.

    Written as a literal at the top level of the task's own module, or of `metrics.py` beside it:
    there `saeval describe` reads it without running anything.
    """

    name: str
    """Lower case, perhaps with `{k}` where a number stands, as in `auc_top_{k}`."""
    unit: str
    """Unit of measure: `nats`, `fraction`, `latents per token`, `cosine`."""
    better: Better
    """Which direction is better; `none` if neither is."""
    formula: str
    """How it is computed, in plain words that stand on their own."""
    functions: tuple[str, ...] = ()
    """The functions that compute it, each `module:function`. The task itself calls them."""
    distrust: str = ""
    """When not to trust it. Goes on from "Do not trust it": `near 1: ...`."""
    floor: Anchor = None
    """Value without any information; `NULL_SAE` where an SAE that learned nothing gets more."""
    ceiling: Anchor = None
    """Best possible value."""
    bounds: Bounds = (None, None)
    """Smallest and largest value that the formula can give, such as (0, 1); None where there is
    none. Intervals stay within."""
    population: str = ""
    """What its interval is about, such as `new test texts, with probes chosen on the training texts
    of this seed`; or why there is no interval. Empty: what the module's constant POPULATION says,
    which metrics share. It says `this seed` where another seed draws and chooses anew."""
    undefined: str = ""
    """When the formula divides by zero: `all activations are equal`."""
    where: str = ""
    """When a task reports it, if not always: `with --compat saebench`."""
    source: str = ""
    """Paper or code that the definition is taken from."""
    groups: str = ""
    """The groups that it is a mean over, and that they count the same; empty where all rows do."""

    def numbered(self, number: int) -> "Metric":
        """The metric with a number in its name."""
        return replace(self, name=self.name.replace(OPEN, str(number)))

    def evidence(  # noqa: PLR0913  they are the columns of one record, Evidence
        self,
        table: Units,
        columns: Mapping[str, str],
        *,
        aggregator: str = "ratio_of_sums/1",
        part: str | None = None,
        floor: float | None = None,
        ceiling: float | None = None,
        no_interval: str | None = None,
    ) -> Evidence:
        """Evidence of this metric, with unit, direction and anchors as declared.

        Args:
            table: The units.
            columns: Role in the aggregator -> statistic column.
            aggregator: How units become a number.
            part: Use only the rows of this part.
            floor: If the declared floor is words: the number that the data give, if any. For
                `NULL_SAE` it may be what knowing nothing gets, which a run replaces.
            ceiling: The same for the ceiling.
            no_interval: Why no interval is valid.

        Raises:
            ResultError: if a floor or ceiling is given that is not declared in words.
        """
        return Evidence(
            self.name,
            table,
            columns,
            unit=self.unit,
            better=self.better,
            aggregator=aggregator,
            part=part,
            floor=self._anchor("floor", self.floor, floor),
            ceiling=self._anchor("ceiling", self.ceiling, ceiling),
            no_interval=no_interval,
            bounds=self.bounds,
            null_floor=self.floor == NULL_SAE,
        )

    def missing(self, reason: str, part: str | None = None) -> Missing:
        """This metric without a value. The reason is a sentence that a stranger understands."""
        return Missing(self.name, reason, unit=self.unit, better=self.better, part=part)

    def _anchor(self, name: str, declared: Anchor, value: float | None) -> float | None:
        if isinstance(declared, str):
            return value
        if value is not None:
            raise ResultError(
                f"'{self.name}' declares {declared} as its {name}, but {value} was given. Let "
                f"its record say in words what the data's {name} is, or give none."
            )
        return declared
