"""The town's material: what the first world has, and more."""

from collections.abc import Mapping

from saeval.lab.town import templates, words
from saeval.lab.town.genres_of_people import people
from saeval.lab.town.genres_of_places import places
from saeval.lab.town.genres_of_things import things
from saeval.lab.town.meanings import meanings
from saeval.lab.town.problems import problems
from saeval.lab.world import templates as first_templates
from saeval.lab.world import words as first_words
from saeval.lab.world.biases import Biases
from saeval.lab.world.genres_of_knowledge import shop_statements
from saeval.lab.world.grammar import Genre
from saeval.lab.world.lexicon import Lexicon
from saeval.lab.world.material import Material
from saeval.lab.world.word_lists import WordLists, constants

MIX: Mapping[str, float] = {
    "biography": 7, "review": 5, "news": 5, "facts": 5, "questions": 12, "places": 5,
    "hierarchy": 4, "association": 3, "spelling": 5, "velan": 1, "okuri": 1, "teshni": 1,
    "market": 6, "deal": 5, "deed": 5, "couple": 6, "match": 5, "ages": 3, "order": 3,
    "liking": 3, "roll": 3, **{f"claim_{kind}": 1 for kind in templates.CLAIMS}, "crate": 3,
    "walk": 3, "stay": 3, "watch": 3, "caller": 3, "shops": 3, "visit": 3, "trip": 3,
    "dispatch": 3, "minutes": 2,
}  # fmt: skip


WORDS = WordLists(
    handwritten=(*constants(first_words), *constants(words)),
    frames=(*first_templates.ALL, *templates.ALL),
    trees=words.TREES,
    abilities=words.ABILITIES,
    associates=words.ASSOCIATES,
    hierarchy=templates.HIERARCHY,
    association=first_templates.ASSOCIATION,
    crowns=words.CROWNS,
    shop_attributes=words.SHOP_ATTRIBUTES,
    shop_statements=templates.SHOP_STATEMENTS,
)


def genres(lexicon: Lexicon, biases: Biases) -> tuple[Genre, ...]:
    """The kinds of document that the first world lacks."""
    shops = shop_statements(lexicon, WORDS)
    return (*people(lexicon, biases), *things(lexicon, biases), shops, *places(lexicon, biases))


TOWN = Material("town", WORDS, MIX, problems, meanings, genres)
