"""Which metrics `absorption` reports, and the tables they rest on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from saeval.evidence import Better, Evidence, Missing, Units, units

from .._f1 import always_yes_f1, f1_score
from .letters import MOST_MAIN, Absorbed, Letters, Main
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


@dataclass(frozen=True)
class Metric:
    """A score, and the column of its units that it rests on."""

    name: str
    column: str
    unit: str
    better: Better
    ceiling: float | None
    floor: float | None = None


WORDS = (
    Metric("mean_absorption_fraction", "fraction", "fraction", "lower", 0, 1),
    Metric("full_absorption_rate", "whole", "fraction of words", "lower", 0, 1),
    Metric("lost_rate", "lost", "fraction of words", "lower", 0, 1),
)
"""Over the scored words."""
SPLIT = Metric("split_latents", "split", "latents per letter", "lower", 1, MOST_MAIN)
MAIN_F1 = Metric("main_latent_f1", "f1", "F1", "higher", None)
DIFFERENCE = "difference of rates"
KINDS = (
    Metric("hierarchy_absorption", "absorbed_child", DIFFERENCE, "lower", 0, 1),
    Metric("hierarchy_silence", "silent_child", DIFFERENCE, "lower", 0, 1),
)
"""Over the occurrences of true families, against the parent's own word."""
COMPANIONS = (
    Metric("hierarchy_false_alarm", "absorbed_child", DIFFERENCE, "lower", 0, 1),
    Metric("companion_silence", "silent_child", DIFFERENCE, "none", None),
)
"""The same over those of matched pairs."""
SEEN = Metric("child_seen_as_parent", "seen_child", "fraction of occurrences", "none", None)
PARENT_F1 = Metric("parent_latent_f1", "hits", "F1", "higher", 1)


def probes(letters: Letters, words: pd.DataFrame, cut: int) -> Iterator[Evidence]:
    """How well the model itself spells, and which words that leaves to judge an SAE by."""
    if cut:
        yield _cut_words(cut, len(words))
    if (letters.split == 2).any():
        yield from _probe_f1(letters)
        yield _scored_words(letters, words)


def _cut_words(cut: int, whole: int) -> Evidence:
    return Evidence(
        "cut_words",
        units("cut_words", "tokenizer", {"cut": [cut], "of": [cut + whole]}),
        {"num": "cut", "den": "of"},
        unit="fraction of words",
        better="none",
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
    for part in (None, *names):
        yield Evidence(
            "probe_f1",
            table,
            {"num": "f1"},
            unit="F1",
            better="none",
            part=part,
            floor=floor if part is None else None,
            ceiling=1,
            no_interval=None if part is None else ONE_FIGURE,
        )
    yield Evidence(
        "usable_letters", table, {"num": "usable"}, unit="fraction of letters", better="none"
    )


def _scored_words(letters: Letters, words: pd.DataFrame) -> Evidence:
    """Share of test words whose letter is usable and whose probe is right."""
    test = letters.split == 2
    own = letters.says_yes[np.arange(len(test)), letters.letter]
    scored = own & letters.usable[letters.letter]
    table = units(
        "test_words",
        "word",
        {"scored": scored[test]},
        unit_id=words["text"].to_numpy()[test],
        cluster=[LETTERS[letter] for letter in letters.letter[test]],
    )
    return Evidence(
        "scored_words", table, {"num": "scored"}, unit="fraction of words", better="none"
    )


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
            **{m.column: [_column(one, m).mean() for one in judged] for m in WORDS},
            "split": [len(one.main.latents) for one in judged],
            "f1": [one.main.f1 for one in judged],
            "words": [len(one.absorbed.words) for one in judged],
        },
        unit_id=names,
    )
    for metric in (*WORDS, SPLIT):
        yield _evidence(metric, by_letter)
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
            yield from _missing((*WORDS, SPLIT, MAIN_F1), reason, LETTERS[letter])


