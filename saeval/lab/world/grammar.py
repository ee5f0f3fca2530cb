"""A grammar of sentences with slots, drawn and rendered for many documents at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

SIDES = 8
"""A sentence's hash modulo this decides its split."""
SPLITS: Mapping[str, tuple[int, ...]] = {"train": (0, 1, 2, 3, 4, 5), "valid": (6,), "test": (7,)}

Values = Mapping[str, Int[np.ndarray, " documents"]]
"""The value of each document variable, as an index into its names."""


@dataclass(frozen=True)
class Variable:
    """A choice made once per document, such as its topic."""

    name: str
    values: tuple[str, ...]
    p: Float[np.ndarray, "rows values"]
    """Probability of each value, one row for each value of `by` (one row if `by` is None)."""
    by: str | None = None
    in_text: bool = True
    """False for what is known of a document but leaves no trace in it, such as a noisy label."""


@dataclass(frozen=True)
class Rule:
    """A document variable that follows from others, such as "the price rose and it rained"."""

    name: str
    values: tuple[str, ...]
    of: tuple[str, ...]
    """The variables that decide it."""
    table: Int[np.ndarray, "..."]
    """Index of its value for each combination of theirs, one axis for each."""


@dataclass(frozen=True)
class Drawn:
    """The result of a draw for each of several documents."""

    ids: Int[np.ndarray, "documents names"]
    """Token ids, one column per slot name."""
    log_p: Float[np.ndarray, " documents"]
    """Log-probability of the choice, in nats."""
    by_value: Float[np.ndarray, "documents values"] | None = None
    """Where the choice depends on a hidden variable: its log-probability under each value."""


@runtime_checkable
class Draw(Protocol):
    """A choice made again for every sentence; it fills one or more slots."""

    @property
    def names(self) -> tuple[str, ...]:
        """The slots it fills."""
        ...

    def sample(self, rng: np.random.Generator, values: Values, n: int) -> Drawn:
        """Draw for `n` documents whose variables have these values."""
        ...

    def support(self) -> tuple[frozenset[int], ...]:
        """All token ids that each slot may take."""
        ...


@dataclass(frozen=True)
class Pick:
    """A uniform choice among rows of words, all of which may depend on a document variable."""

    names: tuple[str, ...]
    table: Int[np.ndarray, "values choices names"]
    by: str | None = None

    def sample(self, rng: np.random.Generator, values: Values, n: int) -> Drawn:
        """Draw uniformly from the row that the document's value selects."""
        choices = self.table.shape[1]
        row = 0 if self.by is None else values[self.by]
        choice = rng.integers(0, choices, n) if choices > 1 else 0
        ids = np.broadcast_to(self.table[row, choice], (n, len(self.names)))
        return Drawn(ids, np.full(n, -np.log(choices)))

    def support(self) -> tuple[frozenset[int], ...]:
        """All ids of each column."""
        flat = self.table.reshape(-1, len(self.names))
        return tuple(frozenset(flat[:, i].tolist()) for i in range(len(self.names)))


@dataclass(frozen=True)
class Graded:
    """A choice of one word with probabilities that depend on a hidden document variable."""

    name: str
    ids: Int[np.ndarray, " choices"]
    p: Float[np.ndarray, "values choices"]
    by: str

    @property
    def names(self) -> tuple[str, ...]:
        """Its one slot."""
        return (self.name,)

    def sample(self, rng: np.random.Generator, values: Values, n: int) -> Drawn:
        """Draw by inverting the cumulative distribution."""
        edges = np.cumsum(self.p, axis=1)
        edges = (edges + np.arange(len(self.p))[:, None]).ravel()
        # Row i of the edges lies in (i, i + 1], so that one search serves all documents. The factor
        # keeps a draw just below 1 from reaching the next row by rounding.
        choice = np.searchsorted(edges, values[self.by] + rng.random(n) * (1 - 1e-9))
        choice %= len(self.ids)
        log_p = np.log(self.p)
        return Drawn(self.ids[choice][:, None], np.zeros(n), log_p.T[choice])

    def support(self) -> tuple[frozenset[int], ...]:
        """All its ids."""
        return (frozenset(self.ids.tolist()),)


@dataclass(frozen=True)
class TemplateGroup:
    """Templates of which one is chosen uniformly, compiled to arrays."""

    ids: Int[np.ndarray, "templates length"]
    """A token id, or -2 - i for slot i, or -1 past the end."""
    uses: Float[np.ndarray, "templates draws"]
    """1 where a template fills a slot from a draw."""


@dataclass(frozen=True)
class Genre:
    """A kind of document: variables, draws, and groups of templates in their order."""

    name: str
    family: str
    variables: tuple[Variable | Rule, ...]
    """Each after those that decide it."""
    draws: tuple[Draw, ...]
    plan: tuple[TemplateGroup, ...]
    """One group for each sentence that every document has, then the body's group last."""
    body: tuple[int, int]
    """Fewest and most body sentences: any number between is equally likely."""
    labels: Mapping[str, str]
    """Labels that all its documents share."""
    hidden: str | None = None
    """A variable that the text does not determine: the text's probability is a sum over it."""


def compile_group(
    templates: tuple[str, ...], draws: tuple[Draw, ...], ids: Mapping[str, int]
) -> TemplateGroup:
    """Turn template texts, tokens between blanks and slots in braces, into arrays."""
    slots = [name for draw in draws for name in draw.names]
    owner = [i for i, draw in enumerate(draws) for _ in draw.names]
    rows = [t.split() for t in templates]
    out = np.full((len(rows), max(map(len, rows))), -1, np.int64)
    uses = np.zeros((len(rows), len(draws)))
    for r, row in enumerate(rows):
        for c, token in enumerate(row):
            if token.startswith("{"):
                slot = slots.index(token[1:-1])
                out[r, c] = -2 - slot
                uses[r, owner[slot]] = 1
            else:
                out[r, c] = ids[token]
    return TemplateGroup(out, uses)


def uniform(rows: int, values: int) -> Float[np.ndarray, "rows values"]:
    """A table of equal probabilities."""
    return np.full((rows, values), 1 / values)


def side(rows: Int[np.ndarray, "sentences length"]) -> Int[np.ndarray, " sentences"]:
    """Hash each sentence's tokens (-1 is padding) to a number from 0 to SIDES - 1."""
    # The constants are those of splitmix64: they only need to mix the bits well.
    state = np.full(len(rows), 0x9E3779B97F4A7C15, np.uint64)
    for column in rows.T:
        mixed = (state ^ (column + 1).astype(np.uint64)) * np.uint64(0xBF58476D1CE4E5B9)
        state = np.where(column >= 0, mixed ^ (mixed >> np.uint64(29)), state)
    state *= np.uint64(0x94D049BB133111EB)
    return ((state >> np.uint64(40)) % np.uint64(SIDES)).astype(np.int64)
