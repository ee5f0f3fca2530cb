"""Beginnings of long texts that have the same first tokens as the whole texts."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

CHARACTERS_PER_TOKEN = 8
"""Characters that are tried at first for each token that is needed; few texts have more."""
FURTHER_WORDS = 4
"""Pieces between spaces that must follow the last token that is needed. What stands behind a few
whole words decides about no token before them."""
_TEXT_THEN_SPACE = re.compile("[^ \u2581\u0120][ \u2581\u0120]")
"""A space within a piece of a vocabulary, written as SentencePiece, byte-level BPE, or plainly."""


def beginnings(tokenizer: Any, texts: Sequence[str], tokens: int) -> list[str]:
    """Each text, cut behind its first tokens if it is far longer; these stay what they are.

    Tokenizing takes as long as the text, however few tokens are kept of it. A text is cut at a
    space, and only where the tokenizer provably parts words: where it splits text into words
    first, or no piece of its vocabulary reaches from one word into the next. Otherwise the text
    stays whole, as it does where no such place is found.

    Args:
        tokenizer: Of the model.
        texts: Any texts.
        tokens: How many tokens of each must stay the same, special ones not counted.
    """
    cut = list(texts)
    characters = CHARACTERS_PER_TOKEN * tokens
    waiting = [i for i, text in enumerate(texts) if len(text) > 2 * characters]
    if not getattr(tokenizer, "is_fast", False):
        return cut
    while waiting:
        parts = [texts[i][: max(texts[i].rfind(" ", 0, characters), 0)] for i in waiting]
        encoded = tokenizer(parts, add_special_tokens=False, verbose=False)
        settled = {
            i: part
            for i, part, encoding in zip(waiting, parts, encoded.encodings, strict=True)
            if _reaches_beyond(tokenizer, part, encoding, tokens)
        }
        for i, part in settled.items():
            cut[i] = part
        characters *= 4
        waiting = [i for i in waiting if i not in settled and len(texts[i]) > 2 * characters]
    return cut


def _reaches_beyond(tokenizer: Any, part: str, encoding: Any, tokens: int) -> bool:
    """Whether a beginning holds so many tokens, and some whole words behind them."""
    if len(encoding.ids) <= tokens:
        return False
    rest = part[encoding.offsets[tokens - 1][1] :]
    if len(rest.split()) < FURTHER_WORDS or rest.count(" ") < FURTHER_WORDS:
        return False
    last, end = encoding.word_ids[tokens - 1], encoding.word_ids[-1]
    has_words = last is not None and end is not None and end - last >= FURTHER_WORDS
    return has_words or _parts_words(tokenizer)


@lru_cache(maxsize=2)
def _parts_words(tokenizer: Any) -> bool:
    """Whether no piece of the vocabulary has a space after anything but a space."""
    return not any(map(_TEXT_THEN_SPACE.search, tokenizer.get_vocab()))
