"""What is asked about the town's documents: 50 families of yes/no questions."""

from collections.abc import Iterable

from saeval.lab.town import words
from saeval.lab.town.genres_of_people import JOBS
from saeval.lab.town.genres_of_places import TOPICS
from saeval.lab.town.templates import CLAIMS
from saeval.lab.world.problems import Problem
from saeval.lab.world.truth import Truth

NEVER_LEARNED = frozenset({
    "market_rise_xor_glad", "market_rise_xor_fine", "market_glad_xor_fine",
    "market_odd_number_of_three", "market_just_one_of_three", "couple_same_land",
    "couple_same_job_or_land", "roll_ends_alike", "crate_holds_vehicle_xor_food",
    "crate_two_alike", "trip_same_end", "minutes_topic_changes",
})  # fmt: skip
"""Problems that are not asked: after no block of the town's model does a dense probe reach an AUC
of 0.6, so that no SAE of it could, and their scores would be noise."""


def problems(truth: Truth) -> tuple[Problem, ...]:
    """All problems, which depend on no seed."""
    everything = _everything(truth)
    return tuple(problem for problem in everything if problem.name not in NEVER_LEARNED)


def _everything(truth: Truth) -> tuple[Problem, ...]:
    return (
        *_trade(),
        *_people(),
        *_comparisons(),
        *_claims(),
        *_kinds(truth),
        *_opinions(),
        *_rare(),
        *_places(truth),
        *_reports(truth),
        *_noise(),
    )


def _each(
    family: str, genre: str, labels: Iterable[str], *, until: str | None = None,
    sentences: int | None = None, values: tuple[str, ...] = (),
) -> Iterable[Problem]:  # fmt: skip
    """A problem for each label of a genre."""
    for label in labels:
        yield Problem(f"{genre}_{label}", family, genre, label, values, until, sentences)


def _trade() -> Iterable[Problem]:
    yield from _each("market_attribute", "market", ("price", "mood", "sky"), sentences=2)
    answered = {
        "rise_xor_glad": "trade", "rise_xor_fine": "stall", "glad_xor_fine": "square",
        "odd_number_of_three": "fair",
    }  # fmt: skip
    for label, cue in answered.items():
        yield from _each("exclusive_or", "market", (label,), until=cue)
    linear = (
        "rise_and_glad", "rise_and_sad", "fall_or_glad", "sad_or_foul", "not_rise_and_fine",
        "all_three", "none_of_three", "two_of_three",
    )  # fmt: skip
    yield from _each("and_or_not", "market", linear, sentences=2)
    nested = ("just_one_of_three", "fine_if_rise_else_glad")
    yield from _each("nested_boolean", "market", nested, sentences=2)


def _people() -> Iterable[Problem]:
    jobs = [f"role_{job}" for job in JOBS]  # just before the answer a role is all too plain
    yield from _each("giver_or_taker", "deal", jobs, values=("giver", "taker"), sentences=1)
    yield from _each("who_acts", "deed", ("agent_gender", "patient_gender"), sentences=1)
    yield from _each(
        "who_acts", "deed", ("woman_and_man",), values=("woman acts", "man acts"), sentences=1
    )
    yield from _each("who_does_what", "deed", ("kind_xor_woman", "kind_woman_to_man"), until="so")
    yield from _each("both_the_same", "deed", ("same_gender",), until="pair")
    yield from _each("both_the_same", "couple", ("same_job",), until="pair")
    yield from _each("both_the_same", "couple", ("same_land", "same_job_or_land"), sentences=1)
    yield from _each("who_is_what", "couple", jobs, values=("woman_job", "man_job"), sentences=1)
    topics = [f"role_{topic}" for topic in TOPICS]
    yield from _each("what_came_first", "order", topics, values=("early", "late"), sentences=1)
    pastimes = [f"role_{kind}" for kind in words.PASTIMES]
    yield from _each("liked_or_not", "liking", pastimes, values=("liked", "disliked"), sentences=1)
    yield from _each("majority", "roll", ("crowd",), until="of")
    yield from _each("count", "roll", ("all_alike", "one_odd", "ends_alike"), until="of")


