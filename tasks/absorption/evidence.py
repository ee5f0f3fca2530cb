"""From judged letters and families to the evidence of `absorption`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from saeval.evidence import Evidence, Metric, Missing, Units, units

from .._f1 import always_yes_f1, f1_score
from . import metrics as declared
from .letters import Absorbed, Letters, Main, is_scored
from .pairs import Tables
from .words import LETTERS

ONE_FIGURE = "a letter has but one"
TOO_RARE = (
    "In no family do the parent and a child occur among the documents of both splits. Raise "
    "absorption.documents."
)


@dataclass(frozen=True)
class Judged:
    """What an SAE does with one letter."""

    letter: int
    main: Main
    absorbed: Absorbed


WORDS: Mapping[str, Metric] = {
    "fraction": declared.MEAN_ABSORPTION_FRACTION,
    "whole": declared.FULL_ABSORPTION_RATE,
    "lost": declared.LOST_RATE,
}
"""Column, and field of `Absorbed` -> metric, over the scored words."""
OF_LETTERS = (*WORDS.values(), declared.SPLIT_LATENTS, declared.MAIN_LATENT_F1)
DIFFERENCES: Mapping[str, tuple[Metric, Metric]] = {
    "absorbed_child": (declared.HIERARCHY_ABSORPTION, declared.HIERARCHY_FALSE_ALARM),
    "silent_child": (declared.HIERARCHY_SILENCE, declared.COMPANION_SILENCE),
}
"""Column of occurrences -> metric over true families, and over matched pairs. Each is the rate of
the column at children, less the rate of silence at the parent's own word."""
OF_FAMILIES = (
    declared.HIERARCHY_ABSORPTION,
    declared.HIERARCHY_SILENCE,
    declared.CHILD_SEEN_AS_PARENT,
    declared.PARENT_LATENT_F1,
)
"""Over true families."""


def probes(letters: Letters, words: pd.DataFrame, cut: int) -> Iterator[Evidence]:
    """How well the model itself spells, and which words that leaves to judge an SAE by."""
    if cut:
        yield _cut_words(cut, len(words))
    if (letters.split == 2).any():
        yield from _probe_f1(letters)
        yield _scored_words(letters, words)


def _cut_words(cut: int, whole: int) -> Evidence:
    return declared.CUT_WORDS.evidence(
        units("cut_words", "tokenizer", {"cut": [cut], "of": [cut + whole]}),
        {"num": "cut", "den": "of"},
        no_interval="every word was looked at",
    )