def _main_f1(judged: Sequence[Judged], known: Letters, table: Units) -> Evidence:
    """F1 of the main latents, between knowing nothing and the model's own probe."""
    test = known.split == 2
    own = [one.letter for one in judged]
    is_letter = known.letter[test][:, None] == own
    probe = f1_score(known.says_yes[test][:, own], is_letter)
    return Evidence(
        MAIN_F1.name,
        table,
        {"num": MAIN_F1.column},
        unit=MAIN_F1.unit,
        better=MAIN_F1.better,
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
        {m.column: np.concatenate([_column(one, m) for one in judged]) for m in WORDS},
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
        for metric in WORDS:
            yield _evidence(metric, by_word, name)
        yield _evidence(SPLIT, latents, name, den="first")
        yield _evidence(MAIN_F1, main, name)


def _first(chosen: Sequence[tuple[str, int]]) -> list[float]:
    """1 for the first latent of each letter, so that latents over firsts is latents a letter."""
    return [float(i == 0 or chosen[i - 1][0] != name) for i, (name, _) in enumerate(chosen)]


def _column(one: Judged, metric: Metric) -> np.ndarray:
    return np.asarray(getattr(one.absorbed, metric.column), np.float64)


def _evidence(
    metric: Metric, table: Units, part: str | None = None, den: str | None = None
) -> Evidence:
    alone = part is not None and table.unit != "word"
    return Evidence(
        metric.name,
        table,
        {"num": metric.column} | ({"den": den} if den else {}),
        unit=metric.unit,
        better=metric.better,
        part=part,
        floor=metric.floor,
        ceiling=metric.ceiling,
        no_interval=ONE_FIGURE if alone else None,
    )


def missing_letters(reason: str) -> Iterator[Missing]:
    """All metrics of letters, for one reason."""
    yield from _missing((*WORDS, SPLIT, MAIN_F1), reason)


def hierarchy(true: Tables, matched: Tables) -> Iterator[Evidence | Missing]:
    """Absorption in true families, and what the same says of families that are none."""
    left_out = {**true.left_out, **matched.left_out}
    if any(left_out.values()):
        yield _left_out(left_out)
    if len(true.parents):
        kinds = _by_occurrence("kinds", true.occurrences)
        for metric in KINDS:
            yield _difference(metric, kinds)
        yield _evidence(SEEN, kinds, den="child")
        columns = {key: true.parents[key].to_numpy() for key in ("hits", "total")}
        parents = units("parents", "parent", columns, unit_id=true.parents["parent"].to_numpy())
        always = np.divide(*(true.parents[f"always_{key}"].to_numpy().sum() for key in columns))
        yield _evidence(replace(PARENT_F1, floor=float(always)), parents, den="total")
    else:
        yield from _missing((*KINDS, SEEN, PARENT_F1), TOO_RARE)
    if len(matched.parents):
        companions = _by_occurrence("companions", matched.occurrences)
        for metric in COMPANIONS:
            yield _difference(metric, companions)
    else:
        yield from _missing(COMPANIONS, TOO_RARE)


def _left_out(families: Mapping[str, bool]) -> Evidence:
    """Share of families that cannot be judged, true ones and matched ones together."""
    return Evidence(
        "left_out_families",
        units("families", "family", {"left_out": [*families.values()]}, unit_id=[*families]),
        {"num": "left_out"},
        unit="fraction of families",
        better="none",
        no_interval="every family was looked at",
    )


def _difference(metric: Metric, table: Units) -> Evidence:
    """A rate at children less the rate of silence at the parent's own word."""
    return Evidence(
        metric.name,
        table,
        {"num_a": metric.column, "den_a": "child", "num_b": "silent_alone", "den_b": "alone"},
        unit=metric.unit,
        better=metric.better,
        aggregator="difference_of_ratios/1",
        floor=metric.floor,
        ceiling=metric.ceiling,
    )


def _by_occurrence(name: str, rows: pd.DataFrame) -> Units:
    columns = ("child", "alone", "seen_child", "absorbed_child", "silent_child", "silent_alone")
    return units(
        f"occurrences_of_{name}",
        "occurrence",
        {column: rows[column].to_numpy() for column in columns},
        unit_id=(rows["word"] + "/" + rows["row"].astype(str)).to_numpy(),
        cluster=rows["parent"].to_numpy(),
    )


def missing_hierarchy(reason: str) -> Iterator[Missing]:
    """All metrics of the hierarchy, for one reason."""
    yield from _missing((*KINDS, SEEN, *COMPANIONS, PARENT_F1), reason)


def _missing(metrics: Sequence[Metric], reason: str, part: str | None = None) -> Iterator[Missing]:
    for metric in metrics:
        yield Missing(metric.name, reason, unit=metric.unit, better=metric.better, part=part)
