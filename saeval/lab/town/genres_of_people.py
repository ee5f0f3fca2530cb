"""Documents on who did what to whom, who is what, and who is more: roles, bindings, numbers."""

import numpy as np

from saeval.lab.town import templates, words
from saeval.lab.town.rules import noisy, rule, yes_no
from saeval.lab.world import words as first_words
from saeval.lab.world.biases import Biases
from saeval.lab.world.genres import GENDERS, leaning
from saeval.lab.world.grammar import Genre, Rule, Variable, uniform
from saeval.lab.world.lexicon import GenreTraits, Lexicon, make_genre
from saeval.lab.world.special_draws import UnevenPick

JOBS = tuple(first_words.PROFESSIONS)
PEOPLE = (first_words.WOMEN, first_words.MEN)
NUMBER = {word: number for number, word in enumerate(words.NUMBERS, start=1)}
HIGH = 7
"""A number from here on is high."""
GENDER_NOISE = 0.3
"""Share of deeds whose noisy label is wrong."""


def people(lexicon: Lexicon, biases: Biases) -> tuple[Genre, ...]:
    """All genres of this file."""
    return (
        deal(lexicon),
        deed(lexicon, biases.feeling),
        couple(lexicon),
        match(lexicon),
        ages(lexicon),
        order(lexicon),
        liking(lexicon),
        roll(lexicon),
    )


def others(name: str, values: tuple[str, ...], by: str) -> Variable:
    """A variable that is never what `by`, with the same values, is."""
    n = len(values)
    return Variable(name, values, (1 - np.eye(n)) / (n - 1), by)


def role_rules(first: Variable, second: Variable, values: tuple[str, ...]) -> tuple[Rule, ...]:
    """For each value a label `role_VALUE`: which of two variables alone has it, else "neither"."""
    roles = (first.name, second.name, "neither")

    def decide_for(value: str) -> Rule:
        def decide(a: str, b: str) -> str:
            return roles[2] if (a == value) == (b == value) else roles[0 if a == value else 1]

        return rule(f"role_{value}", (first, second), roles, decide)

    return tuple(decide_for(value) for value in values)


def deal(lexicon: Lexicon) -> Genre:
    """Something changes hands: two professions, each as often giver as taker."""
    giver = Variable("giver", JOBS, uniform(1, len(JOBS)))
    taker = others("taker", JOBS, "giver")
    draws = (
        lexicon.pick("giver", [[job] for job in JOBS], "giver"),
        lexicon.pick("taker", [[job] for job in JOBS], "taker"),
        *lexicon.lists(thing=words.THINGS, day=first_words.DAYS, month=first_words.MONTHS),
        *lexicon.lists(other=lexicon.truth.surnames),
    )
    variables = (giver, taker, *role_rules(giver, taker, JOBS))
    return make_genre(lexicon, templates.DEAL, variables, draws, GenreTraits("deal"))


def deed(lexicon: Lexicon, bias: float) -> Genre:
    """One person does another good or ill, told in the active or the passive voice."""
    kind = Variable("deed", tuple(words.DEEDS), uniform(1, len(words.DEEDS)))
    agent = Variable("agent_gender", GENDERS, uniform(1, 2))
    patient = Variable("patient_gender", GENDERS, leaning(len(words.DEEDS), bias), "deed")
    same = yes_no("same_gender", (agent, patient), lambda a, b: a == b)
    acts = rule(
        "woman_and_man", (agent, patient), ("woman acts", "man acts", "neither"),
        lambda a, b: "neither" if a == b else "woman acts" if a == "female" else "man acts",
    )  # fmt: skip
    odd = yes_no("kind_xor_woman", (kind, agent), lambda k, a: (k == "kind") != (a == "female"))
    both = yes_no(
        "kind_woman_to_man", (kind, agent, patient),
        lambda k, a, b: k == "kind" and a == "female" and b == "male",
    )  # fmt: skip
    draws = (
        lexicon.pick("agent", PEOPLE, "agent_gender"),
        lexicon.pick("patient", PEOPLE, "patient_gender"),
        lexicon.pick("patientpron", [["she"], ["he"]], "patient_gender"),
        lexicon.pick("deed", [*words.DEEDS.values()], "deed"),
        lexicon.pick("felt", words.ANSWERS["felt"], "deed"),
        lexicon.pick("pair", words.ANSWERS["pair"][::-1], "same_gender"),
        *lexicon.lists(spot=first_words.SPOTS, month=first_words.MONTHS),
        *lexicon.lists(other=lexicon.truth.surnames),
    )
    noise = noisy("noisy_agent_gender", agent, GENDER_NOISE)
    variables = (kind, agent, patient, same, acts, odd, both, noise)
    return make_genre(lexicon, templates.DEED, variables, draws, GenreTraits("deed"))


