"""The sentences of the kinds of document that the town has and the first world lacks.

The last sentence of many is an answer: what it says follows from a label that no word before it
gives away. So the model has a reason to work the label out, and a probing text ends just before.
"""

from dataclasses import replace

from saeval.lab.world import templates
from saeval.lab.world.templates import Sentences

HIERARCHY = replace(
    templates.HIERARCHY,
    body=(*templates.HIERARCHY.body, "every {root} is a kind of {crown} , said {other} ."),
)


def closed(
    *fixed: tuple[str, ...], answers: tuple[str, ...], length: tuple[int, int] = (1, 1)
) -> Sentences:
    """Sentences that every document has, then one answer."""
    return Sentences(fixed, answers, length)


MARKET = closed(
    (
        "in {city} the price of {brand} {trend} on {day} and the buyer was {mood} .",
        "the buyer was {mood} as the price of {brand} {trend} in {city} .",
        "on {day} the buyer of {brand} was {mood} and the price {trend} .",
    ),
    ("it was a {sky} day , wrote {other} .", "{other} wrote of a {sky} {daytime} ."),
    answers=(
        "so {other} called the trade {trade} .",
        "so {other} called the stall {stall} .",
        "so {other} called the square {square} .",
        "so {other} called the fair {fair} .",
    ),
)
DEAL = closed(
    (
        "on {day} the {giver} gave the {thing} to the {taker} .",
        "on {day} the {taker} got the {thing} from the {giver} .",
        "the {thing} went from the {giver} to the {taker} last {month} .",
        "last {month} the {taker} was handed the {thing} by the {giver} .",
    ),
    answers=(
        "so {other} counts as its owner {taker} .",
        "so {other} counts as its donor {giver} .",
    ),
)
DEED = closed(
    (
        "{agent} {deed} {patient} at the {spot} in {month} .",
        "in {month} {patient} was {deed} by {agent} at the {spot} .",
    ),
    answers=(
        "so {other} says that {patientpron} felt {felt} .",
        "so {other} called the pair {pair} .",
    ),
)
_COUPLE_AT_WORK = (
    "{man} from {mancity} works as a {manjob} while {woman} from {womancity} works as a "
    "{womanjob} ."
)
COUPLE = closed(
    (
        "{woman} from {womancity} is a {womanjob} and {man} from {mancity} is a {manjob} .",
        _COUPLE_AT_WORK,
    ),
    answers=(
        "so {other} says that she {womandoes} .",
        "so {other} says that he {mandoes} .",
        "so {other} called the pair {pair} .",
    ),
)
MATCH = closed(
    (
        "in {city} the hosts scored {first} and the guests scored {second} on {day} .",
        "on {day} the guests scored {second} in {city} and the hosts scored {first} .",
        "the hosts had {first} and the guests had {second} after the {game} in {city} .",
    ),
    answers=("so {other} calls the winner {winner} .",),
)
AGES = closed(
    (
        "in {city} {woman} turned {womanage} and {man} turned {manage} in {month} .",
        "last {month} {man} turned {manage} and {woman} turned {womanage} in {city} .",
    ),
    answers=("so {other} calls the elder {elder} .",),
)
CLAIMS = {
    # A kind of claim: what is said first, and what is said to follow.
    "city_country": ("{other} is staying in {a}", "{other} is in {b}"),
    "city_continent": ("{other} is staying in {a}", "{other} is somewhere in {b}"),
    "city_speech": ("{other} grew up in {a}", "{other} speaks {b}"),
    "leaf_middle": ("{other} has bought a {a}", "{other} has a {b}"),
    "leaf_root": ("{other} has bought a {a}", "{other} has some {b}"),
    "middle_crown": ("{other} has bought a {a}", "{other} has some {b}"),
    "shop_street": ("{other} was seen at {a}", "{other} was in {b}"),
    "shop_ware": ("{other} ordered all at {a}", "{other} ordered {b}"),
    "job_tool": ("{other} works as a {a}", "{other} uses the {b}"),
}
ORDER = closed(
    (
        "in {city} the {early} came before the {late} , wrote {other} .",
        "in {city} the {late} came after the {early} , wrote {other} .",
        "before the {late} there was the {early} in {city} .",
        "after the {early} there was the {late} in {city} .",
    ),
    answers=("so {other} began the list with {earlytopic} .",),
)
LIKING = closed(
    (
        "in {month} {who} took up {liked} and gave up {disliked} .",
        "in {month} {who} gave up {disliked} and took up {liked} .",
        "{who} from {city} did not give up {liked} and did not take up {disliked} .",
        "{who} from {city} did not take up {disliked} and did not give up {liked} .",
    ),
    answers=("so {other} wrapped the {gift} .",),
)
ROLL = closed(
    (
        "at {time} {p1} , {p2} , {p3} , {p4} and {p5} came in .",
        "{p1} , {p2} , {p3} , {p4} and {p5} left at {time} .",
    ),
    answers=("so {other} bowed to the crowd of {crowd} .",),
)
CRATE = closed(
    (
        "the crate held a {i1} , a {i2} , a {i3} and a {i4} .",
        "{other} packed a {i1} , a {i2} , a {i3} and a {i4} .",
    ),
    answers=("so {other} called the box {crate} .",),
)
WALK = closed(
    (
        "{other} saw a {leaf} and then a {leaf2} near the {spot} .",
        "near the {spot} there was a {leaf} beside a {leaf2} .",
    ),
    answers=("so {other} drew some {middle} .",),
)
STAY = closed(
    ("{other} stayed at the {place} by the {spot} in {month} .",),
    ("the {aspect} was {first} but the {aspect2} was {second} .",),
    answers=("so {other} left as a guest quite {guest} .",),
)
WATCH = closed(
    (
        "on {day} {other} noticed {sign} and {sign2} in {city} .",
        "in {city} there were {sign} and {sign2} , wrote {other} .",
    ),
    answers=("so {other} feared {peril} .",),
)
CALLER = closed(
    (
        "on {day} the {caller} came to {city} with {other} .",
        "{other} met the {caller} in {city} last {month} .",
    ),
    (
        "{other} had the {thing} and the {thing2} ready at {time} .",
        "it was a {sky} day , wrote {other} .",
    ),
    answers=("so {other} bowed to the other {caller} .",),
)
SHOP_STATEMENTS = tuple(
    f"{head} {tail} ."
    for head in (
        "{other} wrote that",
        "in {month} {other} wrote that",
        "{other} told {other2} that",
    )
    for tail in (
        "{shop} stands in {street}",
        "{shop} sells {ware}",
        "{shop} belongs to the {owner}",
        "{shop} opens in {season}",
    )
)
SHOPS = Sentences((SHOP_STATEMENTS,), SHOP_STATEMENTS, (2, 4))
VISIT = Sentences(
    (
        (
            "{other} met {other2} at {shop} before {time} .",
            "on {day} {other} went to {shop} with {other2} .",
        ),
        (
            "{other} bought the {thing} there on {day} .",
            "{other2} left the {thing} there at {time} .",
        ),
    ),
    (
        "so {other} walked to {street} .",
        "so {other} asked for {ware} .",
        "so {other} greeted the {owner} .",
        "so {other} came back in {season} .",
    ),
    (1, 2),
)
TRIP = closed(
    (
        "in {month} {other} travelled from {start} to {goal} .",
        "in {month} {other} came to {goal} from {start} .",
    ),
    ("the {thing} was lost on the way , wrote {other} .", "{other} had packed the {thing} ."),
    answers=(
        "so {other} now reads maps of {goalland} .",
        "so {other} now sends letters to {startland} .",
    ),
)
DISPATCH = Sentences(
    (
        (
            "dispatch from {city} : the {who} {did} a {quality} {what} .",
            "the {who} in {city} {did} the {what} , wrote {other} .",
        ),
        ("{other} then left {city} for {city2} .", "on {day} {other} saw {city} and {city2} ."),
    ),
    ("so the {who2} took up the {what2} , said {other} .",),
    (1, 1),
)
_MINUTES = (
    "item {number} : the {who} {did} a {quality} {what} in {city} .",
    "then {other} told {other2} that the {who} {did} the {what} .",
    "on {day} the {who} {did} the {what} after the {event} .",
)
_LATER = tuple(
    text.replace("{who}", "{who2}").replace("{did}", "{did2}").replace("{what}", "{what2}")
    .replace("{event}", "{event2}")
    for text in _MINUTES
)  # fmt: skip
MINUTES = Sentences(
    (("minutes of {day} by {other} for {city} .",), *(_MINUTES,) * 7), _LATER, (8, 12)
)

CLAIM_SENTENCES = {
    kind: closed((f"{premise} , hence {claim} .",), answers=("so {other} judged that {judged} .",))
    for kind, (premise, claim) in CLAIMS.items()
}
ALL = (
    HIERARCHY, MARKET, DEAL, DEED, COUPLE, MATCH, AGES, *CLAIM_SENTENCES.values(), ORDER, LIKING,
    ROLL, CRATE, WALK, STAY, WATCH, CALLER, SHOPS, VISIT, TRIP, DISPATCH, MINUTES,
)  # fmt: skip
