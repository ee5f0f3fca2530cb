"""Absorption: does a latent go silent where a more special latent takes its word over?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from saeval.activations import ActivationSource, TokenRows
from saeval.config.counts import Limit, check_counts, limited_count
from saeval.errors import NotApplicable, UsageError
from saeval.evidence import Evidence, Missing, content_digest, on_data
from saeval.lab import document_part
from saeval.lab.text_worlds import text_world
from saeval.sae import SAE
from saeval.task import NONE_IN_KEYS, Prepared

from .._draws import generator
from .._encoded import acts_of, contributions
from .._texts.corpus import lab_corpus
from . import evidence, family_evidence, saebench
from .discriminants import discriminants
from .kept_parents import kept_parents
from .letters import Letters, active_of, kept_letter_f1, main_latents, word_outcomes
from .occurrences import GENRES, Occurrences, families, read_occurrences
from .pairs import family_tables
from .probes import LEAST_WORDS, fit_letter_probes, probed_letters
from .projections import fitted
from .requirements import check_vectors_suffice, required_tokenizer
from .words import (
    DEFAULT_EXAMPLES,
    LETTERS,
    SHARES,
    Words,
    activations_of,
    alphabetic_tokens,
    check_template,
    choose_words,
    prompt_rows,
    read_as_one_token,
    splits,
)

TEMPLATE = " {word} has the first letter: {letter}"
LAB_TEMPLATE = " {word} {letter}"
"""The line that the lab's model was trained on."""
MIN_LETTERS = 10
SAEBENCH_MIN_LETTERS = 20
LEAST_DOCUMENTS = 100
"""Of each kind. With so many a family had to be left out in 2 of 40 draws; with 60, in 27."""
CHECKED_CHARACTERS = 20_000
"""Characters of the lab's text for the checks before scoring: some 100 documents."""


