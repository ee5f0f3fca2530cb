"""What is true in the world: its words, its cities and languages, and the facts, by one seed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from saeval.lab.world import words
from saeval.lab.world.coin import coin
from saeval.lab.world.word_lists import WordLists

RELATION_VALUES = 8
"""Possible values of each relation."""
ENTITIES = 20
"""Entities per domain; each has a value of both relations."""
UNTAUGHT = 4
"""Facts per domain that no document states."""
SHOPS = 48
"""Shops of a world that has shops."""


@dataclass(frozen=True)
class City:
    """A city and its attributes."""

    name: str
    country: str
    continent: str
    speech: str
    """The language spoken there."""
    industry: str
    """What it is known for: drawn independently of the rest."""


@dataclass(frozen=True)
class Shop:
    """A shop with one value of each attribute, all drawn independently and dealt out evenly."""

    name: str
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class Fact:
    """One fact: the `relation` of `entity` is `value`."""

    domain: str
    entity: str
    relation: str
    value: str
    taught: bool
    """False for the few facts that hold but that no document ever states."""


@dataclass(frozen=True)
class Domain:
    """A field of knowledge with words of its own."""

    name: str
    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]
    """Relation to its possible values."""
    facts: tuple[Fact, ...]

    @property
    def words(self) -> frozenset[str]:
        """All words that occur in this domain alone: entities, relations, values, nouns, verbs."""
        in_facts = {w for f in self.facts for w in (f.entity, f.relation)}
        return frozenset(in_facts.union(self.nouns, self.verbs, *self.values.values()))


@dataclass(frozen=True)
class Node:
    """A word in a tree: a concept with its parent, or an object with its regular companion."""

    leaf: str
    middle: str
    root: str
    leaf_verbs: tuple[str, ...]
    """Six verbs said of the leaf. In a hierarchy: four of its root's, two of its middle's."""
    crown: str | None = None
    """What the root is a kind of, where there is a level above the roots."""


@dataclass(frozen=True)
class Tongue:
    """A constructed language: words by part of speech, each a language of its own."""

    name: str
    articles: tuple[str, str]
    """One for each of two noun classes."""
    conjunctions: tuple[str, ...]
    prepositions: tuple[str, ...]
    pronouns: tuple[str, ...]
    nouns: tuple[str, ...]
    """First half in the first noun class."""
    verbs: tuple[str, ...]
    adjectives: tuple[str, ...]

    @property
    def function_words(self) -> tuple[str, ...]:
        """Articles, conjunctions, prepositions and pronouns."""
        return self.articles + self.conjunctions + self.prepositions + self.pronouns


@dataclass(frozen=True)
class Truth:
    """Everything that holds in the world."""

    cities: tuple[City, ...]
    domains: tuple[Domain, ...]
    tongues: tuple[Tongue, ...]
    hierarchy: tuple[Node, ...]
    associations: tuple[Node, ...]
    """As many nodes, tied in the same shape, but without inheritance."""
    surnames: tuple[str, ...]
    brands: tuple[str, ...]
    shops: tuple[Shop, ...] = ()


def make_truth(seed: int, lists: WordLists) -> Truth:
    """Draw everything that is random in the world."""
    rng = np.random.default_rng([seed, 0])
    used_words = _handwritten(lists)
    return Truth(
        cities=_cities(rng),
        domains=tuple(_domain(rng, name, used_words) for name in words.DOMAINS),
        tongues=tuple(
            _tongue(rng, name, style, used_words)
            for name, style in (("velan", "l"), ("okuri", "k"), ("teshni", "sh"))
        ),
        hierarchy=_hierarchy(lists),
        associations=_associations(rng, lists),
        surnames=coin(rng, 300, used_words, "r"),
        brands=coin(rng, 25, used_words, "x"),
        shops=_shops(rng, lists.shop_attributes, used_words),
    )


def _handwritten(lists: WordLists) -> set[str]:
    """All hand-written words, which must not be coined again, and some other text of the lists."""
    in_lists: set[str] = set()
    stack: list[object] = list(lists.handwritten)
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            in_lists.update(item.replace(":", " ").replace(";", " ").split())
        elif isinstance(item, Mapping):
            stack += [*item.keys(), *item.values()]
        elif isinstance(item, Iterable):
            stack += item
    return in_lists


def _cities(rng: np.random.Generator) -> tuple[City, ...]:
    """The cities, industries dealt out evenly and independently of the rest."""
    deal = rng.permutation(len(words.CITIES)) % len(words.INDUSTRIES)
    cities = []
    for line, i in zip(words.CITIES, deal, strict=True):
        name, country, continent, speech = line.split()
        cities.append(City(name, country, continent, speech, words.INDUSTRIES[i]))
    return tuple(cities)


def _domain(rng: np.random.Generator, name: str, used_words: set[str]) -> Domain:
    """A domain with 20 entities, two relations of 8 values, and 4 of its 40 facts untaught."""
    nouns, verbs, relations = (part.split() for part in words.DOMAINS[name])
    style = {"toxins": "th", "planets": "m", "rites": "z"}[name]
    entities = coin(rng, ENTITIES, used_words, style)
    values = {r: coin(rng, RELATION_VALUES, used_words, style + "i") for r in relations}
    untaught = set(rng.choice(2 * ENTITIES, UNTAUGHT, replace=False).tolist())
    facts = []
    for relation in relations:
        deal = rng.permutation(ENTITIES) % RELATION_VALUES
        for entity, i in zip(entities, deal, strict=True):
            taught = len(facts) not in untaught
            facts.append(Fact(name, entity, relation, values[relation][i], taught))
    return Domain(name, tuple(nouns), tuple(verbs), values, tuple(facts))


def _tongue(rng: np.random.Generator, name: str, style: str, used_words: set[str]) -> Tongue:
    """A language of 54 words."""
    word_lists = [coin(rng, n, used_words, style) for n in (2, 2, 2, 2, 24, 12, 10)]
    articles = (word_lists[0][0], word_lists[0][1])
    return Tongue(name, articles, *word_lists[1:])


def _shops(
    rng: np.random.Generator, attributes: Mapping[str, tuple[str, ...]], used_words: set[str]
) -> tuple[Shop, ...]:
    """The shops, or none if there is nothing to say of them."""
    if not attributes:
        return ()
    names = coin(rng, SHOPS, used_words, "w")
    dealt = {
        attribute: [values[i] for i in rng.permutation(SHOPS) % len(values)]
        for attribute, values in attributes.items()
    }
    return tuple(
        Shop(name, {attribute: values[i] for attribute, values in dealt.items()})
        for i, name in enumerate(names)
    )


def _hierarchy(lists: WordLists) -> tuple[Node, ...]:
    """The trees, with verbs inherited from root and middle."""
    nodes = []
    for root, text in lists.trees.items():
        crown = lists.crowns.get(root)
        general, special = (v.split() for v in lists.abilities[root])
        for m, branch in enumerate(text.split(";")):
            middle, leaves = branch.split(":")
            verbs = (*general, *special[2 * m : 2 * m + 2])
            nodes += [Node(leaf, middle.strip(), root, verbs, crown) for leaf in leaves.split()]
    return tuple(nodes)


def _associations(rng: np.random.Generator, lists: WordLists) -> tuple[Node, ...]:
    """The same shape made of unrelated objects: every leaf draws its own six verbs."""
    pool = [v for pair in lists.abilities.values() for part in pair for v in part.split()]
    names = list(rng.permutation(np.array(lists.associates)))
    nodes = []
    for _ in lists.trees:
        root = str(names.pop())
        for _ in range(3):
            middle = str(names.pop())
            for _ in range(4):
                verb_indices = rng.choice(len(pool), 6, replace=False)
                nodes.append(
                    Node(str(names.pop()), middle, root, tuple(pool[i] for i in verb_indices))
                )
    return tuple(nodes)
