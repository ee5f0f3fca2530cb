"""Columns of a board: all SAEs in one metric, ranked by paired tests and held against the nulls."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from saeval.errors import ResultError
from saeval.evidence.all_pairs import PairDifference, compare_all
from saeval.leaderboard.cells import Asked, Cell, NullTest, data_key
from saeval.leaderboard.entrants import Kind
from saeval.leaderboard.rank_sets import Contest, rank_sets, verdicts

Pairs = Mapping[tuple[str, str], PairDifference]
"""Labels of two SAEs -> value of the first minus value of the second; each pair once."""


@dataclass(frozen=True)
class Place:
    """Where an SAE stands on a board, apart from its scores."""

    label: str
    kind: Kind
    l0: float | None
    group: str
    """Its range of L0; SAEs are ranked within one."""


@dataclass(frozen=True)
class Column:
    """One metric of all SAEs."""

    asked: Asked
    unit: str
    better: str
    cells: Mapping[str, Cell]
    """Label -> cell."""
    pairs: Pairs
    """All SAEs that were measured on the same data, nulls and anchors among them."""

    @property
    def name(self) -> str:
        """`task/metric`."""
        return f"{self.asked.task}/{self.asked.metric}"

    @property
    def direction(self) -> int:
        """1 where higher is better, -1 where lower is, 0 where neither."""
        return {"higher": 1, "lower": -1}.get(self.better, 0)


def make_column(asked: Asked, cells: Mapping[str, Cell], places: Sequence[Place]) -> Column:
    """A column from its cells: ranks, tests against nulls, frontier.

    Args:
        asked: What it asks for.
        cells: Label -> cell, not ranked yet.
        places: The SAEs, in order.
    """
    cells = _same_data(cells, places)
    scored = [place for place in places if cells[place.label].status == "scored"]
    example = next((cells[place.label].score for place in scored), None)
    pairs = _compared(cells, [place.label for place in scored])
    column = Column(
        asked,
        (example.unit if example else None) or "",
        (example.better if example else None) or "none",
        cells,
        pairs,
    )
    if not column.direction:
        return column
    column = replace(column, cells=_ranked(column, scored))
    column = replace(column, cells=_held_against_nulls(column, scored))
    return replace(column, cells=_with_frontier(column, scored))


def _same_data(cells: Mapping[str, Cell], places: Sequence[Place]) -> dict[str, Cell]:
    """Cells of other data than the nulls', or than most entries', are marked and not ranked."""
    keys = {label: data_key(cell) for label, cell in cells.items() if cell.status == "scored"}
    if len(set(keys.values())) < 2:
        return dict(cells)
    of_nulls = Counter(keys[p.label] for p in places if p.kind != "entry" and p.label in keys)
    counts = Counter(keys.values())
    chosen = max(counts, key=lambda key: (of_nulls[key], counts[key], key))
    reason = (
        "measured on other units than the board's nulls: other data or settings, or its own "
        "latents where these are the units"
    )
    return {
        label: replace(cell, status="other data", reason=reason, evidence=())
        if keys.get(label, chosen) != chosen
        else cell
        for label, cell in cells.items()
    }


def _compared(cells: Mapping[str, Cell], labels: Sequence[str]) -> Pairs:
    if len(labels) < 2:
        return {}
    try:
        found = compare_all([cells[label].evidence for label in labels])
    except ResultError as error:
        raise ResultError(
            f"The evidence of {', '.join(labels)} cannot be compared: {error}"
        ) from error
    return {(labels[first], labels[second]): one for (first, second), one in found.items()}


def _ranked(column: Column, scored: Sequence[Place]) -> dict[str, Cell]:
    """Rank sets of entries within their ranges of L0, corrected over all ranked pairs."""
    groups = {place.label: place.group for place in scored if place.kind == "entry"}
    tests = {
        pair: Contest(column.direction * one.delta, one.p)
        for pair, one in column.pairs.items()
        if set(pair) <= groups.keys() and groups[pair[0]] == groups[pair[1]]
    }
    found = verdicts(tests)
    cells = dict(column.cells)
    for group in dict.fromkeys(groups.values()):
        members = [label for label, own in groups.items() if own == group]
        for label, ranks in rank_sets(members, found).items():
            cells[label] = replace(cells[label], rank=ranks)
    return cells


def difference(pairs: Pairs, first: str, second: str) -> PairDifference | None:
    """Value of one SAE minus value of another; None if they were not compared."""
    if (first, second) in pairs:
        return pairs[first, second]
    return pairs[second, first].reversed if (second, first) in pairs else None


def _held_against_nulls(column: Column, scored: Sequence[Place]) -> dict[str, Cell]:
    """How many nulls each SAE beats, and whether it can be told from the best of them."""
    values = {p.label: column.direction * (column.cells[p.label].value or 0.0) for p in scored}
    nulls = [place.label for place in scored if place.kind == "null"]
    if not nulls:
        return dict(column.cells)
    best = max(nulls, key=lambda label: (values[label], label))
    others = [place.label for place in scored if place.kind != "null"]
    differences = {label: difference(column.pairs, label, best) for label in others}
    tests = {
        (label, best): Contest(column.direction * one.delta, one.p)
        for label, one in differences.items()
        if one is not None
    }
    found = verdicts(tests)
    cells = dict(column.cells)
    for label in others:
        beaten = sum(values[label] > values[null] for null in nulls)
        one = differences[label]
        test = _null_test(best, one, found[label, best]) if one else None
        cells[label] = replace(
            cells[label], beaten_nulls=beaten, nulls=len(nulls), against_null=test
        )
    return cells


def _null_test(null: str, one: PairDifference, found: int) -> NullTest:
    if one.p is None:
        return NullTest(null, "not tested", one.delta, None, one.reason)
    if not found:
        return NullTest(null, "cannot be told", one.delta, one.p)
    return NullTest(null, "better" if found > 0 else "worse", one.delta, one.p)


def _with_frontier(column: Column, scored: Sequence[Place]) -> dict[str, Cell]:
    """Entries that no other entry beats in quality without being less sparse."""
    points = {
        place.label: (place.l0, column.direction * (column.cells[place.label].value or 0.0))
        for place in scored
        if place.kind == "entry" and place.l0 is not None
    }
    cells = dict(column.cells)
    for label, (l0, value) in points.items():
        dominated = any(
            (other <= l0 and quality >= value) and (other < l0 or quality > value)
            for other, quality in points.values()
            if other is not None and l0 is not None
        )
        cells[label] = replace(cells[label], frontier=not dominated)
    return cells
