"""Words of the lab's families in their sentences, and their activations there.

The lab's world says which words are kinds of others (a poodle, of a dog), and pairs as many words
in the same sentences that are no kinds of each other (an apron, kept beside an anvil).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from saeval.activations import ActivationSource, read_x
from saeval.lab.text_worlds import world_read_by
from saeval.lab.world import World

from .._draws import generator

GENRES = ("hierarchy", "association")
"""Kinds of document: with true pairs, and with the pairs that are matched to them."""
SPLITS = ("valid", "test")
"""Documents that choose latents and fit probes, and documents that are scored."""
PER_WORD = 12
"""Occurrences of each word in each split at most."""
OTHER_TOKENS = 300
"""Tokens of any other word, in the choosing split."""


@dataclass(frozen=True)
class Family:
    """A parent and its children."""

    parent: str
    children: tuple[str, ...]


@dataclass(frozen=True)
class Occurrences:
    """Activations of words in their sentences, in one genre."""

    families: tuple[Family, ...]
    x: Float[np.ndarray, "rows d_in"]
    word: Int[np.ndarray, " rows"]
    """Index in `words`; -1 for any other token."""
    counts: Bool[np.ndarray, " rows"]
    """True where a row is scored, False where it serves to choose latents."""

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Parents and children, family by family."""
        return tuple(word for family in self.families for word in (family.parent, *family.children))

    def rows_of(self, words: Sequence[str]) -> Bool[np.ndarray, " rows"]:
        """Rows of some words."""
        return np.isin(self.word, [self.words.index(word) for word in words])


def families(genre: str, world: World | None = None) -> tuple[Family, ...]:
    """Families of a genre: words of the middle level, and the leaves below them.

    Args:
        genre: One of `GENRES`.
        world: Whose words; None: those of lab/world.
    """
    below: dict[str, list[str]] = {}
    for node in (world or World()).hierarchy()[GENRES.index(genre)]:
        below.setdefault(node.middle, []).append(node.leaf)
    return tuple(Family(parent, tuple(children)) for parent, children in below.items())


def read_occurrences(
    source: ActivationSource, genre: str, seed: int, documents: int
) -> Occurrences:
    """Read documents of a genre and keep the activations of its words, and of some others."""
    world = world_read_by(source.name)
    members = families(genre, world)
    words = [word for family in members for word in (family.parent, *family.children)]
    rng = generator(seed, f"occurrences/{genre}")
    parts = []
    for split in SPLITS:
        corpus_seed = int(generator(seed, f"documents/{genre}/{split}").integers(2**31))
        corpus = world.documents(documents, seed=corpus_seed, split=split, genre=genre)
        rows = source.tokenize([corpus.text(i) for i in range(len(corpus))], name=f"lab {genre}")
        word_of_id = {corpus.vocabulary.ids[word]: number for number, word in enumerate(words)}
        word_numbers = np.array([word_of_id.get(i, -1) for i in rows.ids[rows.mask].tolist()])
        sample = _draw_rows(word_numbers, len(words), OTHER_TOKENS if split == "valid" else 0, rng)
        x = read_x(source, rows)[sample]
        parts.append((x, word_numbers[sample], np.full(len(sample), split == "test")))
    x, word, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Occurrences(members, x, word, counts)


def _draw_rows(
    word: Int[np.ndarray, " tokens"], words: int, others: int, rng: np.random.Generator
) -> Int[np.ndarray, " rows"]:
    """A sample of each word's tokens, and a sample of the other tokens, in the order of the text.

    Args:
        word: Number of each token's word; -1 for any other token.
        words: How many words there are.
        others: Other tokens in the sample at most.
        rng: Draws both.
    """
    order = rng.permutation(len(word))
    samples = [order[word[order] == number][:PER_WORD] for number in range(words)]
    samples.append(order[word[order] == -1][:others])
    return np.sort(np.concatenate(samples))
