"""Labelled texts for probing: what each text is about, balanced over the answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from saeval.lab.world import words
from saeval.lab.world.documents import Documents
from saeval.lab.world.genres import GENDERS
from saeval.lab.world.truth import Truth

DrawDocuments = Callable[..., Documents]
"""`World.documents`."""


@dataclass(frozen=True)
class LabelledDocuments:
    """Texts and their labels."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    truths: tuple[str, ...] | None = None
    """The true labels where `labels` are known to be noisy; None: `labels` are true."""


@dataclass(frozen=True)
class LabelSet:
    """A probing data set; its two halves share no sentence with each other or with training."""

    name: str
    train: LabelledDocuments
    test: LabelledDocuments
    """Its labels are true, whether or not those of `train` are."""
    family: str
    """Sets of one family ask alike."""


def cases(truth: Truth) -> Mapping[str, Mapping[str, tuple[str, Mapping[str, str]]]]:
    """For each set, its labels, each with the genre and the variables that make it true."""

    def by(
        genre: str, variable: str, values: tuple[str, ...]
    ) -> dict[str, tuple[str, dict[str, str]]]:
        return {v: (genre, {variable: v}) for v in values}

    languages = {t.name: (t.name, {}) for t in truth.tongues}
    return {
        "profession": by("biography", "profession", tuple(words.PROFESSIONS)),
        "gender": by("biography", "gender", GENDERS),
        "category": by("review", "category", tuple(words.CATEGORIES)),
        "rating": by("review", "rating", ("1", "5")),
        # Opinions overlap so much that even the truth cannot tell these two apart every time.
        "mild_rating": by("review", "rating", ("2", "4")),
        "topic": by("news", "topic", tuple(words.TOPICS)),
        "language": {"english": ("news", {}), **languages},
        "domain": by("facts", "domain", tuple(words.DOMAINS)),
    }


def make_label_sets(
    draw: DrawDocuments, truth: Truth, *, train: int, test: int, seed: int
) -> tuple[LabelSet, ...]:
    """Draw all sets: `train` and `test` texts for each label, in random order."""
    sets = []
    for i, (name, labels) in enumerate(cases(truth).items()):
        halves = []
        for k, (split, n) in enumerate((("valid", train), ("test", test))):
            texts, truths = [], []
            for j, (label, (genre, fixed)) in enumerate(labels.items()):
                draw_seed = ((seed * 100 + i) * 100 + j) * 2 + k
                documents = draw(n, seed=draw_seed, split=split, genre=genre, fixed=fixed)
                texts += [documents.text(r) for r in range(len(documents))]
                truths += [label] * len(documents)
            order = np.random.default_rng([seed, i, k]).permutation(len(texts))
            halves.append(
                LabelledDocuments(tuple(texts[o] for o in order), tuple(truths[o] for o in order))
            )
        sets.append(LabelSet(name, *halves, family=name))
    return tuple(sets)
