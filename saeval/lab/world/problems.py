"""Probing problems read off whole documents: labels that no list of words decides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int

from saeval.errors import DataError
from saeval.lab.world.documents import Documents
from saeval.lab.world.label_sets import DrawDocuments, LabelledDocuments, LabelSet
from saeval.lab.world.vocabulary import SENTENCE_END

MAX_ROUNDS = 14
"""Draws of one genre, each twice as large as the one before, until each label has its texts."""


@dataclass(frozen=True)
class Problem:
    """A question about documents of one genre, answered by one of their labels."""

    name: str
    family: str
    """What it has in common with other problems; one name stands for all that ask alike."""
    genre: str
    label: str
    """Name of the documents' label."""
    values: tuple[str, ...] = ()
    """The label's values to tell apart; documents with another are left out. Empty: all."""
    until: str | None = None
    """The text ends with this token, before an answer; documents without it are left out."""
    sentences: int | None = None
    """The text is so many of the first sentences; None: all of them."""
    truth: str | None = None
    """The true label where `label` is a noisy one: training texts get `label`, test texts this."""


def draw_problem_sets(
    draw: DrawDocuments, problems: Sequence[Problem], *, train: int, test: int, seed: int
) -> tuple[LabelSet, ...]:
    """Draw `train` and `test` texts for each label of every problem, each half in random order.

    Problems of one genre share documents. Texts of one half of a set are all different.

    Args:
        draw: `World.documents`.
        problems: What to ask.
        train: Texts a label to train probes on, of the split "valid".
        test: Texts a label to score probes on, of the split "test".
        seed: Of this draw.
    """
    halves: dict[str, list[LabelledDocuments]] = {problem.name: [] for problem in problems}
    for i, genre in enumerate(dict.fromkeys(problem.genre for problem in problems)):
        asked = [problem for problem in problems if problem.genre == genre]
        for k, (split, n) in enumerate((("valid", train), ("test", test))):
            texts = _draw_texts(draw, [_half(p, k) for p in asked], genre, split, n, (seed, i, k))
            for j, problem in enumerate(asked):
                rng = np.random.default_rng([seed, i, k, j])
                halves[problem.name].append(_shuffled(texts[problem.name], problem, rng))
    return tuple(
        LabelSet(problem.name, *halves[problem.name], family=problem.family) for problem in problems
    )


def _half(problem: Problem, half: int) -> Problem:
    """The problem as it is asked of a half: test texts are chosen and labelled by the truth."""
    return replace(problem, label=problem.truth) if half and problem.truth else problem


_Texts = dict[str, dict[str, str]]
"""For each label: its texts, each with its truth."""


def _draw_texts(
    draw: DrawDocuments, asked: Sequence[Problem], genre: str, split: str, n: int,
    seed: tuple[int, int, int],
) -> Mapping[str, _Texts]:  # fmt: skip
    """For each problem: `n` different texts a label.

    Raises:
        DataError: if a label is too rare, or there is no such label.
    """
    found: dict[str, _Texts] = {problem.name: {} for problem in asked}
    missing: list[Problem] = []
    for number in range(MAX_ROUNDS):
        state = np.random.SeedSequence([*seed, number]).generate_state(1)
        documents = draw(20 * n * 2**number, seed=int(state[0]), split=split, genre=genre)
        for problem in asked:
            _collect(found[problem.name], documents, problem, n)
        missing = [p for p in asked if any(len(t) < n for t in found[p.name].values())]
        if not missing:
            return found
    raise DataError(
        f"The problem {missing[0].name!r} finds too few documents of each label in genre "
        f"{genre!r}: make its labels less rare, or ask for fewer texts than {n}."
    )


def _collect(texts: _Texts, documents: Documents, problem: Problem, n: int) -> None:
    """Add documents' texts to those that were found, up to `n` a label."""
    names, code = documents.labels[problem.label]
    truths, truth_code = documents.labels[problem.truth or problem.label]
    usable = _has_token(documents, problem.until) if problem.until else np.ones(len(code), bool)
    for value in problem.values or names:
        chosen = texts.setdefault(value, {})
        for row in np.flatnonzero(usable & (code == names.index(value))):
            if len(chosen) == n:
                break
            chosen.setdefault(_cut(documents, int(row), problem), truths[truth_code[row]])


def _has_token(documents: Documents, token: str) -> Bool[np.ndarray, " documents"]:
    """Which documents contain the token."""
    hits = documents.flat == documents.vocabulary.ids[token]
    return np.add.reduceat(hits, documents.starts[:-1]) > 0


def _cut(documents: Documents, row: int, problem: Problem) -> str:
    """The part of a document's text that the problem shows."""
    ids = documents.flat[documents.starts[row] : documents.starts[row + 1]]
    vocabulary = documents.vocabulary
    end = len(ids)
    if problem.until is not None:
        end = int(_places(ids, vocabulary.ids[problem.until])[0]) + 1
    elif problem.sentences is not None:
        end = int(_places(ids, vocabulary.ids[SENTENCE_END])[problem.sentences - 1]) + 1
    return " ".join(vocabulary.tokens[i] for i in ids[:end].tolist())


def _places(ids: Int[np.ndarray, " tokens"], token: int) -> Int[np.ndarray, " places"]:
    return np.flatnonzero(ids == token)


def _shuffled(texts: _Texts, problem: Problem, rng: np.random.Generator) -> LabelledDocuments:
    """One half of a set."""
    rows = [(text, value, truth) for value, found in texts.items() for text, truth in found.items()]
    shown, labels, truths = zip(*(rows[i] for i in rng.permutation(len(rows))), strict=True)
    return LabelledDocuments(shown, labels, truths if problem.truth else None)
