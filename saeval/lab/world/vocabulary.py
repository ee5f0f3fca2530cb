"""The world's vocabulary: a token id for every word, and the concepts that each word carries."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from saeval.lab.world import words
from saeval.lab.world.templates import Sentences, frame_words
from saeval.lab.world.truth import Node, Truth

PAD, BOS, EOS, UNK = "<pad>", "<bos>", "<eos>", "<unk>"
SPECIALS = (PAD, BOS, EOS, UNK)
LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
PUNCTUATION = tuple(". , : ? )".split())
SENTENCE_END = "."


@dataclass(frozen=True)
class Concept:
    """Something that a token can mean."""

    name: str
    """Unique, `kind/value`."""
    kind: str
    parent: str | None = None
    """The concept that this one implies."""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens in the order of their ids, and what they mean."""

    tokens: tuple[str, ...]
    ids: Mapping[str, int]
    concepts: tuple[Concept, ...]
    of_token: tuple[tuple[int, ...], ...]
    """For each token, the ids of its concepts, implied ones included."""

    @property
    def concept_table(self) -> Bool[np.ndarray, "tokens concepts"]:
        """Which token carries which concept."""
        table = np.zeros((len(self.tokens), len(self.concepts)), bool)
        for token, concepts in enumerate(self.of_token):
            table[token, list(concepts)] = True
        return table

    @property
    def words(self) -> tuple[str, ...]:
        """All tokens that are spelled: lower-case words."""
        return tuple(t for t in self.tokens if t.isascii() and t.isalpha() and t.islower())


def make_vocabulary(
    truth: Truth,
    frames: tuple[Sentences, ...],
    more: Iterable[tuple[str, list[Concept]]] = (),
) -> Vocabulary:
    """List all words of the world with their concepts.

    Args:
        truth: What holds in the world.
        frames: All its sentences.
        more: Words besides those that every world has, with their concepts.

    Raises:
        ValueError: if a word was given to two lists, so that its meaning is not settled.
    """
    meaning: dict[str, list[Concept]] = {}
    for word, concepts in (*_concepts_by_word(truth), *more):
        if word in meaning:
            raise ValueError(f"the word {word!r} stands in two lists of the world")
        meaning[word] = concepts
    for word in frame_words(frames):
        meaning.setdefault(word, [Concept("role/frame", "role")])
    for word, concepts in meaning.items():
        concepts.append(Concept(f"letter/{word[0]}", "letter"))
    tokens = (*SPECIALS, *PUNCTUATION, *LETTERS, *sorted(meaning))
    table: dict[str, Concept] = {}
    for concepts in meaning.values():
        table.update((c.name, c) for c in concepts)
    index = {name: i for i, name in enumerate(table)}
    of_token = tuple(tuple(index[c.name] for c in meaning.get(t, ())) for t in tokens)
    return Vocabulary(tokens, {t: i for i, t in enumerate(tokens)}, tuple(table.values()), of_token)


def _concepts_by_word(truth: Truth) -> Iterable[tuple[str, list[Concept]]]:
    """All words with their concepts, list by list."""
    yield from _role_lists(truth)
    yield from _people_and_things()
    yield from _reviews_and_news()
    yield from _places(truth)
    yield from _domains_and_tongues(truth)
    yield from _trees(truth.hierarchy)
    for node in _association_words(n for n in truth.associations):
        yield node, [Concept("role/object", "role"), Concept(f"object/{node}", "object")]


def _role_lists(truth: Truth) -> Iterable[tuple[str, list[Concept]]]:
    """Words that mean nothing but the list they are in."""
    lists = {
        "surname": truth.surnames, "brand": truth.brands, "trait": words.TRAITS,
        "hobby": words.HOBBIES, "relative": words.RELATIVES, "day": words.DAYS,
        "month": words.MONTHS, "time": words.TIMES, "spot": words.SPOTS,
        "intensifier": words.INTENSIFIERS, "quality": words.QUALITIES,
    }  # fmt: skip
    for role, members in lists.items():
        for word in members:
            yield word, [Concept(f"role/{role}", "role")]


