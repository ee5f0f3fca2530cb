"""Documents drawn from a genre, many at once, all of one split."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from saeval.errors import DataError
from saeval.lab.world.grammar import SIDES, SPLITS, Genre, Rule, TemplateGroup, Variable, side

MAX_ROUNDS = 400
"""Redraws of a sentence that falls on the wrong side, after which it counts as impossible."""

DrawnValues = dict[str, Int[np.ndarray, " documents"]]


@dataclass(frozen=True)
class GenreSample:
    """Documents of one genre, without BOS and EOS."""

    genre: Genre
    values: Mapping[str, Int[np.ndarray, " documents"]]
    """Each variable's value, as an index into its values."""
    ids: Int[np.ndarray, "documents length"]
    """Token ids, -1 where there is no token; gaps may stand between sentences."""
    log_p: Float[np.ndarray, " documents"]
    """Log-probability of the text under the grammar, in nats, the end of the document included."""


def sample_genre(
    genre: Genre,
    n: int,
    rng: np.random.Generator,
    *,
    split: str = "train",
    fixed: Mapping[str, str] | None = None,
) -> GenreSample:
    """Draw documents whose every sentence belongs to the split.

    The log-probability is the grammar's, as if there were no split: choosing a side costs about
    log 4/3 nats a training sentence, which no model can learn: the split is a hash.

    Raises:
        DataError: if `fixed` names a variable or value that the genre lacks, or if a sentence
            has too few forms to find one in the split.
    """
    values, log_p = _draw_variables(genre, n, rng, fixed or {})
    lo, hi = genre.body
    length = rng.integers(lo, hi + 1, n)
    log_p = log_p - np.log(hi - lo + 1)
    by_value = None if genre.hidden is None else np.zeros((n, _hidden_size(genre)))
    plan = (*genre.plan[:-1], *[genre.plan[-1]] * hi)
    rows = []
    for step, group in enumerate(plan):
        active = length > step - len(genre.plan) + 1
        ids, cost, costs = _draw_sentences(genre, group, values, active, rng, split)
        rows.append(ids)
        log_p = log_p + cost
        if by_value is not None and costs is not None:
            by_value += costs
    if by_value is not None:
        with np.errstate(divide="ignore"):  # a value of probability 0 adds nothing to the sum
            log_hidden = np.log(_rows_of(_hidden(genre), values, n))
        log_p = log_p + np.logaddexp.reduce(log_hidden + by_value, axis=1)
    return GenreSample(genre, values, np.concatenate(rows, axis=1), log_p)


def _hidden(genre: Genre) -> Variable:
    return next(v for v in genre.variables if isinstance(v, Variable) and v.name == genre.hidden)


def _hidden_size(genre: Genre) -> int:
    return len(_hidden(genre).values)


def _rows_of(variable: Variable, values: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """Probabilities [documents, values] of a variable, given those that decide it."""
    return variable.p[np.zeros(n, np.int64) if variable.by is None else values[variable.by]]


def _draw_variables(
    genre: Genre, n: int, rng: np.random.Generator, fixed: Mapping[str, str]
) -> tuple[DrawnValues, Float[np.ndarray, " documents"]]:
    """Draw the document variables in order; the fixed ones add nothing to the log-probability."""
    drawn = [v.name for v in genre.variables if isinstance(v, Variable)]
    unknown = set(fixed) - set(drawn)
    if unknown:
        names = ", ".join(drawn) or "none"
        raise DataError(f"genre {genre.name!r} has no variable {sorted(unknown)}; it has {names}")
    values: DrawnValues = {}
    log_p = np.zeros(n)
    for variable in genre.variables:
        if isinstance(variable, Rule):
            values[variable.name] = variable.table[tuple(values[name] for name in variable.of)]
            continue
        p = _rows_of(variable, values, n)
        if variable.name in fixed:
            if fixed[variable.name] not in variable.values:
                raise DataError(
                    f"{variable.name} has no value {fixed[variable.name]!r}; "
                    f"it is one of {', '.join(variable.values)}"
                )
            value = variable.values.index(fixed[variable.name])
            if not p[:, value].all():
                raise DataError(f"{variable.name} is never {fixed[variable.name]!r} in {fixed}")
            values[variable.name] = np.full(n, value)
            continue
        edges = np.cumsum(p, axis=1)
        value = (rng.random((n, 1)) * edges[:, -1:] >= edges).sum(axis=1)
        values[variable.name] = value
        if variable.in_text and variable.name != genre.hidden:
            log_p += np.log(p[np.arange(n), value])
    return values, log_p


def _draw_sentences(
    genre: Genre, group: TemplateGroup, values: DrawnValues, active: Bool[np.ndarray, " documents"],
    rng: np.random.Generator, split: str,
) -> tuple[
    Int[np.ndarray, "documents length"],
    Float[np.ndarray, " documents"],
    Float[np.ndarray, "documents values"] | None,
]:  # fmt: skip
    """Draw one sentence for each active document, again for those of another split."""
    n = len(active)
    ids = np.full((n, group.ids.shape[1]), -1, np.int64)
    cost = np.zeros(n)
    costs = None if genre.hidden is None else np.zeros((n, _hidden_size(genre)))
    todo = np.flatnonzero(active)
    allowed = np.isin(np.arange(SIDES), SPLITS[split])
    # A split that takes an eighth of all sentences finds one sooner among several candidates.
    copies = SIDES // len(SPLITS[split])
    for _ in range(MAX_ROUNDS):
        if not len(todo):
            return ids, cost, costs
        owner = np.repeat(todo, copies)
        owner_values = {name: value[owner] for name, value in values.items()}
        rendered, log_p, by_value = _render(genre, group, owner_values, len(owner), rng)
        is_allowed = allowed[side(rendered)].reshape(-1, copies)
        fits = is_allowed.any(axis=1)
        # The first candidate that fits, by its row in `made`.
        pick = (np.arange(len(todo)) * copies + is_allowed.argmax(axis=1))[fits]
        done = todo[fits]
        ids[done], cost[done] = rendered[pick], log_p[pick]
        if costs is not None:
            costs[done] = by_value[pick]
        todo = todo[~fits]
    raise DataError(
        f"a sentence of genre {genre.name!r} has too few forms to find one in the split "
        f"{split!r} in {MAX_ROUNDS} tries: give its template a slot with more words"
    )


def _render(
    genre: Genre, group: TemplateGroup, values: DrawnValues, n: int, rng: np.random.Generator
) -> tuple[
    Int[np.ndarray, "documents length"],
    Float[np.ndarray, " documents"],
    Float[np.ndarray, "documents values"],
]:
    """Choose templates, draw values for all slots, and fill them in."""
    choice = rng.integers(0, len(group.ids), n)
    rows = group.ids[choice]
    uses = group.uses[choice]
    log_p = np.full(n, -np.log(len(group.ids)))
    by_value = np.zeros((n, 1 if genre.hidden is None else _hidden_size(genre)))
    columns = []
    for i, draw in enumerate(genre.draws):
        if not uses[:, i].any():
            columns.append(np.zeros((n, len(draw.names)), np.int64))
            continue
        result = draw.sample(rng, values, n)
        columns.append(result.ids)
        log_p = log_p + uses[:, i] * result.log_p
        if result.by_value is not None:
            by_value += uses[:, i, None] * result.by_value
    slots = np.concatenate(columns, axis=1)
    filled = np.take_along_axis(slots, np.maximum(-2 - rows, 0), axis=1)
    return np.where(rows <= -2, filled, rows), log_p, by_value
