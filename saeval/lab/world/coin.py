"""Coined words: pronounceable, all different, initials spread over the rare letters too."""

from collections.abc import Iterable

import numpy as np

INITIALS = "abcdefghijklmnopqrstuvwyz"
VOWELS = "aeiou"
MIDDLES = "b d f g k l m n p r s t v z".split()
ENDS = "n r l s k m t x nd rk st".split()


def coin(rng: np.random.Generator, count: int, used_words: set[str], style: str) -> tuple[str, ...]:
    """Make `count` new words and add them to `used_words`.

    Args:
        rng: Source of chance.
        count: How many words.
        used_words: Words that must not be coined; the new words are added to them.
        style: A vowel or consonants that mark the family, so that words of one kind look alike:
            put after the first syllable.

    Returns:
        Words of lower-case ASCII letters, initials as even as `count` allows.
    """
    words = []
    while len(words) < count:
        word = _word(rng, INITIALS[len(words) % len(INITIALS)], style)
        if word not in used_words:
            used_words.add(word)
            words.append(word)
    return tuple(words)


def _word(rng: np.random.Generator, initial: str, style: str) -> str:
    """Coin one word with the given initial."""
    head = initial if initial in VOWELS else initial + _random_choice(rng, VOWELS)
    return (
        head
        + style
        + _random_choice(rng, VOWELS)
        + _random_choice(rng, MIDDLES)
        + _random_choice(rng, VOWELS)
        + _random_choice(rng, ENDS)
    )


def _random_choice(rng: np.random.Generator, options: Iterable[str]) -> str:
    options = tuple(options)
    return options[rng.integers(len(options))]
