"""Documents about people, products and events, and the list of all genres."""

import numpy as np
from jaxtyping import Float

from saeval.lab.world import templates, words
from saeval.lab.world.biases import Biases
from saeval.lab.world.genres_of_knowledge import facts, nodes, places, questions, spelling, tongue
from saeval.lab.world.grammar import Genre, Graded, Variable, uniform
from saeval.lab.world.lexicon import GenreTraits, Lexicon, make_genre
from saeval.lab.world.word_lists import WordLists

GRADING = 1.2
"""How fast an opinion's probability falls with its distance from the rating, in nats per step."""
GENDERS = ("female", "male")
RATINGS = ("1", "2", "3", "4", "5")


def make_genres(lexicon: Lexicon, biases: Biases, lists: WordLists) -> tuple[Genre, ...]:
    """The genres that every world has."""
    truth = lexicon.truth
    return (
        biography(lexicon, biases.gender),
        review(lexicon, biases.rating),
        news(lexicon),
        facts(lexicon),
        questions(lexicon),
        places(lexicon),
        nodes(lexicon, "hierarchy", truth.hierarchy, lists.hierarchy),
        nodes(lexicon, "association", truth.associations, lists.association),
        spelling(lexicon),
        *(tongue(lexicon, t) for t in truth.tongues),
    )


def biography(lexicon: Lexicon, gender_bias: float) -> Genre:
    """People: profession, gender, first name, surname, city."""
    jobs = tuple(words.PROFESSIONS)
    does, tools, workplaces = zip(
        *([p.split() for p in words.PROFESSIONS[j]] for j in jobs), strict=True
    )
    first = (*words.WOMEN, *words.MEN)
    cities = [c.name for c in lexicon.truth.cities]
    pick = lexicon.pick
    draws = (
        pick("first", [[w] for w in first], "first"),
        pick("pron", [["she"], ["he"]], "gender"),
        pick("poss", [["her"], ["his"]], "gender"),
        pick("profession", [[j] for j in jobs], "profession"),
        pick("does", does, "profession"),
        pick("tool", tools, "profession"),
        pick("place", workplaces, "profession"),
        *lexicon.lists(last=lexicon.truth.surnames, other=lexicon.truth.surnames),
        *lexicon.lists(trait=words.TRAITS, trait2=words.TRAITS, relative=words.RELATIVES),
        *lexicon.lists(hobby=words.HOBBIES, hobby2=words.HOBBIES, kin=first),
        *lexicon.lists(city=cities, city2=cities),
        *lexicon.lists(day=words.DAYS, month=words.MONTHS, time=words.TIMES),
    )
    variables = (
        Variable("profession", jobs, uniform(1, len(jobs))),
        Variable("gender", GENDERS, leaning(len(jobs), gender_bias), "profession"),
        Variable("first", first, _split_evenly(2, len(first)), "gender"),
    )
    return make_genre(lexicon, templates.BIOGRAPHY, variables, draws, GenreTraits("biography"))


def review(lexicon: Lexicon, bias: float) -> Genre:
    """Opinions on a product: category, product, and a rating that is never stated."""
    kinds = tuple(words.CATEGORIES)
    products, aspects = zip(*([p.split() for p in words.CATEGORIES[k]] for k in kinds), strict=True)
    every_product = tuple(w for row in products for w in row)
    opinions = lexicon.ids(w for group in words.OPINIONS for w in group)
    graded = _opinion_of_rating()
    draws = (
        lexicon.pick("product", [[w] for w in every_product], "product"),
        lexicon.pick("aspect", aspects, "category"),
        lexicon.pick("aspect2", aspects, "category"),
        Graded("opinion", opinions, graded, "rating"),
        Graded("opinion2", opinions, graded, "rating"),
        *lexicon.lists(brand=lexicon.truth.brands, other=lexicon.truth.surnames),
        *lexicon.lists(month=words.MONTHS, time=words.TIMES, relative=words.RELATIVES),
        *lexicon.lists(very=words.INTENSIFIERS),
    )
    variables = (
        Variable("category", kinds, uniform(1, len(kinds))),
        Variable("product", every_product, _split_evenly(6, len(every_product)), "category"),
        Variable("rating", RATINGS, _rating_of_category(len(kinds), bias), "category"),
    )
    traits = GenreTraits("review", hidden="rating")
    return make_genre(lexicon, templates.REVIEW, variables, draws, traits)


def news(lexicon: Lexicon) -> Genre:
    """Reports in one topic."""
    topics = tuple(words.TOPICS)
    who, did, what, event = zip(
        *([p.split() for p in words.TOPICS[t]] for t in topics), strict=True
    )
    columns = {"who": who, "did": did, "what": what, "what2": what, "event": event}
    draws = (
        *(lexicon.pick(name, rows, "topic") for name, rows in columns.items()),
        *lexicon.lists(city=[c.name for c in lexicon.truth.cities], day=words.DAYS),
        *lexicon.lists(quality=words.QUALITIES, other=lexicon.truth.surnames),
    )
    variables = (Variable("topic", topics, uniform(1, len(topics))),)
    traits = GenreTraits("news", {"language": "english"})
    return make_genre(lexicon, templates.NEWS, variables, draws, traits)


def leaning(rows: int, bias: float) -> Float[np.ndarray, "rows 2"]:
    """Probabilities of two values: even rows lean to the first for a positive bias."""
    lean = np.where(np.arange(rows) % 2 == 0, bias, -bias)
    return np.stack([1 + lean, 1 - lean], axis=1) / 2


def _split_evenly(rows: int, values: int) -> Float[np.ndarray, "rows values"]:
    """Each row draws from its own share of the values."""
    share = values // rows
    return np.repeat(np.eye(rows), share, axis=1) / share


def _rating_of_category(categories: int, bias: float) -> Float[np.ndarray, "categories ratings"]:
    """Probability of each rating: even categories lean to low ones for a positive bias."""
    lean = np.where(np.arange(categories) % 2 == 0, bias, -bias)
    half = len(RATINGS) // 2
    sign = np.repeat([1, 0, -1], [half, 1, half])
    return (1 + lean[:, None] * sign) / len(RATINGS)


def _opinion_of_rating() -> Float[np.ndarray, "ratings opinions"]:
    """Opinion words near the rating's strength are likelier."""
    steps = np.abs(np.subtract.outer(np.arange(len(RATINGS)), np.arange(len(words.OPINIONS))))
    weight = np.repeat(np.exp(-GRADING * steps), len(words.OPINIONS[0]), axis=1)
    return weight / weight.sum(axis=1, keepdims=True)
