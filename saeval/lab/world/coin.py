"""Coined words: pronounceable, all different, initials spread over the rare letters too."""

from collections.abc import Iterable

import numpy as np

INITIALS = "abcdefghijklmnopqrstuvwyz"
VOWELS = "aeiou"
MIDDLES = "b d f g k l m n p r s t v z".split()
ENDS = "n r l s k m t x nd rk st".split()


def coin(rng: np.random.Generator, count: int, taken: set[str], style: str) -> tuple[str, ...]:
    """Make `count` new words and add them to `taken`.

    Args:
        rng: Source of chance.
        count: How many words.
        taken: Words that must not come out; what is coined joins them.
        style: A vowel or consonants that mark the family, so that words of one kind look alike:
            put after the first syllable.

    Returns:
        Words of lower-case ASCII letters, initials as even as `count` allows.
    """
    words = []
    while len(words) < count:
        word = _word(rng, INITIALS[len(words) % len(INITIALS)], style)
        if word not in taken:
            taken.add(word)
            words.append(word)
    return tuple(words)


def _word(rng: np.random.Generator, initial: str, style: str) -> str:
    """Coin one word with the given initial."""
    head = initial if initial in VOWELS else initial + _any(rng, VOWELS)
    return (
        head + style + _any(rng, VOWELS) + _any(rng, MIDDLES) + _any(rng, VOWELS) + _any(rng, ENDS)
    )


def _any(rng: np.random.Generator, options: Iterable[str]) -> str:
    options = tuple(options)
    return options[rng.integers(len(options))]
