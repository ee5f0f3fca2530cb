"""Documents on trade, claims, kinds of things and rare events."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from saeval.lab.town import templates, words
from saeval.lab.town.rules import YES_NO, noisy, rule, yes_no
from saeval.lab.world import words as first_words
from saeval.lab.world.biases import Biases
from saeval.lab.world.genres import RATINGS, leaning
from saeval.lab.world.grammar import Genre, Variable, uniform
from saeval.lab.world.lexicon import GenreTraits, Lexicon, make_genre

PRICE_NOISE = 0.2
"""Share of markets whose noisy label is wrong."""
ITEMS = 4
"""Things in a crate."""


def things(lexicon: Lexicon, biases: Biases) -> tuple[Genre, ...]:
    """All genres of this file."""
    return (
        market(lexicon, biases.mood),
        *claims(lexicon),
        crate(lexicon),
        walk(lexicon),
        stay(lexicon),
        watch(lexicon),
        caller(lexicon),
    )


def market(lexicon: Lexicon, bias: float) -> Genre:
    """Price, mood and weather: what people say of it depends on two or three of them at once."""
    price = Variable("price", tuple(words.TRENDS), uniform(1, 2))
    mood = Variable("mood", tuple(words.MOODS), leaning(2, bias), "price")
    sky = Variable("sky", tuple(words.SKIES), uniform(1, 2))
    three = (price, mood, sky)

    def true_of(p: str, m: str, s: str) -> tuple[bool, bool, bool]:
        return p == "rise", m == "glad", s == "fine"

    rules = (
        yes_no("rise_xor_glad", (price, mood), lambda p, m: (p == "rise") != (m == "glad")),
        yes_no("rise_xor_fine", (price, sky), lambda p, s: (p == "rise") != (s == "fine")),
        yes_no("glad_xor_fine", (mood, sky), lambda m, s: (m == "glad") != (s == "fine")),
        yes_no("odd_number_of_three", three, lambda *v: sum(true_of(*v)) % 2 == 1),
        yes_no("rise_and_glad", three, lambda *v: all(true_of(*v)[:2])),
        yes_no("rise_and_sad", (price, mood), lambda p, m: p == "rise" and m == "sad"),
        yes_no("fall_or_glad", (price, mood), lambda p, m: p == "fall" or m == "glad"),
        yes_no("sad_or_foul", (mood, sky), lambda m, s: m == "sad" or s == "foul"),
        yes_no("not_rise_and_fine", (price, sky), lambda p, s: not (p == "rise" and s == "fine")),
        yes_no("all_three", three, lambda *v: all(true_of(*v))),
        yes_no("none_of_three", three, lambda *v: not any(true_of(*v))),
        yes_no("two_of_three", three, lambda *v: sum(true_of(*v)) >= 2),
        yes_no("just_one_of_three", three, lambda *v: sum(true_of(*v)) == 1),
        yes_no("fine_if_rise_else_glad", three, _choice),
    )
    answer = words.ANSWERS
    draws = (
        lexicon.pick("trend", [*words.TRENDS.values()], "price"),
        lexicon.pick("mood", [*words.MOODS.values()], "mood"),
        lexicon.pick("sky", [*words.SKIES.values()], "sky"),
        lexicon.pick("trade", answer["trade"], "rise_xor_glad"),
        lexicon.pick("stall", answer["stall"], "rise_xor_fine"),
        lexicon.pick("square", answer["square"], "glad_xor_fine"),
        lexicon.pick("fair", answer["fair"], "odd_number_of_three"),
        *lexicon.lists(city=_city_names(lexicon), brand=lexicon.truth.brands),
        *lexicon.lists(day=first_words.DAYS, daytime=words.DAYTIMES, other=lexicon.truth.surnames),
    )
    variables = (*three, *rules, noisy("noisy_price", price, PRICE_NOISE))
    return make_genre(lexicon, templates.MARKET, variables, draws, GenreTraits("market"))


def claims(lexicon: Lexicon) -> Iterator[Genre]:
    """For each kind of claim: one statement, and another that follows from it or does not."""
    for kind, true_pairs in _true_pairs(lexicon).items():
        seconds = dict.fromkeys(b for _, b in true_pairs)
        is_true = set(true_pairs)
        false_pairs = [
            (a, b)
            for a in dict.fromkeys(a for a, _ in true_pairs)
            for b in seconds
            if (a, b) not in is_true
        ]
        follows = Variable("follows", YES_NO, uniform(1, 2))
        draws = (
            lexicon.pairs(("a", "b"), (false_pairs, true_pairs), "follows"),
            lexicon.pick("judged", words.ANSWERS["judged"][::-1], "follows"),
            *lexicon.lists(other=lexicon.truth.surnames),
        )
        traits, name = GenreTraits("claim", {"claim": kind}), f"claim_{kind}"
        sentences = templates.CLAIM_SENTENCES[kind]
        yield make_genre(lexicon, sentences, (follows,), draws, traits, name)


def _true_pairs(lexicon: Lexicon) -> dict[str, list[tuple[str, str]]]:
    """For each kind of claim: what follows from what."""
    truth = lexicon.truth
    jobs = {job: text[1].split() for job, text in first_words.PROFESSIONS.items()}
    pairs = {
        "city_country": [(c.name, c.country) for c in truth.cities],
        "city_continent": [(c.name, c.continent) for c in truth.cities],
        "city_speech": [(c.name, c.speech) for c in truth.cities],
        "leaf_middle": [(n.leaf, n.middle) for n in truth.hierarchy],
        "leaf_root": [(n.leaf, n.root) for n in truth.hierarchy],
        "middle_crown": [(n.middle, str(n.crown)) for n in truth.hierarchy],
        "shop_street": [(s.name, s.attributes["street"]) for s in truth.shops],
        "shop_ware": [(s.name, s.attributes["ware"]) for s in truth.shops],
        "job_tool": [(job, tool) for job, tools in jobs.items() for tool in tools],
    }
    return {kind: list(dict.fromkeys(rows)) for kind, rows in pairs.items()}


def crate(lexicon: Lexicon) -> Genre:
    """Four things, of four kinds or not."""
    roots = tuple(dict.fromkeys(n.root for n in lexicon.truth.hierarchy))
    leaves = [[n.leaf for n in lexicon.truth.hierarchy if n.root == root] for root in roots]
    items = [Variable(f"item_{i}", roots, uniform(1, len(roots))) for i in range(1, ITEMS + 1)]
    conjunctions = [(roots[i], roots[i + 1]) for i in range(0, len(roots), 2)]
    rules = (
        yes_no("two_alike", items, lambda *found: len(set(found)) < ITEMS),
        *(yes_no(f"holds_{root}", items, lambda *found, r=root: r in found) for root in roots),
        *(
            yes_no(f"holds_{a}_not_{b}", items, lambda *f, a=a, b=b: a in f and b not in f)
            for a, b in conjunctions
        ),
        *(
            yes_no(f"holds_{a}_xor_{b}", items, lambda *f, a=a, b=b: (a in f) != (b in f))
            for a, b in conjunctions
        ),
    )
    draws = (
        *(lexicon.pick(f"i{i}", leaves, f"item_{i}") for i in range(1, ITEMS + 1)),
        lexicon.pick("crate", words.ANSWERS["crate"], "two_alike"),
        *lexicon.lists(other=lexicon.truth.surnames),
    )
    return make_genre(lexicon, templates.CRATE, (*items, *rules), draws, GenreTraits("crate"))


def walk(lexicon: Lexicon) -> Genre:
    """Two leaves of one middle, which is named in the answer alone."""
    tree = lexicon.truth.hierarchy
    middles = tuple(dict.fromkeys(n.middle for n in tree))
    above = {n.middle: n for n in tree}
    leaves = [[n.leaf for n in tree if n.middle == middle] for middle in middles]
    middle = Variable("middle", middles, uniform(1, len(middles)))
    roots = tuple(dict.fromkeys(n.root for n in tree))
    crowns = tuple(dict.fromkeys(str(n.crown) for n in tree))
    rules = (
        rule("root", (middle,), roots, lambda m: above[m].root),
        rule("crown", (middle,), crowns, lambda m: str(above[m].crown)),
    )
    draws = (
        lexicon.pick("leaf", leaves, "middle"),
        lexicon.pick("leaf2", leaves, "middle"),
        lexicon.pick("middle", [[m] for m in middles], "middle"),
        *lexicon.lists(spot=first_words.SPOTS, other=lexicon.truth.surnames),
    )
    return make_genre(lexicon, templates.WALK, (middle, *rules), draws, GenreTraits("walk"))


def stay(lexicon: Lexicon) -> Genre:
    """Two opinions of an inn, whose balance decides how the guest left."""
    first = Variable("first_opinion", RATINGS, uniform(1, len(RATINGS)))
    second = Variable("second_opinion", RATINGS, uniform(1, len(RATINGS)))
    both = (first, second)

    def balance(a: str, b: str) -> str:
        mean = (int(a) + int(b)) / 2
        return "torn" if mean == 3 else "good" if mean > 3 else "bad"

    rules = (
        rule("balance", both, ("bad", "torn", "good"), balance),
        rule(
            "better", both, ("first", "second", "neither"),
            lambda a, b: "neither" if a == b else "first" if a > b else "second",
        ),
        yes_no("opinions_agree", both, lambda a, b: abs(int(a) - int(b)) <= 1),
        yes_no("both_good", both, lambda a, b: min(a, b) >= "4"),
        yes_no("one_awful", both, lambda a, b: (a == "1") != (b == "1")),
        yes_no("good_and_bad", both, lambda a, b: min(a, b) <= "2" and max(a, b) >= "4"),
        yes_no("first_good", both, lambda a, _: a >= "4"),
    )  # fmt: skip
    draws = (
        lexicon.pick("first", words_of_ratings(), "first_opinion"),
        lexicon.pick("second", words_of_ratings(), "second_opinion"),
        lexicon.pairs(
            ("guest",), [[[w] for w in row] for row in words.ANSWERS["guest"]], "balance"
        ),
        *lexicon.lists(place=words.INNS, spot=first_words.SPOTS, month=first_words.MONTHS),
        *lexicon.lists(aspect=words.COMFORTS, aspect2=words.COMFORTS),
        *lexicon.lists(other=lexicon.truth.surnames),
    )
    return make_genre(lexicon, templates.STAY, (*both, *rules), draws, GenreTraits("stay"))


def words_of_ratings() -> list[list[str]]:
    """Opinion words of each rating."""
    return [list(row) for row in first_words.OPINIONS]


def watch(lexicon: Lexicon) -> Genre:
    """Two signs; a few pairs of them are rare and mean a peril, though each sign is common."""
    sign = Variable("sign", words.SIGNS, uniform(1, len(words.SIGNS)))
    second = Variable("sign2", words.SIGNS, _partner_of_sign(), "sign")
    perils = tuple(words.PERILS)
    partner = {
        frozenset(words.SIGNS[2 * i : 2 * i + 2]): peril
        for i, peril in enumerate(words.PERIL_RATES)
    }
    peril = rule(
        "peril", (sign, second), perils, lambda a, b: partner.get(frozenset((a, b)), "none")
    )
    rules = (
        peril,
        *(yes_no(f"peril_{name}", (peril,), lambda p, n=name: p == n) for name in perils[1:]),
    )
    draws = (
        lexicon.pick("sign", [[s] for s in words.SIGNS], "sign"),
        lexicon.pick("sign2", [[s] for s in words.SIGNS], "sign2"),
        lexicon.pick("peril", [*words.PERILS.values()], "peril"),
        *lexicon.lists(city=_city_names(lexicon), day=first_words.DAYS),
        *lexicon.lists(other=lexicon.truth.surnames),
    )
    return make_genre(lexicon, templates.WATCH, (sign, second, *rules), draws, GenreTraits("watch"))


def _partner_of_sign() -> Float[np.ndarray, "signs signs"]:
    """Probability of the second sign given the first: its partner is rare, itself impossible."""
    n = len(words.SIGNS)
    p = np.zeros((n, n))
    for i, rate in enumerate(words.PERIL_RATES.values()):
        for a, b in ((2 * i, 2 * i + 1), (2 * i + 1, 2 * i)):
            p[a] = (1 - rate) / (n - 2)
            p[a, a], p[a, b] = 0, rate
    return p


def caller(lexicon: Lexicon) -> Genre:
    """Someone comes: nearly always an ordinary person, now and then one of a rare kind."""
    kinds = tuple(words.VISITORS)
    rates = np.array([words.VISITOR_RATES.get(kind, 0) for kind in kinds])
    rates[0] = 1 - rates.sum()
    kind = Variable("caller", kinds, rates[None])
    sky = Variable("sky", tuple(words.SKIES), uniform(1, 2))
    rules = [yes_no(f"is_{k}", (kind,), lambda v, k=k: v == k) for k in kinds[1:]]
    tables = [[[word] for word in members] for members in words.VISITORS.values()]
    draws = (
        lexicon.pairs(("caller",), tables, "caller"),
        lexicon.pick("sky", [*words.SKIES.values()], "sky"),
        *lexicon.lists(city=_city_names(lexicon), day=first_words.DAYS, month=first_words.MONTHS),
        *lexicon.lists(thing=words.THINGS, thing2=words.THINGS, time=first_words.TIMES),
        *lexicon.lists(other=lexicon.truth.surnames),
    )
    return make_genre(lexicon, templates.CALLER, (kind, sky, *rules), draws, GenreTraits("caller"))


def _choice(price: str, mood: str, sky: str) -> bool:
    """The weather decides where the price rose, the mood where it fell."""
    return sky == "fine" if price == "rise" else mood == "glad"


def _city_names(lexicon: Lexicon) -> list[str]:
    return [city.name for city in lexicon.truth.cities]