def _probe_f1(letters: Letters) -> Iterator[Evidence]:
    """F1 of the model's own probes, over all letters and of each, and which of them are usable."""
    test = letters.split == 2
    there = np.unique(letters.letter)
    is_letter = letters.letter[test][:, None] == there
    f1 = f1_score(letters.says_yes[test][:, there], is_letter)
    names = [LETTERS[letter] for letter in there]
    table = units(
        "letter_probes",
        "letter",
        {"f1": f1, "usable": letters.usable[there], "words": is_letter.sum(0)},
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


def letters(
    judged: Sequence[Judged], known: Letters, words: pd.DataFrame
) -> Iterator[Evidence | Missing]:
    """Absorption over all usable letters, which are the units, and word by word in each."""
    judged = [one for one in judged if len(one.absorbed.words)]
    names = [LETTERS[one.letter] for one in judged]
    if not judged:
        yield from missing_letters("No test word of a usable letter is recognised by its probe.")
        return
    by_letter = units(
        "letters",
        "letter",
        {
            **{column: [_column(one, column).mean() for one in judged] for column in WORDS},
            "split": [len(one.main.latents) for one in judged],
            "f1": [one.main.f1 for one in judged],
            "words": [len(one.absorbed.words) for one in judged],
        },
        unit_id=names,
    )
    for column, metric in WORDS.items():
        yield metric.evidence(by_letter, {"num": column})
    yield declared.SPLIT_LATENTS.evidence(by_letter, {"num": "split"})
    yield _main_f1(judged, known, by_letter)
    yield from _by_letter(judged, names, words)
    yield from _left_out_letters(known, names)


def _left_out_letters(known: Letters, judged: Sequence[str]) -> Iterator[Missing]:
    """Letters that no SAE is judged by, and why."""
    for letter in np.unique(known.letter).tolist():
        if LETTERS[letter] not in judged:
            reason = (
                "The model's own probe recognises none of the letter's test words."
                if known.usable[letter]
                else "The model's own probe of the letter is too poor on validation words."
            )
            yield from _missing(OF_LETTERS, reason, LETTERS[letter])


def _main_f1(judged: Sequence[Judged], known: Letters, table: Units) -> Evidence:
    """F1 of the main latents, between knowing nothing and the model's own probe."""
    test = known.split == 2
    own = [one.letter for one in judged]
    is_letter = known.letter[test][:, None] == own
    probe = f1_score(known.says_yes[test][:, own], is_letter)
    return declared.MAIN_LATENT_F1.evidence(
        table,
        {"num": "f1"},
        floor=float(always_yes_f1(is_letter.mean(0)).mean()),
        ceiling=float(probe.mean()),
    )


def _by_letter(
    judged: Sequence[Judged], names: Sequence[str], words: pd.DataFrame
) -> Iterator[Evidence]:
    """Each letter's own figures, and the latents that were chosen for it."""
    places = np.concatenate([one.absorbed.words for one in judged])
    by_word = units(
        "words",
        "word",
        {column: np.concatenate([_column(one, column) for one in judged]) for column in WORDS},
        part=np.repeat(names, [len(one.absorbed.words) for one in judged]),
        unit_id=words["text"].to_numpy()[places],
        cluster=words["stem"].to_numpy()[places],
    )
    chosen = [
        (name, latent)
        for name, one in zip(names, judged, strict=True)
        for latent in one.main.latents
    ]
    latents = units(
        "main_latents",
        "latent",
        {"split": np.ones(len(chosen)), "first": _first(chosen)},
        part=[name for name, _ in chosen],
        unit_id=[latent for _, latent in chosen],
    )
    f1 = {"f1": [one.main.f1 for one in judged]}
    main = units("main_latent_f1", "letter", f1, part=names, unit_id=names)
    for name in names:
        for column, metric in WORDS.items():
            yield metric.evidence(by_word, {"num": column}, part=name)
        yield declared.SPLIT_LATENTS.evidence(
            latents, {"num": "split", "den": "first"}, part=name, no_interval=ONE_FIGURE
        )
        yield declared.MAIN_LATENT_F1.evidence(
            main, {"num": "f1"}, part=name, no_interval=ONE_FIGURE
        )


def _first(chosen: Sequence[tuple[str, int]]) -> list[float]:
    """1 for the first latent of each letter, so that latents over firsts is latents a letter."""
    return [float(i == 0 or chosen[i - 1][0] != name) for i, (name, _) in enumerate(chosen)]


def _column(one: Judged, name: str) -> np.ndarray:
    return np.asarray(getattr(one.absorbed, name), np.float64)


def missing_letters(reason: str) -> Iterator[Missing]:
    """All metrics of letters, for one reason."""
    yield from _missing(OF_LETTERS, reason)


def hierarchy(true: Tables, matched: Tables) -> Iterator[Evidence | Missing]:
    """Absorption in true families, and what the same says of families that are none."""
    left_out = {**true.left_out, **matched.left_out}
    if any(left_out.values()):
        yield _left_out(left_out)
    if len(true.parents):
        kinds = _by_occurrence("kinds", true.occurrences)
        for column, (metric, _) in DIFFERENCES.items():
            yield _difference(metric, kinds, column)
        seen = {"num": "seen_child", "den": "child"}
        yield declared.CHILD_SEEN_AS_PARENT.evidence(kinds, seen)
        columns = {key: true.parents[key].to_numpy() for key in ("hits", "total")}
        parents = units("parents", "parent", columns, unit_id=true.parents["parent"].to_numpy())
        always = np.divide(*(true.parents[f"always_{key}"].to_numpy().sum() for key in columns))
        yield declared.PARENT_LATENT_F1.evidence(
            parents, {"num": "hits", "den": "total"}, floor=float(always)
        )
    else:
        yield from _missing(OF_FAMILIES, TOO_RARE)
    if len(matched.parents):
        companions = _by_occurrence("companions", matched.occurrences)
        for column, (_, metric) in DIFFERENCES.items():
            yield _difference(metric, companions, column)
    else:
        yield from _missing([metric for _, metric in DIFFERENCES.values()], TOO_RARE)


def _left_out(families: Mapping[str, bool]) -> Evidence:
    """Share of families that cannot be judged, true ones and matched ones together."""
    return declared.LEFT_OUT_FAMILIES.evidence(
        units("families", "family", {"left_out": [*families.values()]}, unit_id=[*families]),
        {"num": "left_out"},
        no_interval="every family was looked at",
    )


def _difference(metric: Metric, table: Units, column: str) -> Evidence:
    """A rate at children less the rate of silence at the parent's own word."""
    return metric.evidence(
        table,
        {"num_a": column, "den_a": "child", "num_b": "silent_alone", "den_b": "alone"},
        aggregator="difference_of_ratios/1",
    )


def _by_occurrence(name: str, rows: pd.DataFrame) -> Units:
    columns = ("child", "alone", "seen_child", "absorbed_child", "silent_child", "silent_alone")
    return units(
        f"occurrences_of_{name}",
        "occurrence in family",
        {column: rows[column].to_numpy() for column in columns},
        unit_id=(rows["word"] + "/" + rows["row"].astype(str)).to_numpy(),
        cluster=rows["parent"].to_numpy(),
    )


def _missing(metrics: Sequence[Metric], reason: str, part: str | None = None) -> Iterator[Missing]:
    return (metric.missing(reason, part) for metric in metrics)