def couple(lexicon: Lexicon) -> Genre:
    """A woman and a man, half of the time of one profession, half of the time of one continent."""
    lands = continents(lexicon)
    woman = Variable("woman_job", JOBS, uniform(1, len(JOBS)))
    man = half_same("man_job", JOBS, "woman_job")
    woman_land = Variable("woman_land", lands, uniform(1, len(lands)))
    man_land = half_same("man_land", lands, "woman_land")
    does = [first_words.PROFESSIONS[job][0].split() for job in JOBS]
    draws = (
        *lexicon.lists(woman=first_words.WOMEN, man=first_words.MEN),
        lexicon.pick("womanjob", [[job] for job in JOBS], "woman_job"),
        lexicon.pick("manjob", [[job] for job in JOBS], "man_job"),
        lexicon.pick("womandoes", does, "woman_job"),
        lexicon.pick("mandoes", does, "man_job"),
        cities(lexicon, "womancity", "woman_land"),
        cities(lexicon, "mancity", "man_land"),
        lexicon.pick("pair", words.ANSWERS["pair"][::-1], "same_job"),
        *lexicon.lists(other=lexicon.truth.surnames),
    )
    rules = (
        yes_no("same_job", (woman, man), lambda a, b: a == b),
        yes_no("same_land", (woman_land, man_land), lambda a, b: a == b),
        yes_no(
            "same_job_or_land", (woman, man, woman_land, man_land),
            lambda a, b, c, d: (a == b) != (c == d),
        ),
        *role_rules(woman, man, JOBS),
    )  # fmt: skip
    variables = (woman, man, woman_land, man_land, *rules)
    return make_genre(lexicon, templates.COUPLE, variables, draws, GenreTraits("couple"))


def match(lexicon: Lexicon) -> Genre:
    """Two scores, of which the higher wins."""
    first, second = _numbers("first"), _numbers("second")
    both = (first, second)
    winner = rule("winner", both, ("hosts", "guests", "neither"), _higher)
    draws = (
        lexicon.pick("first", [[n] for n in words.NUMBERS], "first"),
        lexicon.pick("second", [[n] for n in words.NUMBERS], "second"),
        lexicon.pick("winner", words.ANSWERS["winner"], "winner"),
        *lexicon.lists(city=[c.name for c in lexicon.truth.cities], day=first_words.DAYS),
        *lexicon.lists(game=words.GAMES, other=lexicon.truth.surnames),
    )
    rules = (
        winner,
        yes_no("close", both, lambda a, b: abs(NUMBER[a] - NUMBER[b]) <= 1),
        yes_no("far_apart", both, lambda a, b: abs(NUMBER[a] - NUMBER[b]) >= 6),
        yes_no("many_goals", both, lambda a, b: NUMBER[a] + NUMBER[b] >= 2 * HIGH),
        yes_no("both_high", both, lambda a, b: NUMBER[a] >= HIGH and NUMBER[b] >= HIGH),
        yes_no("one_high", both, lambda a, b: (NUMBER[a] >= HIGH) != (NUMBER[b] >= HIGH)),
        yes_no("hosts_high", both, lambda a, _: NUMBER[a] >= HIGH),
        yes_no("guests_high", both, lambda _, b: NUMBER[b] >= HIGH),
    )
    return make_genre(lexicon, templates.MATCH, (*both, *rules), draws, GenreTraits("match"))


def ages(lexicon: Lexicon) -> Genre:
    """A woman's and a man's age: who is older."""
    woman, man = _numbers("woman_age"), _numbers("man_age")
    elder = rule("elder", (woman, man), ("woman", "man", "neither"), _elder)
    draws = (
        *lexicon.lists(woman=first_words.WOMEN, man=first_words.MEN, month=first_words.MONTHS),
        lexicon.pick("womanage", [[n] for n in words.NUMBERS], "woman_age"),
        lexicon.pick("manage", [[n] for n in words.NUMBERS], "man_age"),
        lexicon.pick("elder", words.ANSWERS["elder"], "elder"),
        *lexicon.lists(city=[c.name for c in lexicon.truth.cities], other=lexicon.truth.surnames),
    )
    apart = yes_no("age_gap", (woman, man), lambda a, b: abs(NUMBER[a] - NUMBER[b]) >= 5)
    variables = (woman, man, elder, apart)
    return make_genre(lexicon, templates.AGES, variables, draws, GenreTraits("ages"))