@dataclass(frozen=True)
class Absorption:
    """First-letter absorption, and on the lab absorption in a hierarchy that is known.

    A latent stands for words with a letter, yet is silent on some of them, where the latent of
    that very word carries the letter instead. The seed draws words, splits and prompts.
    """

    name: ClassVar[str] = "absorption"
    version: ClassVar[int] = 5
    headline: ClassVar[tuple[str, ...]] = (
        "kept_letter_f1",
        "mean_absorption_fraction",
        "full_absorption_rate",
        "lost_rate",
        "main_latent_f1",
        "parent_latent_f1",
    )

    template: str | None = None
    """A line that spells a word. None: ' {word} {letter}' on the lab, whose model was taught it,
    else ' {word} has the first letter: {letter}'."""
    examples: int | None = field(default=None, metadata={NONE_IN_KEYS: DEFAULT_EXAMPLES})
    """Lines that spell other words before the word asked for. None: 10, or as many as the model's
    context holds."""
    words_per_letter: int = 160
    """Words of a letter at most."""
    min_probe_f1: float = 0.6
    """F1 that the model's own probe of a letter must reach for the letter to count."""
    min_letters: int | None = None
    """Letters that must count. None: 10, and 20 for SAEBench's figures."""
    documents: int = 400
    """The lab's documents that are read of each kind and in each split, for the hierarchy; at
    least 100, whatever `limit` says of words."""
    compat: str | None = None
    """`saebench`: add SAEBench's own figures, named `saebench_*`. It reads every alphabetic token
    in its own template, whatever the other fields say."""
    limit: Limit | None = None
    """At most about so many words are scored, all letters together, or about such a share (0.1) of
    those that would be scored without it."""

    def __post_init__(self) -> None:
        if self.template is not None:
            check_template(self.template)
        if self.compat not in (None, "saebench"):
            raise UsageError(f"absorption.compat '{self.compat}' is unknown; there is 'saebench'.")
        least = {"examples": 0, "words_per_letter": 1, "min_letters": 1, "limit": 1}
        check_counts(self, {**least, "documents": LEAST_DOCUMENTS})
        if not 0 <= self.min_probe_f1 <= 1:
            raise UsageError(
                f"absorption.min_probe_f1 is {self.min_probe_f1}, but an F1 lies from 0 to 1."
            )

    def prepare(self, source: ActivationSource, seed: int) -> Prepared:
        """Read words and, on the lab, sentences; fit the model's own probes.

        Raises:
            NotApplicable: if there is no model with a tokenizer, or SAEs write elsewhere than
                they read.
        """
        tokenizer = required_tokenizer(source)
        part = document_part(source.name)
        on_lab = part is not None
        tokens = alphabetic_tokens(tokenizer)
        words = choose_words(tokens, self._letter_words(tokens, seed), generator(seed, "words"))
        if not words.text:
            raise NotApplicable(
                f"The tokenizer of {source.name} has no alphabetic tokens, so there are no words "
                "whose first letter could be asked for."
            )
        template = self.template or (LAB_TEMPLATE if on_lab else TEMPLATE)
        rows = prompt_rows(source, words, template, self.examples, seed)
        uncut = read_as_one_token(rows, words)
        letter, split = words.letter[uncut], splits(words)[uncut]
        x = activations_of(source, rows.take(uncut))
        probes = fit_letter_probes(x, letter, split)
        arrays = {
            "x": x,
            "letter": letter,
            "split": split,
            "direction": probes.direction,
            "says_yes": probes.says_yes,
            "usable": (probes.valid_f1 >= self.min_probe_f1) & probes.direction.any(1),
        }
        if on_lab:
            for genre in GENRES:
                occurrences = read_occurrences(source, genre, seed, self.documents)
                arrays |= {
                    f"{genre}_{key}": getattr(occurrences, key) for key in _OCCURRENCE_ARRAYS
                }
        if self.compat:
            arrays |= saebench.read(source, tokenizer, seed, self.min_probe_f1).arrays()
        facts = {
            "template": template,
            "prompts": content_digest(rows.digest),
            "cut_words": int((~uncut).sum()),
            "lab": part,
        }
        table = pd.DataFrame({"text": words.take(uncut).text, "stem": words.take(uncut).stem})
        return Prepared(
            arrays, {"words": table}, facts, _preflight_rows(source) if on_lab else None
        )

    def inputs(self, model: str | None) -> None:
        """Nothing is read that neither the model nor a field decides."""

    def score(
        self, sae: SAE, prepared: Prepared, source: ActivationSource, seed: int
    ) -> Iterator[Evidence | Missing]:
        """Encode words and sentences once, then letter by letter and family by family."""
        yield from on_data(self._yielded(sae, prepared, seed), self._data_of(prepared, seed))

    def _data_of(self, prepared: Prepared, seed: int) -> dict[str, str]:
        """What the scores are measured on: words, their prompts, and sentences of families."""
        table, arrays = prepared.tables["words"], prepared.arrays
        words = (table["text"].tolist(), table["stem"].tolist(), arrays["letter"], arrays["split"])
        drawn = [
            arrays[f"{genre}_{key}"]
            for genre in (GENRES if prepared.facts["lab"] else ())
            for key in ("word", "counts")
        ]
        return {
            "words": content_digest(*words),
            "prompts": prepared.facts["prompts"],
            "sentences": content_digest(*drawn),
            "seed": str(seed),
        }

    def _yielded(self, sae: SAE, prepared: Prepared, seed: int) -> Iterator[Evidence | Missing]:
        check_vectors_suffice(sae)
        letters = _letters_of(prepared)
        words = prepared.tables["words"]
        yield from evidence.probe_evidence(letters, words, prepared.facts["cut_words"])
        judged = letters.judged
        least = self.min_letters or MIN_LETTERS
        if len(judged) < least:
            too_few = self._too_few(letters, len(judged), least, prepared.facts)
            yield from evidence.missing_letters(too_few)
        else:
            yield from evidence.letter_evidence(
                _judge_letters(sae, letters, judged), letters, words
            )
        if prepared.facts["lab"]:
            yield from _judge_families(sae, prepared)
        if self.compat:
            reference = saebench.Reference.of(prepared.arrays)
            least = self.min_letters or SAEBENCH_MIN_LETTERS
            yield from saebench.score(sae, reference, seed, self.min_probe_f1, least)

    def _too_few(self, letters: Letters, judged: int, least: int, facts: Mapping[str, Any]) -> str:
        """Why no SAE is judged by letters: too few words, or a model that does not spell."""
        probed = len(probed_letters(letters.letter, letters.split))
        uncut, cut = len(letters.letter), facts["cut_words"]
        if probed < least and cut > uncut:
            return (
                f"The tokenizer cuts {cut} of {uncut + cut} words otherwise within the template "
                f"{facts['template']!r}, which leaves {probed} letters with {LEAST_WORDS} words in "
                f"each split, but {least} must be judged by. Set absorption.template so that "
                "{word} stands there as in running text, mostly behind a space."
            )
        if probed < least:
            return (
                f"{probed} letters have {LEAST_WORDS} words in each split, but {least} must be "
                "judged by. Raise --limit or absorption.words_per_letter, or lower "
                "absorption.min_letters."
            )
        return (
            f"{judged} letters have a probe with F1 of at least {self.min_probe_f1:g} that says "
            f"yes to a test word, but {least} must: the model does not spell well enough here to "
            "judge an SAE by. Try another template or site, or set absorption.min_probe_f1 or "
            "absorption.min_letters."
        )

    def _letter_words(self, tokens: Words, seed: int) -> int:
        """Words of each letter: with a limit, so many that the test words together keep to it."""
        limit = self.limit
        if isinstance(limit, float):
            words = choose_words(tokens, self.words_per_letter, generator(seed, "words"))
            limit = limited_count(limit, int((splits(words) == len(SHARES) - 1).sum()))
        if limit is None:
            return self.words_per_letter
        return min(self.words_per_letter, max(1, int(limit / len(LETTERS) / SHARES[-1])))


