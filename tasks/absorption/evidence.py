"""The evidence of `absorption` about letters: from what an SAE does with them to metrics."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from saeval.evidence import Evidence, Metric, Missing, Units, units

from .._f1 import always_yes_f1, f1_score
from . import metrics as declared
from .letters import Letters, MainLatents, WordOutcomes, is_scored
from .words import LETTERS

ONE_FIGURE = "a letter has but one"


@dataclass(frozen=True)
class LetterResult:
    """What an SAE does with one letter: its main latents, and each scored word's outcome."""

    letter: int
    main: MainLatents
    outcomes: WordOutcomes
    kept_f1: float
    """What `kept_letter_f1` gives."""


WORD_METRICS: Mapping[str, Metric] = {
    "fraction": declared.MEAN_ABSORPTION_FRACTION,
    "whole": declared.FULL_ABSORPTION_RATE,
    "lost": declared.LOST_RATE,
}
"""Column, which is a field of `WordOutcomes` -> metric over the scored words."""
LETTER_METRICS = (
    declared.KEPT_LETTER_F1,
    *WORD_METRICS.values(),
    declared.SPLIT_LATENTS,
    declared.MAIN_LATENT_F1,
)


def probe_evidence(letters: Letters, words: pd.DataFrame, cut: int) -> Iterator[Evidence]:
    """How well the model itself spells, and on which words an SAE can therefore be judged."""
    if cut:
        yield _cut_words(cut, len(words))
    if (letters.split == 2).any():
        yield from _probe_f1(letters)
        yield _scored_words(letters, words)


def _cut_words(cut: int, uncut: int) -> Evidence:
    return declared.CUT_WORDS.evidence(
        units("cut_words", "tokenizer", {"cut": [cut], "of": [cut + uncut]}),
        {"num": "cut", "den": "of"},
        no_interval="every word was looked at",
    )


def _probe_f1(letters: Letters) -> Iterator[Evidence]:
    """F1 of the model's own probes, over all letters and for each, and which are judged by."""
    test = letters.split == 2
    present = np.unique(letters.letter[test])  # F1 has no meaning for a letter without test words
    is_letter = letters.letter[test][:, None] == present
    f1 = f1_score(letters.says_yes[test][:, present], is_letter)
    names = [LETTERS[letter] for letter in present]
    table = units(
        "letter_probes",
        "letter of words",
        {"f1": f1, "usable": np.isin(present, letters.judged), "words": is_letter.sum(0)},
        part=names,
        unit_id=names,
    )
    floor = float(always_yes_f1(is_letter.mean(0)).mean())
    yield declared.PROBE_F1.evidence(table, {"num": "f1"}, floor=floor)
    for name in names:
        yield declared.PROBE_F1.evidence(table, {"num": "f1"}, part=name, no_interval=ONE_FIGURE)
    yield declared.USABLE_LETTERS.evidence(table, {"num": "usable"})


def _scored_words(letters: Letters, words: pd.DataFrame) -> Evidence:
    """Share of test words whose letter is usable and whose probe is right."""
    test = letters.split == 2
    table = units(
        "test_words",
        "word in letter",
        {"scored": is_scored(letters)[test]},
        unit_id=words["text"].to_numpy()[test],
        cluster=[LETTERS[letter] for letter in letters.letter[test]],
    )
    return declared.SCORED_WORDS.evidence(table, {"num": "scored"})


def letter_evidence(
    results: Sequence[LetterResult], letters: Letters, words: pd.DataFrame
) -> Iterator[Evidence | Missing]:
    """Absorption over all letters judged by, which are the units, and over the words of each.

    Args:
        results: One for each letter that is judged by, at least one.
        letters: The words of all letters.
        words: Their texts and stems.
    """
    names = [LETTERS[result.letter] for result in results]
    by_letter = units(
        "letters",
        "letter of words",
        {
            **{
                column: [_word_column(result, column).mean() for result in results]
                for column in WORD_METRICS
            },
            "split": [len(result.main.latents) for result in results],
            "f1": [result.main.f1 for result in results],
            "kept_f1": [result.kept_f1 for result in results],
            "words": [len(result.outcomes.words) for result in results],
        },
        unit_id=names,
    )
    yield declared.KEPT_LETTER_F1.evidence(by_letter, {"num": "kept_f1"})
    for column, metric in WORD_METRICS.items():
        yield metric.evidence(by_letter, {"num": column})
    yield declared.SPLIT_LATENTS.evidence(by_letter, {"num": "split"})
    yield _main_f1_evidence(results, letters, by_letter)
    yield from _evidence_by_letter(results, names, words)
    yield from _left_out_letters(letters, names)


