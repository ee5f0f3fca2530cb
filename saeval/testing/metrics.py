"""Does a task yield the metrics that it declares? Records beside the task, against its evidence."""

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
    """Each metric stands in the records with its unit and direction, if there are records at all.

    Raises:
        AssertionError: if one does not, or is declared otherwise.
    """
    records = declared(type(task))
    for each in yielded if records else ():
        record = next((one for one in records if _fits(one.name, each.metric)), None)
        if record is None:
            raise AssertionError(
                f"{task.name} yields '{each.metric}', which it declares nowhere, so that "
                f"`saeval describe {each.metric}` knows nothing of it. Add its record to the "
                "task's module, or to metrics.py beside it."
            )
        for what in ("unit", "better"):
            said, done = getattr(record, what), getattr(each, what)
            if said != done and not (isinstance(each, Missing) and not each.unit):
                raise AssertionError(
                    f"{task.name} declares '{each.metric}' with {what} '{said}' and yields it with "
                    f"'{done}'. Make the evidence from the record, so that both are one."
                )


def declared(task: type) -> list[Metric]:
    """Records at the top of the task's module, and of the modules of metrics beside it."""
    home = sys.modules[task.__module__]
    values = [value for module in [home, *_beside(home)] for value in vars(module).values()]
    return [value for value in values if isinstance(value, Metric)]


def _beside(module: ModuleType) -> Iterator[ModuleType]:
    """Modules of the same package whose name ends with `metrics`."""
    package = sys.modules.get(module.__package__ or "")
    for found in iter_modules(getattr(package, "__path__", ())):
        if found.name.endswith("metrics"):
            yield importlib.import_module(f"{module.__package__}.{found.name}")


def _fits(pattern: str, name: str) -> bool:
    """Whether a declared name, perhaps with `{k}` for a number, is this one."""
    return bool(re.fullmatch(re.escape(pattern).replace(re.escape(OPEN), r"\d+"), name))
