"""Words of a tokenizer, shared out among training, validation and test, and prompts to spell them.

A prompt is some lines that spell other words, and a last line that ends with the word in question.
A causal model sees nothing of what would follow, so its activation there is that of a whole line.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from saeval.activations import ActivationSource, AtPositions, TokenRows, read_x
from saeval.errors import DataError, UsageError

from .._draws import generator

LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
SHARES = (0.5, 0.2, 0.3)
"""Shares of a letter's words, for training, validation and test."""
DEFAULT_EXAMPLES = 10
_ALPHABETIC = re.compile(r" ?[A-Za-z]+")
_SPACES = ("Ġ", "▁")
"""How byte-level and SentencePiece tokenizers write the space before a word."""


@dataclass(frozen=True)
class Words:
    """Tokens that are words, or parts of words."""

    text: tuple[str, ...]
    """With the space before it where the token has one."""
    token: Int[np.ndarray, " words"]
    """Id of each."""

    @property
    def letter(self) -> Int[np.ndarray, " words"]:
        """Place of the first letter in the alphabet, from 0."""
        firsts = [LETTERS.index(text.strip()[0].upper()) for text in self.text]
        return np.array(firsts, dtype=np.int64)

    @property
    def stem(self) -> tuple[str, ...]:
        """Each word without case and space: the same for tokens that differ only in these."""
        return tuple(text.strip().lower() for text in self.text)

    def take(self, selection: np.ndarray) -> "Words":
        """Some of the words: positions, or a boolean for each."""
        index = np.arange(len(self.text))[selection]
        return Words(tuple(self.text[i] for i in index), self.token[index])


def alphabetic_tokens(tokenizer: Any) -> Words:
    """All tokens made of ASCII letters, perhaps after a space, in the order of their ids."""
    special = set(tokenizer.all_special_ids)
    text_of_id = {}
    for token, number in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1]):
        text = " " + token[1:] if token[:1] in _SPACES else token
        if number not in special and _ALPHABETIC.fullmatch(text):
            text_of_id[number] = text
    return Words(tuple(text_of_id.values()), np.array(list(text_of_id), dtype=np.int64))


def choose_words(tokens: Words, per_letter: int, rng: np.random.Generator) -> Words:
    """Tokens that begin a word of two letters or more, without the space, in random order.

    Tokens that differ only in case are chosen together and stand together.

    Args:
        tokens: What `alphabetic_tokens` gives.
        per_letter: Different stems of a letter at most.
        rng: Draws them.
    """
    spaced = np.array([text.startswith(" ") for text in tokens.text], dtype=bool)
    long = np.array([len(text.strip()) > 1 for text in tokens.text], dtype=bool)
    words = tokens.take((spaced if spaced.any() else ~spaced) & long)
    stems = np.array(sorted(set(words.stem)))
    remaining = dict.fromkeys(LETTERS, per_letter)
    rank_of_stem: dict[str, int] = {}
    for stem in stems[rng.permutation(len(stems))].tolist():
        remaining[stem[0].upper()] -= 1
        if remaining[stem[0].upper()] >= 0:
            rank_of_stem[stem] = len(rank_of_stem)
    rank = np.array([rank_of_stem.get(stem, -1) for stem in words.stem], dtype=np.int64)
    order = np.argsort(rank, kind="stable")
    selection = words.take(order[rank[order] >= 0])
    return Words(tuple(text.strip() for text in selection.text), selection.token)


def splits(words: Words) -> Int[np.ndarray, " words"]:
    """0, 1 or 2 for training, validation and test: the first, next and last stems of a letter."""
    stem_of_word = words.stem
    split_of_stem: dict[str, int] = {}
    for letter in LETTERS:
        stems = list(dict.fromkeys(stem for stem in stem_of_word if stem[0].upper() == letter))
        cuts = np.round(np.cumsum(SHARES) * len(stems))
        splits_of_letter = np.searchsorted(cuts, np.arange(len(stems)), "right")
        split_of_stem |= dict(zip(stems, splits_of_letter.tolist(), strict=True))
    return np.array([split_of_stem[stem] for stem in stem_of_word], dtype=np.int64)


