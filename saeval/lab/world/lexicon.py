"""Words turned into slots and sentences turned into genres: what the genres are written with."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int

from saeval.lab.world.grammar import Draw, Genre, Pick, Rule, Variable, compile_group
from saeval.lab.world.special_draws import UnevenPick
from saeval.lab.world.templates import Sentences
from saeval.lab.world.truth import Truth
from saeval.lab.world.vocabulary import Vocabulary


@dataclass(frozen=True)
class Lexicon:
    """The truth of the world and the ids of its words."""

    truth: Truth
    vocabulary: Vocabulary

    def ids(self, tokens: Iterable[str]) -> Int[np.ndarray, " tokens"]:
        """Token ids of words."""
        return np.array([self.vocabulary.ids[t] for t in tokens], np.int64)

    def pick(self, name: str, rows: Sequence[Sequence[str]], by: str | None = None) -> Pick:
        """One slot, filled from the row that the variable `by` selects."""
        return Pick((name,), np.stack([self.ids(r)[:, None] for r in rows]), by)

    def pairs(
        self, names: tuple[str, ...], tables: Iterable[Iterable[Iterable[str]]], by: str
    ) -> UnevenPick:
        """Slots filled together, from the table of word rows that the variable `by` selects."""
        tables_of_ids = (np.stack([self.ids(row) for row in table]) for table in tables)
        return UnevenPick(names, tuple(tables_of_ids), by)

    def lists(self, **lists: Sequence[str]) -> tuple[Pick, ...]:
        """Slots filled from one list each, whatever the document."""
        return tuple(self.pick(name, [members]) for name, members in lists.items())


@dataclass(frozen=True)
class GenreTraits:
    """What a genre is besides its sentences."""

    family: str
    labels: Mapping[str, str] = field(default_factory=dict)
    hidden: str | None = None


def make_genre(
    lexicon: Lexicon,
    sentences: Sentences,
    variables: tuple[Variable | Rule, ...],
    draws: tuple[Draw, ...],
    traits: GenreTraits,
    name: str | None = None,
) -> Genre:
    """Compile the sentences; `name` defaults to the family."""
    groups = (*sentences.fixed, sentences.body)
    return Genre(
        name=name or traits.family,
        family=traits.family,
        variables=variables,
        draws=draws,
        plan=tuple(compile_group(g, draws, lexicon.vocabulary.ids) for g in groups),
        body=sentences.length,
        labels=traits.labels,
        hidden=traits.hidden,
    )