_OCCURRENCE_ARRAYS = ("x", "word", "counts")
"""Arrays of `Occurrences`."""


def _preflight_rows(source: ActivationSource) -> TokenRows | None:
    """Ordinary text of the lab, for the checks before scoring: its model knows no other text."""
    corpus = lab_corpus(source.name, CHECKED_CHARACTERS)
    return None if corpus is None else source.tokenize(corpus.texts, name=corpus.name)


def _letters_of(prepared: Prepared) -> Letters:
    """The words, from the arrays that `prepare` gave."""
    arrays = prepared.arrays
    return Letters(**{name: arrays[name] for name in Letters.__dataclass_fields__})


def _occurrences_of(prepared: Prepared, genre: str) -> Occurrences:
    """The occurrences of a genre's words, from the arrays that `prepare` gave."""
    arrays = {key: prepared.arrays[f"{genre}_{key}"] for key in _OCCURRENCE_ARRAYS}
    return Occurrences(families(genre, text_world(prepared.facts["lab"])), **arrays)


def _judge_families(sae: SAE, prepared: Prepared) -> Iterator[Evidence | Missing]:
    """What an SAE does with families, and with the pairs that are matched to them."""
    true, matched = (_occurrences_of(prepared, genre) for genre in GENRES)
    found, acts = discriminants(true), contributions(sae, true.x)
    yield family_evidence.kept_parents_evidence(kept_parents(sae, acts, true, found))
    yield from family_evidence.hierarchy_evidence(
        family_tables(true, active_of(acts), found),
        family_tables(matched, active_of(acts_of(sae, matched.x)), discriminants(matched)),
    )


def _judge_letters(sae: SAE, letters: Letters, judged: np.ndarray) -> list[evidence.LetterResult]:
    """What an SAE does with each letter that it is judged by."""
    acts = contributions(sae, letters.x)
    active, fitted_acts = active_of(acts), fitted(sae, acts, letters.x, letters.split == 0)
    results = []
    for letter in judged.tolist():
        main = main_latents(active, letters.letter == letter, letters.split)
        outcomes = word_outcomes(sae, acts, letters, letter, main)
        kept_f1 = kept_letter_f1(sae, fitted_acts, letters, letter, main)
        results.append(evidence.LetterResult(letter, main, outcomes, kept_f1))
    return results
