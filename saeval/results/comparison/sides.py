"""What is compared: checkpoints, or methods with several training seeds, by the names given."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from saeval.errors import UsageError, suggestion
from saeval.results.comparison.kin import Kin, stem

MOST_FOR_ALL_PAIRS = 5
"""Up to so many sides every pair is compared, and beyond it each with the first."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison."""

    name: str
    lines: tuple[tuple[str, ...], ...]
    """SAEs of each training seed: one each, or several along L0 where L0 is matched."""
    is_null: bool = False

    @property
    def saes(self) -> tuple[str, ...]:
        """All SAEs."""
        return tuple(dict.fromkeys(label for line in self.lines for label in line))

    @property
    def trainings(self) -> int:
        """Training seeds."""
        return len(self.lines)


def find_sides(
    names: Sequence[str], kin: Kin, known: Mapping[str, Sequence[str]], *, methods: bool
) -> list[Side]:
    """The sides that names mean.

    A name is that of an SAE, of a set, or a glob over SAEs. A set of kind `seeds` is one side, a
    method; another set is one side for each member.

    Args:
        names: Each once; empty: all SAEs.
        kin: Which SAEs belong together.
        known: Names that stand for SAEs that may not be scored yet -> these SAEs.
        methods: Whether every SAE stands for all that differ from it in the training seed alone.

    Raises:
        UsageError: if a name stands for nothing.
    """
    sides: dict[str, Side] = {}
    for name in names or kin.pool.labels:
        if name in kin.seed_sets and name not in kin.pool.labels:
            members = tuple(kin.seed_sets[name])
            sides.setdefault(name, _side(name, members, kin))
            continue
        for label in _labels(name, kin, known):
            trainings = kin.trainings(label) if methods else (label,)
            title = stem(label) if len(trainings) > 1 else label
            sides.setdefault(title, _side(title, trainings, kin))
    return list(sides.values())


def _side(name: str, members: Sequence[str], kin: Kin) -> Side:
    about = [kin.pool.about[label] for label in members if label in kin.pool.about]
    return Side(name, tuple((one,) for one in members), any(each.is_null for each in about))


def _labels(name: str, kin: Kin, known: Mapping[str, Sequence[str]]) -> Sequence[str]:
    pool = kin.pool
    if name in pool.labels:
        return [name]
    if name in known:
        return known[name]
    if name in pool.sets:
        return pool.sets[name]
    if found := fnmatch.filter(pool.labels, name):
        return found
    hint = suggestion(name, [*pool.labels, *pool.sets])
    raise UsageError(
        f"'{name}' is no SAE or set of these results, and no registry lists it.{hint} `saeval ls "
        "results` shows what was scored."
    )


def along_l0(side: Side, kin: Kin, tasks: Sequence[str]) -> Side:
    """The side with the whole family of each training, to be matched at one L0.

    Args:
        side: With one SAE for each training.
        kin: Which SAEs are of one family.
        tasks: Tasks that an SAE of the family must have results of.
    """
    lines = []
    for (label, *_), line in zip(
        side.lines, kin.lines([own[0] for own in side.lines]), strict=True
    ):
        scored = (sae for sae in line if all(kin.pool.of_task(sae, task) for task in tasks))
        lines.append(tuple(dict.fromkeys((*scored, label))))
    return replace(side, lines=tuple(lines))


def pairs_of(sides: Sequence[Side], pairs: str = "auto") -> list[tuple[Side, Side]]:
    """The pairs to compare: all, or each with the first.

    Args:
        sides: At least two.
        pairs: `all`, `first`, or `auto`: all of at most five sides.

    Raises:
        UsageError: if there is no pair.
    """
    if len(sides) < 2:
        names = ", ".join(side.name for side in sides) or "nothing"
        raise UsageError(
            f"A comparison takes two sides, and these names give {names}. Name two SAEs or more; "
            "`saeval ls results` shows what was scored."
        )
    if pairs == "all" or (pairs == "auto" and len(sides) <= MOST_FOR_ALL_PAIRS):
        return [(a, b) for place, a in enumerate(sides) for b in sides[place + 1 :]]
    return [(sides[0], other) for other in sides[1:]]