def _people_and_things() -> Iterable[tuple[str, list[Concept]]]:
    """Names with their gender, professions with their tools."""
    genders = {"female": (*words.WOMEN, "she", "her"), "male": (*words.MEN, "he", "his")}
    for gender, members in genders.items():
        for word in members:
            yield word, [Concept(f"gender/{gender}", "gender")]
    for title, parts in words.PROFESSIONS.items():
        for word in (title, *" ".join(parts).split()):
            yield word, [Concept(f"profession/{title}", "profession")]


def _reviews_and_news() -> Iterable[tuple[str, list[Concept]]]:
    """Products and aspects, opinions by strength, and the words of each topic."""
    for category, parts in words.CATEGORIES.items():
        for word in (category, *" ".join(parts).split()):
            yield word, [Concept(f"category/{category}", "category")]
    for strength, members in enumerate(words.OPINIONS, start=1):
        for word in members:
            yield word, [Concept(f"strength/{strength}", "strength")]
    for topic, parts in words.TOPICS.items():
        for word in (topic, *" ".join(parts).split()):
            yield word, [Concept(f"topic/{topic}", "topic")]


def _places(truth: Truth) -> Iterable[tuple[str, list[Concept]]]:
    """Cities with all that they imply, and the words for their attributes."""
    continent = {c.country: f"continent/{c.continent}" for c in truth.cities}

    def country_of(name: str) -> list[Concept]:
        return [
            Concept(f"country/{name}", "country", continent[name]),
            Concept(continent[name], "continent"),
        ]  # fmt: skip

    for c in truth.cities:
        place_concepts = [
            Concept(f"city/{c.name}", "city", f"country/{c.country}"),
            *country_of(c.country),
        ]
        ties = [
            Concept(f"speech/{c.speech}", "speech"),
            Concept(f"industry/{c.industry}", "industry"),
        ]
        yield c.name, place_concepts + ties
    for name in continent:
        yield name, country_of(name)
    for kind in ("continent", "speech", "industry"):
        for name in sorted({getattr(c, kind) for c in truth.cities}):
            yield name, [Concept(f"{kind}/{name}", kind)]


def _domains_and_tongues(truth: Truth) -> Iterable[tuple[str, list[Concept]]]:
    """Words of one domain or of one constructed language alone."""
    for domain in truth.domains:
        for word in sorted(domain.words | {domain.name}):
            yield word, [Concept(f"domain/{domain.name}", "domain")]
    for tongue in truth.tongues:
        parts = {
            "function": tongue.function_words, "noun": tongue.nouns,
            "verb": tongue.verbs, "adjective": tongue.adjectives,
        }  # fmt: skip
        for part, members in parts.items():
            name = f"speechpart/{tongue.name}-{part}"
            for word in members:
                yield (
                    word,
                    [
                        Concept(name, "speechpart", f"language/{tongue.name}"),
                        Concept(f"language/{tongue.name}", "language"),
                    ],
                )


def _trees(nodes: tuple[Node, ...]) -> Iterable[tuple[str, list[Concept]]]:
    """Leaves with their middle and root, and the verbs of each root."""
    listed: set[str] = set()
    for node in nodes:
        crown = [Concept(f"node/{node.crown}", "node")] if node.crown else []
        root = Concept(f"node/{node.root}", "node", crown[0].name if crown else None)
        middle = Concept(f"node/{node.middle}", "node", root.name)
        leaf = Concept(f"node/{node.leaf}", "node", middle.name)
        ability = [Concept(f"ability/{node.root}", "ability")]
        above = {node.crown: crown} if node.crown else {}
        chains = above | {
            node.root: [root, *crown],
            node.middle: [middle, root, *crown],
            node.leaf: [leaf, middle, root, *crown],
        }
        for word, concepts in (chains | {v: list(ability) for v in node.leaf_verbs}).items():
            if word not in listed:
                listed.add(word)
                yield word, concepts


def _association_words(nodes: Iterable[Node]) -> Iterable[str]:
    """All objects of the associations, each once."""
    return dict.fromkeys(w for n in nodes for w in (n.root, n.middle, n.leaf))
