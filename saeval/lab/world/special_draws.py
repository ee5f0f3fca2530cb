"""Draws that tie several slots together: multiple-choice questions and spelling lines."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from saeval.lab.world.grammar import Drawn, Values

OPTIONS = 4


@dataclass(frozen=True)
class UnevenPick:
    """A uniform choice among rows of words, more for some values of a variable than for others."""

    names: tuple[str, ...]
    tables: tuple[Int[np.ndarray, "_ names"], ...]
    """For each value of `by`: token ids, no row twice."""
    by: str

    def sample(self, rng: np.random.Generator, values: Values, n: int) -> Drawn:
        """Draw uniformly from the table that the document's value selects."""
        counts = np.array([len(table) for table in self.tables])
        firsts = np.cumsum(counts) - counts
        value = values[self.by]
        choice = firsts[value] + (rng.random(n) * counts[value]).astype(np.int64)
        return Drawn(np.concatenate(self.tables)[choice], -np.log(counts[value]))

    def support(self) -> tuple[frozenset[int], ...]:
        """All ids of each column."""
        flat = np.concatenate(self.tables)
        return tuple(frozenset(column.tolist()) for column in flat.T)


@dataclass(frozen=True)
class QuestionDraw:
    """A fact of the document's domain with its value among four options in any order."""

    facts: Int[np.ndarray, "domains facts 4"]
    """Token ids of relation, entity and value, then the relation's number."""
    values: Int[np.ndarray, "domains relations choices"]
    """Token ids of each relation's values."""
    letters: Int[np.ndarray, " 4"]
    by: str = "domain"

    @property
    def names(self) -> tuple[str, ...]:
        """The question, its options and its answer."""
        return ("relation", "entity", "a", "b", "c", "d", "letter")

    def sample(self, rng: np.random.Generator, values: Values, n: int) -> Drawn:
        """Draw a fact, three different wrong values and the place of the right one."""
        domain = values[self.by]
        fact = self.facts[domain, rng.integers(0, self.facts.shape[1], n)]
        pool = self.values[domain, fact[:, 3]]
        keys = rng.random(pool.shape)
        keys[pool == fact[:, 2, None]] = 2.0
        order = np.argsort(keys, axis=1)[:, : OPTIONS - 1]
        wrong = np.take_along_axis(pool, order, axis=1)
        place = rng.integers(0, OPTIONS, n)
        options = np.empty((n, OPTIONS), np.int64)
        is_right = np.arange(OPTIONS) == place[:, None]
        options[is_right] = fact[:, 2]
        options[~is_right] = wrong.ravel()
        ids = np.column_stack([fact[:, :2], options, self.letters[place]])
        others = pool.shape[1] - 1
        orders = OPTIONS * others * (others - 1) * (others - 2)
        return Drawn(ids, np.full(n, -np.log(self.facts.shape[1] * orders)))

    def support(self) -> tuple[frozenset[int], ...]:
        """All relations, entities, values and letters."""
        all_values = frozenset(self.values.ravel().tolist())
        heads = (frozenset(self.facts[..., i].ravel().tolist()) for i in (0, 1))
        return (*heads, *[all_values] * OPTIONS, frozenset(self.letters.tolist()))


@dataclass(frozen=True)
class SpellingDraw:
    """Words, each with its first letter behind it."""

    words: Int[np.ndarray, " words"]
    letters: Int[np.ndarray, " words"]
    """The token id of each word's first letter."""
    pairs: int = 6

    @property
    def names(self) -> tuple[str, ...]:
        """Word and letter in turn."""
        return tuple(f"{kind}{i}" for i in range(self.pairs) for kind in "wl")

    def sample(self, rng: np.random.Generator, values: Values, n: int) -> Drawn:
        """Draw the words independently."""
        del values
        choice = rng.integers(0, len(self.words), (n, self.pairs))
        ids = np.stack([self.words[choice], self.letters[choice]], axis=2).reshape(n, -1)
        return Drawn(ids, np.full(n, -self.pairs * np.log(len(self.words))))

    def support(self) -> tuple[frozenset[int], ...]:
        """All words and letters in turn."""
        both = (frozenset(self.words.tolist()), frozenset(self.letters.tolist()))
        return both * self.pairs
