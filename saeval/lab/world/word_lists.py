"""The words and sentences that a world is made of, before anything is drawn."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType

from saeval.lab.world.templates import Sentences


@dataclass(frozen=True, eq=False)
class WordLists:
    """The hand-written words and sentences in which worlds differ."""

    handwritten: tuple[object, ...]
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
    crowns: Mapping[str, str] = field(default_factory=dict)
    """A root: what it is a kind of, if there is a level above the roots."""
    shop_attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Attributes of the shops and their values; none: the world has no shops."""
    shop_statements: tuple[str, ...] = ()
    """Sentences, each on one attribute of a shop, which end with its value."""


def constants(module: ModuleType) -> tuple[object, ...]:
    """All upper-case constants of a module of words."""
    return tuple(value for name, value in vars(module).items() if name.isupper())
