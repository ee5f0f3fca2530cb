"""What a world of text is made of: its words, its sentences, its kinds of document."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING

from saeval.lab.world.templates import Sentences

if TYPE_CHECKING:
    from saeval.lab.world.grammar import Genre
    from saeval.lab.world.lexicon import Lexicon
    from saeval.lab.world.problems import Problem
    from saeval.lab.world.truth import Truth
    from saeval.lab.world.vocabulary import Concept


@dataclass(frozen=True)
class Biases:
    """How far one attribute of a text follows from another, each from -1 to 1.

    At 0 the two are independent. At 1 every second value of the first attribute goes with one half
    of the second's values alone, and the others with the other half.
    """

    gender: float = 0.0
    """Gender from profession, in biographies."""
    rating: float = 0.0
    """Rating (below or above the middle one) from product category, in reviews."""
    place: float = 0.0
    """Continent from topic, in dispatches."""
    mood: float = 0.0
    """The buyer's mood from the price, at markets."""
    feeling: float = 0.0
    """Who is acted upon, a woman or a man, from what is done, in deeds."""


UNBIASED = Biases()
"""All attributes are independent."""


@dataclass(frozen=True, eq=False)
class Material:
    """The hand-made part of a world; the rest follows from the world's seed."""

    name: str
    """Its name in the lab: `world`, `town`."""
    mix: Mapping[str, float]
    """How many documents are of each genre, in proportion."""
    word_lists: tuple[object, ...]
    """All hand-written words, however nested: no word is coined that stands here."""
    frames: tuple[Sentences, ...]
    """All sentences, whose own words are the frame of the language."""
    trees: Mapping[str, str]
    """A root; its middles, each with its leaves, as in `words.TREES`."""
    abilities: Mapping[str, tuple[str, str]]
    """A root: verbs said of all of it, then two for each of its middles."""
    associates: tuple[str, ...]
    """Objects tied in the same shape as the trees, without inheritance."""
    hierarchy: Sentences
    """Sentences on a leaf of the trees."""
    association: Sentences
    """Sentences of the same form on objects."""
    problems: "Callable[[Truth], tuple[Problem, ...]]"
    """Probing problems besides those that every world has."""
    meanings: "Callable[[Truth], Iterable[tuple[str, list[Concept]]]]"
    """Words with their concepts besides those that every world has."""
    genres: "Callable[[Lexicon, Biases, Material], tuple[Genre, ...]]"
    """Kinds of document besides those that every world has."""
    crowns: Mapping[str, str] = field(default_factory=dict)
    """A root: what it is a kind of, if there is a level above the roots."""
    shop_attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Attributes of the shops and their values; none: the world has no shops."""
    shop_statements: tuple[str, ...] = ()
    """Sentences, each on one attribute of a shop, which end with its value."""


def word_lists(module: ModuleType) -> tuple[object, ...]:
    """All upper-case constants of a module."""
    return tuple(value for name, value in vars(module).items() if name.isupper())
