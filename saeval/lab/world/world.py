"""The world: documents, streams, probing sets and questions drawn from one known truth."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from saeval.errors import DataError
from saeval.lab.world import templates, words
from saeval.lab.world.biases import UNBIASED, Biases
from saeval.lab.world.documents import Documents
from saeval.lab.world.genres import make_genres
from saeval.lab.world.grammar import SPLITS, Genre
from saeval.lab.world.label_sets import LabelSet, make_label_sets
from saeval.lab.world.lexicon import Lexicon
from saeval.lab.world.material import Material
from saeval.lab.world.problems import draw_problem_sets
from saeval.lab.world.quiz import AttributePrompt, Question, ask, describe
from saeval.lab.world.sampling import GenreSample, sample_genre
from saeval.lab.world.truth import Node, Truth, make_truth
from saeval.lab.world.vocabulary import Concept, Vocabulary, make_vocabulary
from saeval.lab.world.word_lists import WordLists, constants

MIX: Mapping[str, float] = {
    # Share of documents.
    "biography": 0.15, "review": 0.12, "news": 0.12, "facts": 0.10, "questions": 0.22,
    "places": 0.08, "hierarchy": 0.05, "association": 0.05, "spelling": 0.05,
    "velan": 0.02, "okuri": 0.02, "teshni": 0.02,
}  # fmt: skip
FIRST = Material(
    name="world",
    words=WordLists(
        handwritten=constants(words), frames=templates.ALL, trees=words.TREES,
        abilities=words.ABILITIES, associates=words.ASSOCIATES, hierarchy=templates.HIERARCHY,
        association=templates.ASSOCIATION,
    ),
    mix=MIX,
)  # fmt: skip
"""The material of `lab/world`."""


@dataclass(frozen=True)
class World:
    """A small world with its own people, goods, languages and facts.

    Everything follows from `seed`; what is drawn from the world has a seed of its own.
    """

    seed: int = 0
    biases: Biases = UNBIASED
    material: Material = FIRST

    @cached_property
    def truth(self) -> Truth:
        """What holds in the world."""
        return make_truth(self.seed, self.material.words)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Its tokens and their concepts."""
        return make_vocabulary(
            self.truth, self.material.words.frames, self.material.meanings(self.truth)
        )

    @cached_property
    def lexicon(self) -> Lexicon:
        """Truth and vocabulary together."""
        return Lexicon(self.truth, self.vocabulary)

    @cached_property
    def genres(self) -> tuple[Genre, ...]:
        """All kinds of document."""
        return (
            *make_genres(self.lexicon, self.biases, self.material.words),
            *self.material.genres(self.lexicon, self.biases),
        )

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """The concept table that documents refer to."""
        return self.vocabulary.concepts

    def documents(
        self,
        n: int,
        *,
        seed: int,
        split: str = "train",
        genre: str | None = None,
        fixed: Mapping[str, str] | None = None,
    ) -> Documents:
        """Draw documents.

        Args:
            n: How many.
            seed: Of this draw; the world's own seed is another.
            split: "train" (what the lab's model was trained on), "valid" or "test". Two splits
                never share a sentence.
            genre: A genre or a family of genres ("language"); all of them by default.
            fixed: Variables with the value that all documents get, such as {"profession": "nurse",
                "gender": "male"}; needs a genre.

        Raises:
            DataError: for an unknown split, genre, variable or value.
        """
        if split not in SPLITS:
            raise DataError(f"There is no split {split!r}. Give one of {', '.join(SPLITS)}.")
        genres = [g for g in self.genres if genre in (None, g.name, g.family)]
        if not genres:
            names = ", ".join(sorted({x for g in self.genres for x in (g.name, g.family)}))
            raise DataError(f"There is no genre {genre!r}. Give one of {names}.")
        rng = np.random.default_rng([self.seed, 1, seed])
        share = np.array([self.material.mix[g.name] for g in genres])
        kind = rng.choice(len(genres), n, p=share / share.sum())
        samples = [
            sample_genre(g, int((kind == i).sum()), rng, split=split, fixed=fixed)
            for i, g in enumerate(genres)
        ]
        return _merge_samples(self.vocabulary, samples, kind, np.log(share / share.sum()))

    def label_sets(
        self, *, train: int = 100, test: int = 50, seed: int = 0
    ) -> tuple[LabelSet, ...]:
        """Draw probing sets: those that every world has, such as profession, then the material's.

        Which sets there are does not depend on the seed.

        Args:
            train: Texts a label to train probes on; held out from the lab's model too.
            test: Texts a label to score probes on.
            seed: Of this draw.
        """
        return (
            *make_label_sets(self.documents, self.truth, train=train, test=test, seed=seed),
            *draw_problem_sets(
                self.documents, self.material.problems(self.truth),
                train=train, test=test, seed=seed,
            ),
        )  # fmt: skip

    def mcq(self, domain: str, n: int, *, seed: int, split: str = "test") -> tuple[Question, ...]:
        """Draw multiple-choice questions of one domain, the untaught facts among them.

        Raises:
            DataError: if the world has no such domain.
        """
        rng = np.random.default_rng([self.seed, 2, seed])
        return tuple(ask(self.lexicon, domain, n, rng, split))

    def attribute_prompts(
        self, attribute: str, n: int, *, seed: int, split: str = "test"
    ) -> tuple[AttributePrompt, ...]:
        """Draw statements about cities, or shops where there are any, that end before a value.

        Raises:
            DataError: if `attribute` is none of country, continent, speech, industry, nor one of
                the shops' attributes.
        """
        rng = np.random.default_rng([self.seed, 3, seed])
        return tuple(describe(self.lexicon, self.material.words, attribute, n, rng, split))

    def spelling_words(self) -> tuple[str, ...]:
        """All words that the spelling documents teach: every lower-case word there is."""
        return self.vocabulary.words

    def hierarchy(self) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
        """The true trees, and as many pairings of the same shape that are no hierarchy."""
        return self.truth.hierarchy, self.truth.associations


def _merge_samples(
    vocabulary: Vocabulary,
    samples: list[GenreSample],
    kind: Int[np.ndarray, " documents"],
    log_share: Float[np.ndarray, " genres"],
) -> Documents:
    """Put the documents of all genres in the drawn order."""
    n = len(kind)
    width = max(s.ids.shape[1] for s in samples)
    ids = np.full((n, width), -1, np.int32)
    log_p = np.zeros(n)
    labels: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for i, sample in enumerate(samples):
        rows = np.flatnonzero(kind == i)
        ids[rows, : sample.ids.shape[1]] = sample.ids
        log_p[rows] = sample.log_p + log_share[i]
        for name, values, code in _sample_labels(sample):
            value_names, codes = labels.setdefault(name, ((), np.full(n, -1)))
            merged = tuple(dict.fromkeys((*value_names, *values)))
            place = np.array([merged.index(v) for v in values])
            codes[rows] = place[code]
            labels[name] = (merged, codes)
    present = ids >= 0
    starts = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    names = tuple(s.genre.name for s in samples)
    return Documents(vocabulary, ids[present], starts, names, kind, labels, log_p)


def _sample_labels(sample: GenreSample) -> Iterator[tuple[str, tuple[str, ...], np.ndarray]]:
    """Labels of a sample: its genre's own and its variables'."""
    n = len(sample.ids)
    for name, value in sample.genre.labels.items():
        yield name, (value,), np.zeros(n, np.int64)
    for variable in sample.genre.variables:
        yield variable.name, variable.values, sample.values[variable.name]
