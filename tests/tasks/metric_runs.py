"""Small runs of every built-in task, and what becomes of them if a function gives other numbers."""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from saeval.activations import ActivationSource
from saeval.evidence import Evidence, Missing, summarise_all
from saeval.sae import SAE
from saeval.task import Prepared, Task

Scores = Mapping[str, tuple[float | None, ...]]
"""Metric -> its value in every part, None where it is missing."""


@dataclass(frozen=True)
class Run:
    """A task on one SAE."""

    task: Task
    source: ActivationSource
    sae: SAE
    seed: int = 0

    @cached_property
    def prepared(self) -> Prepared:
        """What the task prepares."""
        return self.task.prepare(self.source, self.seed)

    @cached_property
    def yielded(self) -> tuple[Evidence | Missing, ...]:
        """All that it yields."""
        return self.score(self.prepared)

    @cached_property
    def scores(self) -> Scores:
        """Values of all metrics."""
        return scores_of(self.yielded)

    def score(self, prepared: Prepared) -> tuple[Evidence | Missing, ...]:
        """Score anew."""
        return tuple(self.task.score(self.sae, prepared, self.source, self.seed))


def scores_of(yielded: tuple[Evidence | Missing, ...]) -> Scores:
    """Values, without the work of intervals."""
    evidence = [each for each in yielded if isinstance(each, Evidence)]
    plain = [replace(each, no_interval="not asked for") for each in evidence]
    summaries = iter(summarise_all(plain))
    values: dict[str, tuple[float | None, ...]] = {}
    for each in yielded:
        value = next(summaries).value if isinstance(each, Evidence) else None
        values[each.metric] = (*values.get(each.metric, ()), value)
    return values


@contextmanager
def replaced(function: str, by: Callable[[Any], Any]) -> Iterator[None]:
    """While open, `module:name` is another function wherever saeval and its tasks know it."""
    module, _, name = function.partition(":")
    owner = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    old = vars(owner)[last]
    if isinstance(old, property):
        places: list[tuple[Any, str]] = [(owner, last)]
        new: Any = property(by(old.fget))
    else:
        places = [
            (each, attribute)
            for module_name, each in list(sys.modules.items())
            if module_name.split(".")[0] in ("saeval", "saeval_tasks")
            for attribute, value in list(vars(each).items())
            if value is old
        ]
        new = by(old)
    assert places, function
    for place, attribute in places:
        setattr(place, attribute, new)
    try:
        yield
    finally:
        for place, attribute in places:
            setattr(place, attribute, old)


@dataclass(frozen=True)
class Change:
    """What becomes of the numbers and the claims that a function gives."""

    number: Callable[[Any], Any]
    claim: Callable[[Any], Any]
    """Of a bool, or an array of them."""

    def __call__(self, function: Callable) -> Callable:
        """The function, giving other values."""
        return lambda *args, **kwargs: self.of(function(*args, **kwargs))

    def of(self, value: Any) -> Any:
        """The same kind of value with other numbers in it, at every depth."""
        how = next((how for kinds, how in _KINDS if isinstance(value, kinds)), _record)
        return how(value, self)

    def numbers(self, value: Any, kind: str) -> Any:
        """Of an array of bools, floats or integers; the latter stay places of what there is."""
        return {"b": self.claim, "f": self.number}.get(kind, lambda v: v // 2)(value)


def _tensor(value: torch.Tensor, change: Change) -> torch.Tensor:
    kind = "b" if value.dtype == torch.bool else "f" if value.is_floating_point() else "i"
    return change.numbers(value, kind).to(value.dtype)


def _tuple(value: tuple, change: Change) -> tuple:
    if all(isinstance(each, int) for each in value):
        return (*value, max(value, default=0) + 1)  # latents: one more
    return tuple(change.of(each) / (1 + place) for place, each in enumerate(value))


def _record(value: Any, change: Change) -> Any:
    assert is_dataclass(value), type(value)
    inner = {each.name: change.of(getattr(value, each.name)) for each in fields(value)}
    return replace(value, **inner)  # type: ignore[type-var]


_KINDS: tuple[tuple[Any, Callable[[Any, Change], Any]], ...] = (
    (type(None), lambda _, __: None),
    (bool | np.bool_, lambda value, change: bool(change.claim(np.array(value)))),
    (int | np.integer, lambda value, _: int(value) // 2),
    (float | np.floating, lambda value, change: float(change.number(value))),
    (np.ndarray, lambda value, change: change.numbers(value, value.dtype.kind).astype(value.dtype)),
    (torch.Tensor, _tensor),
    (dict, lambda value, change: {key: change.of(each) for key, each in value.items()}),
    (list, lambda value, change: [change.of(each) for each in value]),
    (tuple, _tuple),
)

BENT = Change(lambda v: 0.7 * v + 0.01, lambda v: v & ~v)
"""Smaller numbers in another proportion; nothing is claimed."""
CURVED = Change(lambda v: 0.7 * v + 0.05 * abs(v) * v + 0.01, lambda v: v | ~v)
"""Numbers whose differences and ratios are others; everything is claimed."""
TURNED = Change(lambda v: 0.9 - 0.7 * v, lambda v: ~v)
"""What was large is small; the contrary is claimed."""