def check_template(template: str) -> None:
    """Check that a template names word and letter, in this order.

    Raises:
        UsageError: if it does not.
    """
    parts = (template.count("{word}"), template.count("{letter}"))
    if parts != (1, 1) or template.index("{word}") > template.index("{letter}"):
        raise UsageError(
            f"absorption.template {template!r} must name {{word}} once and {{letter}} once, behind "
            "it, such as ' {word} has the first letter: {letter}'."
        )


def spelling_prompts(
    words: Sequence[str],
    pool: Sequence[str],
    template: str,
    examples: int,
    rng: np.random.Generator,
) -> list[str]:
    """For each word, lines that spell other words of a pool, and its own line as far as the word.

    Args:
        words: The words.
        pool: Words that may serve as examples.
        template: A line; `{word}` and `{letter}` stand for themselves.
        examples: Lines before the last, if the pool has so many.
        rng: Draws the examples.
    """
    query = template[: template.index("{word}")] + "{word}"
    lines = [
        template.replace("{word}", word).replace("{letter}", word.strip()[0].upper())
        for word in pool
    ]
    texts = []
    for word in words:
        sample = rng.choice(len(pool), min(examples + 1, len(pool)), replace=False)
        example_lines = [lines[i] for i in sample if pool[i] != word][:examples]
        texts.append("\n" + "\n".join([*example_lines, query.replace("{word}", word)]))
    return texts


def split_prompts(
    words: Words,
    split: Int[np.ndarray, " words"],
    template: str,
    examples: int,
    rng: np.random.Generator,
) -> list[str]:
    """A prompt for each word, with examples from the word's own split."""
    texts = [""] * len(words.text)
    for part in np.unique(split):
        members = np.flatnonzero(split == part)
        part_words = words.take(members).text
        part_prompts = spelling_prompts(part_words, part_words, template, examples, rng)
        for row, prompt in zip(members, part_prompts, strict=True):
            texts[row] = prompt
    return texts


def prompt_rows(
    source: ActivationSource, words: Words, template: str, examples: int | None, seed: int
) -> TokenRows:
    """A row for each word, which spells examples and then begins to spell the word.

    Args:
        source: Its context bounds the rows.
        words: Words to spell.
        template: A line that spells a word.
        examples: Lines before the last; None: `DEFAULT_EXAMPLES`, or as many as fit.
        seed: Of the examples.

    Raises:
        DataError: if the model's context does not hold such rows.
    """
    numbers = range(DEFAULT_EXAMPLES, -1, -1) if examples is None else (examples,)
    for number in numbers:
        texts = split_prompts(words, splits(words), template, number, generator(seed, "prompts"))
        with suppress(DataError):  # too long: fewer examples may fit
            return source.tokenize(texts, name="spelling prompts")
    raise DataError(
        f"Prompts with {numbers[-1]} lines of examples do not fit into the {source.context} tokens "
        f"that {source.name} takes. Set absorption.examples lower, or give a shorter "
        "absorption.template."
    )


def last_positions(rows: TokenRows) -> Int[np.ndarray, " texts"]:
    """Position of the last token that counts in each row."""
    return rows.mask.shape[1] - 1 - rows.mask[:, ::-1].argmax(1)


def activations_of(source: ActivationSource, rows: TokenRows) -> Float[np.ndarray, "texts d_in"]:
    """Activations at the last token that counts of each row."""
    if not len(rows):
        return np.zeros((0, source.widths.d_in), np.float32)
    return read_x(source, rows, AtPositions(last_positions(rows)))


def read_as_one_token(rows: TokenRows, words: Words) -> Bool[np.ndarray, " texts"]:
    """Whether each prompt ends with its word's own token: tokenizers may cut it otherwise there."""
    last = rows.ids[np.arange(len(rows)), last_positions(rows)]
    return last == words.token
