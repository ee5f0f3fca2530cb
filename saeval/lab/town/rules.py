"""Labels that follow from a document's variables, and labels that are wrong now and then."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np

from saeval.lab.world.grammar import Rule, Variable

YES_NO = ("no", "yes")


def rule(
    name: str, of: Sequence[Variable | Rule], values: tuple[str, ...], decide: Callable[..., str]
) -> Rule:
    """A label that `decide` gives for each combination of values (their names, in order)."""
    table = np.empty([len(variable.values) for variable in of], np.int64)
    for place in itertools.product(*(range(n) for n in table.shape)):
        names = (variable.values[i] for variable, i in zip(of, place, strict=True))
        table[place] = values.index(decide(*names))
    return Rule(name, values, tuple(variable.name for variable in of), table)


def yes_no(name: str, of: Sequence[Variable | Rule], holds: Callable[..., bool]) -> Rule:
    """A label "yes" where `holds` is true of the variables' values, else "no"."""
    return rule(name, of, YES_NO, lambda *values: YES_NO[holds(*values)])


def noisy(name: str, of: Variable | Rule, rate: float) -> Variable:
    """A label that is `of` but for a share `rate` of documents, where it is any other value."""
    n = len(of.values)
    p = np.where(np.eye(n, dtype=bool), 1 - rate, rate / (n - 1))
    return Variable(name, of.values, p, by=of.name, in_text=False)
