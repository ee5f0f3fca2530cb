"""What a world of text is made of: its words, its kinds of document, what is asked of them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from saeval.lab.world.biases import Biases
from saeval.lab.world.grammar import Genre
from saeval.lab.world.lexicon import Lexicon
from saeval.lab.world.problems import Problem
from saeval.lab.world.truth import Truth
from saeval.lab.world.vocabulary import Concept
from saeval.lab.world.word_lists import WordLists


@dataclass(frozen=True, eq=False)
class Material:
    """The hand-made part of a world; the rest follows from the world's seed."""

    name: str
    """Its name in the lab: `world`, `town`."""
    words: WordLists
    mix: Mapping[str, float]
    """How many documents are of each genre, in proportion."""
    problems: Callable[[Truth], tuple[Problem, ...]] = lambda _: ()
    """Probing problems besides those that every world has."""
    meanings: Callable[[Truth], Iterable[tuple[str, list[Concept]]]] = lambda _: ()
    """Words with their concepts besides those that every world has."""
    genres: Callable[[Lexicon, Biases], tuple[Genre, ...]] = lambda *_: ()
    """Kinds of document besides those that every world has."""