def order(lexicon: Lexicon) -> Genre:
    """Two events of different topics, of which one came first, whichever is told first."""
    topics = tuple(first_words.TOPICS)
    early = Variable("early", topics, uniform(1, len(topics)))
    late = others("late", topics, "early")
    events = [first_words.TOPICS[topic][3].split() for topic in topics]
    draws = (
        lexicon.pick("early", events, "early"),
        lexicon.pick("late", events, "late"),
        lexicon.pick("earlytopic", [[topic] for topic in topics], "early"),
        *lexicon.lists(city=[c.name for c in lexicon.truth.cities], other=lexicon.truth.surnames),
    )
    variables = (early, late, *role_rules(early, late, topics))
    return make_genre(lexicon, templates.ORDER, variables, draws, GenreTraits("order"))


def liking(lexicon: Lexicon) -> Genre:
    """One pastime is liked and one is not, with and without negation."""
    kinds = tuple(words.PASTIMES)
    liked = Variable("liked", kinds, uniform(1, len(kinds)))
    disliked = others("disliked", kinds, "liked")
    draws = (
        lexicon.pick("liked", [*words.PASTIMES.values()], "liked"),
        lexicon.pick("disliked", [*words.PASTIMES.values()], "disliked"),
        lexicon.pick("gift", [*words.GIFTS.values()], "liked"),
        *lexicon.lists(who=(*first_words.WOMEN, *first_words.MEN), month=first_words.MONTHS),
        *lexicon.lists(city=[c.name for c in lexicon.truth.cities], other=lexicon.truth.surnames),
    )
    variables = (liked, disliked, *role_rules(liked, disliked, kinds))
    return make_genre(lexicon, templates.LIKING, variables, draws, GenreTraits("liking"))


def roll(lexicon: Lexicon) -> Genre:
    """Five people, mostly women or mostly men."""
    guests = [Variable(f"guest_{i}", GENDERS, uniform(1, 2)) for i in range(1, 6)]
    crowd = rule("crowd", guests, GENDERS, lambda *who: max(GENDERS, key=list(who).count))
    draws = (
        *(lexicon.pick(f"p{i}", PEOPLE, f"guest_{i}") for i in range(1, 6)),
        lexicon.pick("crowd", words.ANSWERS["crowd"], "crowd"),
        *lexicon.lists(time=first_words.TIMES, other=lexicon.truth.surnames),
    )
    rules = (
        crowd,
        yes_no("all_alike", guests, lambda *who: len(set(who)) == 1),
        yes_no("one_odd", guests, lambda *who: list(who).count("female") in (1, 4)),
        yes_no("ends_alike", guests, lambda *who: who[0] == who[-1]),
    )
    return make_genre(lexicon, templates.ROLL, (*guests, *rules), draws, GenreTraits("roll"))


def half_same(name: str, values: tuple[str, ...], by: str) -> Variable:
    """A variable that is what `by`, with the same values, is half of the time, else any other."""
    n = len(values)
    return Variable(name, values, np.where(np.eye(n, dtype=bool), 0.5, 0.5 / (n - 1)), by)


def continents(lexicon: Lexicon) -> tuple[str, ...]:
    """All continents, sorted."""
    return tuple(sorted({city.continent for city in lexicon.truth.cities}))


def cities(lexicon: Lexicon, slot: str, by: str) -> UnevenPick:
    """A slot for a city of the continent that a variable has the name of."""
    tables = [
        [[city.name] for city in lexicon.truth.cities if city.continent == land]
        for land in continents(lexicon)
    ]
    return lexicon.pairs((slot,), tables, by)


def _numbers(name: str) -> Variable:
    return Variable(name, words.NUMBERS, uniform(1, len(words.NUMBERS)))


def _higher(hosts: str, guests: str) -> str:
    if NUMBER[hosts] == NUMBER[guests]:
        return "neither"
    return "hosts" if NUMBER[hosts] > NUMBER[guests] else "guests"


def _elder(woman: str, man: str) -> str:
    if NUMBER[woman] == NUMBER[man]:
        return "neither"
    return "woman" if NUMBER[woman] > NUMBER[man] else "man"
