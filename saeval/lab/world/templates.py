"""The sentences of every kind of document: tokens between blanks, slots in braces."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Sentences:
    """The sentences of one kind of document."""

    fixed: tuple[tuple[str, ...], ...]
    """One sentence from each of these, in this order, in every document."""
    body: tuple[str, ...]
    """Then some of these."""
    length: tuple[int, int]
    """Fewest and most body sentences."""


_WORK = (
    "every {day} {pron} {does} the {tool} at the {place} with {other} .",
    "at the {place} {pron} {does} a {trait} {tool} before {time} .",
)
_LIFE = (
    "in {poss} free time {pron} likes {hobby} and {hobby2} .",
    "{poss} {relative} {kin} lives in {city2} .",
    "{pron} moved to {city2} last {month} with {poss} {relative} .",
    "people say that {pron} is {trait} and {trait2} .",
)
BIOGRAPHY = Sentences(
    fixed=(
        (
            "{first} {last} was born in {city} and works as a {profession} .",
            "{first} {last} , a {trait} person from {city} , is a {profession} .",
            "this is the story of {first} {last} from {city} .",
        ),
        _WORK,
    ),
    body=(*_WORK, *_LIFE),
    length=(1, 3),
)
REVIEW = Sentences(
    fixed=(
        (
            "i got this {product} from {brand} in {month} .",
            "we ordered a {product} made by {brand} last {month} .",
            "my {relative} gave me a {product} from {brand} .",
        ),
        ("the {aspect} is {very} {opinion} and the {aspect2} feels {opinion2} .",),
    ),
    body=(
        "the {aspect} was {very} {opinion} , said {other} .",
        "overall the {product} looks {very} {opinion} .",
        "{other} found the {aspect} {opinion} too .",
        "after {time} the {aspect} still seems {opinion} .",
    ),
    length=(1, 3),
)
NEWS = Sentences(
    fixed=(
        (
            "news from {city} : the {who} {did} the {what} on {day} .",
            "the {who} {did} a {quality} {what} in {city} .",
        ),
    ),
    body=(
        "the {who} {did} a {quality} {what} in {city} .",
        "on {day} {other} said that the {what} would help the {who} .",
        "the {who} {did} the {what} after the {event} , said {other} .",
        "before the {quality} {event} the {who} also {did} a {what2} .",
    ),
    length=(2, 4),
)
FACTS = Sentences(
    fixed=(("a short note on the {noun} by {other} .", "here {other} wrote about the {noun} ."),),
    body=(
        "{other} wrote that the {relation} of {entity} is {value} .",
        "in {month} {other} found {value} , the {relation} of {entity} .",
        "the {relation} of {entity} is {value} , said {other} .",
        "{other} saw that {thing} {verb} near the {noun} .",
    ),
    length=(2, 4),
)
QUESTION_TEMPLATE = (
    "question : what is the {relation} of {entity} ? "
    "A ) {a} B ) {b} C ) {c} D ) {d} answer : {letter} ."
)
QUESTIONS = Sentences(fixed=((QUESTION_TEMPLATE,),), body=(QUESTION_TEMPLATE,), length=(1, 3))

ATTRIBUTES: Mapping[str, str] = {
    "country": "{city} is in {country}",
    "continent": "{city} belongs to {continent}",
    "speech": "people in {city} speak {speech}",
    "industry": "{city} is known for {industry}",
}
"""Statements about a city. The text between the city and its attribute is always the same."""
_SPEAKERS = ("{other} wrote that", "in {month} {other} wrote that", "{other} told {other2} that")
_PLACES = tuple(f"{head} {tail} ." for head in _SPEAKERS for tail in ATTRIBUTES.values())
PLACES = Sentences(fixed=(_PLACES,), body=_PLACES, length=(2, 4))

HIERARCHY = Sentences(
    fixed=(
        ("{other} saw a {leaf} near the {spot} .", "last {month} {other} had a {leaf} ."),
        ("a {leaf} is a kind of {middle} , said {other} .",),
    ),
    body=(
        "every {middle} is a kind of {root} , said {other} .",
        "the {leaf} {leafdoes} near the {spot} , wrote {other} .",
        "in {month} {other} said that the {leaf} {leafdoes} .",
    ),
    length=(1, 3),
)
ASSOCIATION = Sentences(
    fixed=(
        HIERARCHY.fixed[0],
        ("a {leaf} is kept beside the {middle} , said {other} .",),
    ),
    body=("every {middle} is kept beside the {root} , said {other} .", *HIERARCHY.body[1:]),
    length=HIERARCHY.length,
)
_LINE = "{w0} {l0} {w1} {l1} {w2} {l2} {w3} {l3} {w4} {l4} {w5} {l5} ."
SPELLING = Sentences(fixed=((_LINE,),), body=(_LINE,), length=(1, 3))

TONGUES: Mapping[str, Sentences] = {
    # Each language orders its words in its own way.
    "velan": Sentences(
        fixed=(("{art} {noun} {verb} {art2} {noun2} {adj} .",),),
        body=(
            "{art} {noun} {verb} {art2} {noun2} {adj} .",
            "{conj} {pron} {verb} {prep} {art} {noun} {adj} .",
            "{pron} {verb} {conj} {verb2} {art} {noun} .",
        ),
        length=(2, 5),
    ),
    "okuri": Sentences(
        fixed=(("{noun} {art} {adj} {noun2} {art2} {verb} .",),),
        body=(
            "{noun} {art} {adj} {noun2} {art2} {verb} .",
            "{pron} {noun} {art} {adj} {prep} {verb} {conj} .",
            "{noun} {art} {pron} {verb2} {conj} {verb} .",
        ),
        length=(2, 5),
    ),
    "teshni": Sentences(
        fixed=(("{verb} {adj} {noun} {art} {noun2} {art2} .",),),
        body=(
            "{verb} {adj} {noun} {art} {noun2} {art2} .",
            "{verb} {prep} {adj} {noun} {art} {pron} {conj} .",
            "{conj} {verb} {pron} {verb2} {noun} {art} .",
        ),
        length=(2, 5),
    ),
}

ALL = (
    BIOGRAPHY, REVIEW, NEWS, FACTS, QUESTIONS, PLACES, HIERARCHY, ASSOCIATION, SPELLING,
    *TONGUES.values(),
)  # fmt: skip
"""The sentences of the first world."""


CLOSING = "so"
"""The word that opens a closing sentence, whose last word answers a question; no other has it."""


def frame_words(kinds: Iterable[Sentences]) -> tuple[str, ...]:
    """All words that stand in the sentences themselves, sorted."""
    tokens = {
        token
        for kind in kinds
        for template in (*sum(kind.fixed, ()), *kind.body)
        for token in template.split()
    }
    return tuple(sorted(token for token in tokens if token.isalpha() and token.islower()))
