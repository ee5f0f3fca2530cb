"""Does a task yield the metrics that it declares? Compares its records with its evidence."""

import importlib
import re
import sys
from collections.abc import Iterable, Iterator
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from saeval.evidence import Evidence, Metric, Missing
from saeval.evidence.metric import OPEN


def check_declared(task: Any, yielded: Iterable[Evidence | Missing]) -> None:
    """Check that each metric is declared with its unit and direction, if there are any records.

    Raises:
        AssertionError: if a metric is not declared, or has another unit or direction.
    """
    records = declared(type(task))
    for entry in yielded if records else ():
        record = next(filter(None, (_under_name(one, entry.metric) for one in records)), None)
        if record is None:
            raise AssertionError(
                f"{task.name} yields '{entry.metric}', which it declares nowhere, so that "
                f"`saeval describe {entry.metric}` knows nothing of it. Add its record to the "
                "task's module, or to metrics.py beside it."
            )
        for field in ("unit", "better"):
            expected, actual = getattr(record, field), getattr(entry, field)
            if expected != actual and not (isinstance(entry, Missing) and not entry.unit):
                raise AssertionError(
                    f"{task.name} declares '{entry.metric}' with {field} '{expected}' and yields "
                    f"it with '{actual}'. Make the evidence from the record, so that both are one."
                )


def declared(task: type) -> list[Metric]:
    """Records at the top level of the task's module, and of the modules of metrics beside it."""
    home = sys.modules[task.__module__]
    values = [value for module in [home, *_metric_modules(home)] for value in vars(module).values()]
    return [value for value in values if isinstance(value, Metric)]


def _metric_modules(module: ModuleType) -> Iterator[ModuleType]:
    """Modules of the same package whose name ends with `metrics`."""
    package = sys.modules.get(module.__package__ or "")
    for info in iter_modules(getattr(package, "__path__", ())):
        if info.name.endswith("metrics"):
            yield importlib.import_module(f"{module.__package__}.{info.name}")


def _under_name(record: Metric, name: str) -> Metric | None:
    """The record with the number of that name in place of `{k}`; None where the two do not fit."""
    match = re.fullmatch(re.escape(record.name).replace(re.escape(OPEN), r"(\d+)"), name)
    if match is None:
        return None
    return record.numbered(int(match[1])) if match.groups() else record