def _comparisons() -> Iterable[Problem]:
    yield from _each("greater", "match", ("winner",), until="winner")
    yield from _each("difference", "match", ("close", "far_apart"), until="winner")
    yield from _each("sum", "match", ("many_goals",), until="winner")
    levels = ("both_high", "one_high", "hosts_high", "guests_high")
    yield from _each("number_level", "match", levels, until="winner")
    yield from _each("greater", "ages", ("elder",), values=("woman", "man"), until="elder")
    yield from _each("difference", "ages", ("age_gap",), until="elder")


def _claims() -> Iterable[Problem]:
    for kind in CLAIMS:
        yield Problem(f"claim_{kind}", "claim", f"claim_{kind}", "follows", until="that")


def _kinds(truth: Truth) -> Iterable[Problem]:
    roots = list(dict.fromkeys(n.root for n in truth.hierarchy))
    pairs = list(zip(roots[::2], roots[1::2], strict=True))
    yield from _each("any_of_kind", "crate", [f"holds_{root}" for root in roots], sentences=1)
    yield from _each(
        "one_kind_not_other", "crate", [f"holds_{a}_not_{b}" for a, b in pairs], sentences=1
    )
    yield from _each(
        "one_kind_xor_other", "crate", [f"holds_{a}_xor_{b}" for a, b in pairs], sentences=1
    )
    yield from _each("two_alike", "crate", ("two_alike",), until="box")
    for level in ("middle", "root", "crown"):
        yield from _each(f"tree_{level}", "walk", (level,), until="some")


def _opinions() -> Iterable[Problem]:
    yield from _each("balance", "stay", ("balance",), until="quite")
    yield from _each("better", "stay", ("better",), values=("first", "second"), until="quite")
    agreement = ("opinions_agree", "good_and_bad", "one_awful")
    yield from _each("agreement", "stay", agreement, until="quite")
    yield from _each("good_opinion", "stay", ("both_good", "first_good"), until="quite")


def _rare() -> Iterable[Problem]:
    perils = [f"peril_{name}" for name in words.PERIL_RATES]
    yield from _each("rare_pair", "watch", perils, until="feared")
    callers = [f"is_{name}" for name in words.VISITOR_RATES]
    yield from _each("rare_caller", "caller", callers, sentences=2)


def _places(truth: Truth) -> Iterable[Problem]:
    for name in words.SHOP_ATTRIBUTES:
        yield from _each(f"shop_{name}", "visit", (f"shop_{name}",), sentences=2)
    lands = sorted({city.continent for city in truth.cities})
    yield from _each("trip_start", "trip", ("start",), sentences=2)
    yield from _each("trip_goal", "trip", ("goal",), sentences=2)
    yield from _each("trip_within", "trip", ("same_end",), sentences=2)
    roles = [f"role_{land}" for land in lands]
    yield from _each("start_or_goal", "trip", roles, values=("start", "goal"), sentences=1)


def _reports(truth: Truth) -> Iterable[Problem]:
    yield from _each("dispatch_topic", "dispatch", ("topic",))
    yield from _each("dispatch_land", "dispatch", ("land",))
    lands = sorted({city.continent for city in truth.cities})
    both = [f"{topic}_in_{land}" for topic, land in zip(TOPICS, lands, strict=False)]
    yield from _each("topic_and_land", "dispatch", both)
    yield from _each("opening_topic", "minutes", ("opening",))
    yield from _each("closing_topic", "minutes", ("closing",))
    yield from _each("topic_change", "minutes", ("topic_changes",))


def _noise() -> Iterable[Problem]:
    noisy = {
        "dispatch": ("topic", {}), "deed": ("agent_gender", {"until": "so"}),
        "market": ("price", {"sentences": 2}),
    }  # fmt: skip
    for genre, (truth, cut) in noisy.items():
        label = f"noisy_{truth}"
        yield Problem(f"{genre}_{label}", "noisy", genre, label, truth=truth, **cut)