def _left_out_letters(letters: Letters, names: Sequence[str]) -> Iterator[Missing]:
    """Letters that no SAE is judged by, and why."""
    for letter in np.unique(letters.letter).tolist():
        if LETTERS[letter] not in names:
            reason = (
                "The model's own probe recognises none of the letter's test words."
                if letters.usable[letter]
                else "The model's own probe of the letter is too poor on validation words."
            )
            yield from missing_metrics(LETTER_METRICS, reason, LETTERS[letter])


def _main_f1_evidence(results: Sequence[LetterResult], letters: Letters, table: Units) -> Evidence:
    """F1 of the main latents, between knowing nothing and the model's own probe."""
    test = letters.split == 2
    numbers = [result.letter for result in results]
    is_letter = letters.letter[test][:, None] == numbers
    probe = f1_score(letters.says_yes[test][:, numbers], is_letter)
    return declared.MAIN_LATENT_F1.evidence(
        table,
        {"num": "f1"},
        ceiling=float(probe.mean()),
    )


def _evidence_by_letter(
    results: Sequence[LetterResult], names: Sequence[str], words: pd.DataFrame
) -> Iterator[Evidence]:
    """The figures of each letter by itself, and its main latents."""
    rows = np.concatenate([result.outcomes.words for result in results])
    by_word = units(
        "words",
        "word",
        {
            column: np.concatenate([_word_column(result, column) for result in results])
            for column in WORD_METRICS
        },
        part=np.repeat(names, [len(result.outcomes.words) for result in results]),
        unit_id=words["text"].to_numpy()[rows],
        cluster=words["stem"].to_numpy()[rows],
    )
    named_latents = [
        (name, latent)
        for name, result in zip(names, results, strict=True)
        for latent in result.main.latents
    ]
    latents = units(
        "main_latents",
        "latent",
        {"split": np.ones(len(named_latents)), "first": _is_first_of_letter(named_latents)},
        part=[name for name, _ in named_latents],
        unit_id=[latent for _, latent in named_latents],
    )
    f1 = {
        "f1": [result.main.f1 for result in results],
        "kept_f1": [result.kept_f1 for result in results],
    }
    main_table = units("main_latent_f1", "letter", f1, part=names, unit_id=names)
    for name in names:
        for column, metric in WORD_METRICS.items():
            yield metric.evidence(by_word, {"num": column}, part=name)
        yield declared.SPLIT_LATENTS.evidence(
            latents, {"num": "split", "den": "first"}, part=name, no_interval=ONE_FIGURE
        )
        for metric, column in (
            (declared.MAIN_LATENT_F1, "f1"),
            (declared.KEPT_LETTER_F1, "kept_f1"),
        ):
            yield metric.evidence(main_table, {"num": column}, part=name, no_interval=ONE_FIGURE)


def _is_first_of_letter(named_latents: Sequence[tuple[str, int]]) -> list[float]:
    """1 for the first latent of each letter: latents over first ones is latents per letter."""
    return [
        float(i == 0 or named_latents[i - 1][0] != name)
        for i, (name, _) in enumerate(named_latents)
    ]


def _word_column(result: LetterResult, name: str) -> np.ndarray:
    return np.asarray(getattr(result.outcomes, name), np.float64)


def missing_letters(reason: str) -> Iterator[Missing]:
    """All metrics of letters declared absent for one reason."""
    yield from missing_metrics(LETTER_METRICS, reason)


def missing_metrics(
    metrics: Sequence[Metric], reason: str, part: str | None = None
) -> Iterator[Missing]:
    """Metrics declared absent for one reason."""
    return (metric.missing(reason, part) for metric in metrics)
