"""What the town's own words mean: their concepts."""

from collections.abc import Iterable, Sequence

from saeval.lab.town import words
from saeval.lab.world.truth import Truth
from saeval.lab.world.vocabulary import Concept


def meanings(truth: Truth) -> Iterable[tuple[str, list[Concept]]]:
    """All words of the town that the first world lacks, but for those of the trees."""
    for kind, name, members in _groups():
        for word in members:
            yield word, [Concept(f"{kind}/{name}", kind)]
    for kind, members in (("number", words.NUMBERS), ("sign", words.SIGNS)):
        for word in members:
            yield word, [Concept(f"{kind}/{word}", kind)]
    yield from _shops(truth)


def _groups() -> Iterable[tuple[str, str, Sequence[str]]]:
    """Words that share a concept: its kind, its name in the kind, and the words."""
    kinds = {
        "trend": words.TRENDS, "mood": words.MOODS, "sky": words.SKIES, "deed": words.DEEDS,
        "pastime": words.PASTIMES, "gift": words.GIFTS, "visitor": words.VISITORS,
        "peril": words.PERILS,
    }  # fmt: skip
    for kind, groups in kinds.items():
        yield from ((kind, name, members) for name, members in groups.items())
    roles = {
        "thing": words.THINGS, "daytime": words.DAYTIMES, "game": words.GAMES,
        "inn": words.INNS, "comfort": words.COMFORTS,
    }  # fmt: skip
    yield from (("role", name, members) for name, members in roles.items())
    for topic, answers in words.ANSWERS.items():
        yield from (("answer", f"{topic}-{i}", members) for i, members in enumerate(answers))


def _shops(truth: Truth) -> Iterable[tuple[str, list[Concept]]]:
    """Shops with all that is true of them, and the words for their attributes."""
    for shop in truth.shops:
        held = [Concept(f"{kind}/{value}", kind) for kind, value in shop.attributes.items()]
        yield shop.name, [Concept(f"shop/{shop.name}", "shop"), *held]
    for kind, values in words.SHOP_ATTRIBUTES.items():
        for value in values:
            yield value, [Concept(f"{kind}/{value}", kind)]
