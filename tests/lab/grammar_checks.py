"""Checks that hold for the grammar of every world."""

from saeval.lab.world.grammar import Genre


def ambiguous_forms(genre: Genre) -> list[tuple[list[set[int]], list[set[int]]]]:
    """Pairs of templates of one group that can make the same sentence, as the ids of each slot.

    Where there is none a sentence tells its template, so that log-probabilities are exact.
    """
    slots = [set(slot) for draw in genre.draws for slot in draw.support()]
    pairs = []
    for group in genre.plan:
        forms = [
            [slots[-2 - i] if i <= -2 else {i} for i in row if i != -1]
            for row in group.ids.tolist()
        ]
        pairs += [
            (one, other)
            for k, one in enumerate(forms)
            for other in forms[:k]
            if len(one) == len(other) and all(a & b for a, b in zip(one, other, strict=True))
        ]
    return pairs
