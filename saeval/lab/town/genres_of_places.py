"""Documents on shops and trips, and reports from somewhere, long ones too."""

import numpy as np
from jaxtyping import Float

from saeval.lab.town import templates, words
from saeval.lab.town.genres_of_people import cities, continents, half_same, role_rules
from saeval.lab.town.rules import noisy, rule, yes_no
from saeval.lab.world import words as first_words
from saeval.lab.world.biases import Biases
from saeval.lab.world.genres import leaning
from saeval.lab.world.grammar import Genre, Variable, uniform
from saeval.lab.world.lexicon import GenreTraits, Lexicon, make_genre

TOPICS = tuple(first_words.TOPICS)
TOPIC_NOISE = 0.1
"""Share of dispatches whose noisy label is wrong."""


def places(lexicon: Lexicon, biases: Biases) -> tuple[Genre, ...]:
    """All genres of this file."""
    return (
        visit(lexicon),
        trip(lexicon),
        dispatch(lexicon, biases.place),
        minutes(lexicon),
    )


def visit(lexicon: Lexicon) -> Genre:
    """A visit to one shop, whose attributes are named in the answer alone."""
    shops = lexicon.truth.shops
    shop = Variable("shop", tuple(s.name for s in shops), uniform(1, len(shops)))
    by_name = {s.name: s.attributes for s in shops}
    rules = [
        rule(f"shop_{name}", (shop,), values, lambda s, name=name: by_name[s][name])
        for name, values in words.SHOP_ATTRIBUTES.items()
    ]
    draws = (
        lexicon.pick("shop", [[s.name] for s in shops], "shop"),
        *(
            lexicon.pick(name, [[value] for value in values], f"shop_{name}")
            for name, values in words.SHOP_ATTRIBUTES.items()
        ),
        *lexicon.lists(other=lexicon.truth.surnames, other2=lexicon.truth.surnames),
        *lexicon.lists(day=first_words.DAYS, time=first_words.TIMES, thing=words.THINGS),
    )
    return make_genre(lexicon, templates.VISIT, (shop, *rules), draws, GenreTraits("visit"))


def trip(lexicon: Lexicon) -> Genre:
    """From one city to another, in either order of telling."""
    lands = continents(lexicon)
    start = Variable("start", lands, uniform(1, len(lands)))
    goal = half_same("goal", lands, "start")
    draws = (
        cities(lexicon, "start", "start"),
        cities(lexicon, "goal", "goal"),
        lexicon.pick("startland", [[land] for land in lands], "start"),
        lexicon.pick("goalland", [[land] for land in lands], "goal"),
        *lexicon.lists(month=first_words.MONTHS, thing=words.THINGS, other=lexicon.truth.surnames),
    )
    ends = yes_no("same_end", (start, goal), lambda a, b: a == b)
    variables = (start, goal, ends, *role_rules(start, goal, lands))
    return make_genre(lexicon, templates.TRIP, variables, draws, GenreTraits("trip"))


def dispatch(lexicon: Lexicon, bias: float) -> Genre:
    """A report of one topic from one continent."""
    lands = continents(lexicon)
    topic = Variable("topic", TOPICS, uniform(1, len(TOPICS)))
    land = Variable("land", lands, _land_of_topic(len(lands), bias), "topic")
    conjunctions = list(zip(TOPICS, lands, strict=False))
    rules = [
        yes_no(f"{t}_in_{c}", (topic, land), lambda x, y, t=t, c=c: (x, y) == (t, c))
        for t, c in conjunctions
    ]
    who, did, what, _ = zip(
        *([p.split() for p in first_words.TOPICS[t]] for t in TOPICS), strict=True
    )
    draws = (
        cities(lexicon, "city", "land"),
        cities(lexicon, "city2", "land"),
        *(lexicon.pick(slot, who, "topic") for slot in ("who", "who2")),
        *(lexicon.pick(slot, what, "topic") for slot in ("what", "what2")),
        lexicon.pick("did", did, "topic"),
        *lexicon.lists(quality=first_words.QUALITIES, day=first_words.DAYS),
        *lexicon.lists(other=lexicon.truth.surnames),
    )
    variables = (topic, land, *rules, noisy("noisy_topic", topic, TOPIC_NOISE))
    traits = GenreTraits("dispatch", {"language": "english"})
    return make_genre(lexicon, templates.DISPATCH, variables, draws, traits)


def minutes(lexicon: Lexicon) -> Genre:
    """A report longer than the model's context, of one topic first and mostly another then."""
    opening = Variable("opening", TOPICS, uniform(1, len(TOPICS)))
    closing = half_same("closing", TOPICS, "opening")
    columns = zip(*([p.split() for p in first_words.TOPICS[t]] for t in TOPICS), strict=True)
    draws = []
    for slot, rows in zip(("who", "did", "what", "event"), columns, strict=True):
        draws += [lexicon.pick(slot, rows, "opening"), lexicon.pick(f"{slot}2", rows, "closing")]
    draws += [
        *lexicon.lists(city=[c.name for c in lexicon.truth.cities], day=first_words.DAYS),
        *lexicon.lists(quality=first_words.QUALITIES, number=words.NUMBERS),
        *lexicon.lists(other=lexicon.truth.surnames, other2=lexicon.truth.surnames),
    ]
    changes = yes_no("topic_changes", (opening, closing), lambda a, b: a != b)
    variables = (opening, closing, changes)
    return make_genre(lexicon, templates.MINUTES, variables, tuple(draws), GenreTraits("minutes"))


def _land_of_topic(lands: int, bias: float) -> Float[np.ndarray, "topics lands"]:
    """Probability of each continent: even topics lean to the first ones for a positive bias."""
    lean = leaning(len(TOPICS), bias)
    sizes = (lands // 2, lands - lands // 2)
    halves = [np.repeat(lean[:, i : i + 1] / size, size, axis=1) for i, size in enumerate(sizes)]
    return np.concatenate(halves, axis=1)
