"""Absorption in a planted hierarchy: is the latent of a dog silent at a poodle?

The lab's world says which words are kinds of others (a poodle, of a dog), and pairs as many words
in the same sentences that are no kinds of each other (an apron, kept beside an anvil). All are
read in their sentences; whether the model takes a child for its parent is seen by a probe whose
classes leave the child out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.sparse import csc_matrix

from saeval.activations import ActivationSource, read_x
from saeval.lab.text_worlds import world_read_by
from saeval.lab.world import World

from .._draws import generator
from .letters import MOST_MAIN, SPLIT_GAIN

GENRES = ("hierarchy", "association")
"""Kinds of document: with true pairs, and with the pairs that are matched to them."""
SPLITS = ("valid", "test")
"""Documents that choose latents and fit probes, and documents that are scored."""
PER_WORD = 12
"""Occurrences of each word in each split at most."""
OTHER_TOKENS = 300
"""Tokens of any other word, in the choosing split."""
SHRINKAGE = 0.1
"""Shrinkage of the covariance towards a sphere. With little of it a probe learns its words by
heart; with this value it finds that the lab's model takes 97 % of children for their parent, and
1 to 3 % of the matched words for their companion."""


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


def seen_as_parent(occurrences: Occurrences) -> Bool[np.ndarray, " rows"]:
    """Where the model takes a child for an instance of its parent; False on all other rows.

    A linear discriminant: (mean of the family's words - mean of others) times the inverse
    covariance, with its threshold half way between the two means. The means leave out the child
    in question, so that it passes only if the model puts it near its parent and its siblings.
    """
    choosing = ~occurrences.counts
    x, word = occurrences.x[choosing].astype(np.float64), occurrences.word[choosing]
    covariance = np.cov(x.T)
    size = np.trace(covariance) / len(covariance)
    inverse = np.linalg.inv(covariance + SHRINKAGE * size * np.eye(len(covariance)))
    present, group = np.unique(word[word >= 0], return_inverse=True)
    means = np.zeros((len(occurrences.words), x.shape[1]))
    np.add.at(means, present[group], x[word >= 0])
    means[present] /= np.bincount(group)[:, None]
    recognised = np.zeros(len(occurrences.x), bool)
    for family in occurrences.families:
        members = [occurrences.words.index(word) for word in (family.parent, *family.children)]
        other = means[np.setdiff1d(present, members)].mean(0)
        for child in members[1:]:
            relatives = [member for member in members if member != child and member in present]
            if relatives:
                centre = means[relatives].mean(0)
                normal = inverse @ (centre - other)
                rows = occurrences.word == child
                recognised[rows] = occurrences.x[rows] @ normal > (centre + other) @ normal / 2
    return recognised


def parent_latents(occurrences: Occurrences, family: Family, active: csc_matrix) -> list[int]:
    """The latents that stand for a parent, judged on choosing rows; empty if none is general.

    A latent is general if it is active on most occurrences of the parent's own word, or of two
    children or more: the latent of one child alone is what absorbs, not what is absorbed. Of
    these the one with the largest F1 for "the parent, alone or in a child" comes first, where the
    parent's own word weighs as much as all children together; another joins, again the best, as
    long as F1 of any of them being active rises by more than `SPLIT_GAIN`.
    """
    choosing = ~occurrences.counts
    weight, positive = _family_weights(occurrences, family)
    weight = weight * choosing
    total = weight[positive].sum()
    general = _general_latents(occurrences, family, active)
    detected = np.zeros(len(weight), bool)
    latents: list[int] = []
    score = -SPLIT_GAIN
    while len(latents) < MOST_MAIN:
        hits = weight[detected & positive].sum() + active.T @ (weight * (positive & ~detected))
        positives = weight[detected].sum() + active.T @ (weight * ~detected)
        f1 = np.where(general, 2 * hits / (positives + total), -1.0)
        best = int(f1.argmax())
        if f1[best] <= score + SPLIT_GAIN:
            break
        latents.append(best)
        score = float(f1[best])
        detected |= active[:, [best]].toarray()[:, 0] != 0
    return latents


def _general_latents(occurrences: Occurrences, family: Family, active: csc_matrix) -> np.ndarray:
    """Whether each latent is active on most occurrences of the parent, or of two children."""
    shares = []
    for word in (family.parent, *family.children):
        rows = occurrences.rows_of([word]) & ~occurrences.counts
        shares.append(active.T @ (rows / max(1, rows.sum())) > 0.5)
    return shares[0] | (np.sum(shares[1:], axis=0) >= 2)


def _family_weights(
    occurrences: Occurrences, family: Family
) -> tuple[Float[np.ndarray, " rows"], Bool[np.ndarray, " rows"]]:
    """How much each row counts in a family's F1, and which rows are the family's.

    In each split by itself the parent's rows together weigh as much as the children's.
    """
    parent, children = occurrences.rows_of([family.parent]), occurrences.rows_of(family.children)
    weight = np.ones(len(occurrences.word))
    for split in (occurrences.counts, ~occurrences.counts):
        weight[parent & split] = (children & split).sum() / max(1, (parent & split).sum())
    return weight, parent | children


@dataclass(frozen=True)
class FamilyTables:
    """The outcomes of one SAE in the families that can be judged."""

    occurrences: pd.DataFrame
    """A row for each scored occurrence of a family's words: columns `parent`, `word`, `row`;
    `child` and `alone` (1 where the word is a child, or the parent's own); `seen_child` (the model
    sees the parent in the child); `silent_child` (the parent's latents are silent at the child);
    `absorbed_child` (both); `silent_alone` (they are silent at the parent's own word)."""
    parents: pd.DataFrame
    """A row for each family: `parent`; `hits` and `total`, 2 TP and 2 TP + FP + FN of its latents;
    `always_hits` and `always_total`, the same of saying yes to everything."""
    left_out: Mapping[str, bool]
    """Parent -> whether its family is left out of the tables, which then may have no row."""


def family_tables(occurrences: Occurrences, active: csc_matrix) -> FamilyTables:
    """The outcomes of one SAE at each scored occurrence of a family's words, and per family."""
    judgeable = [family for family in occurrences.families if can_be_judged(occurrences, family)]
    left_out = {family.parent: family not in judgeable for family in occurrences.families}
    if not judgeable:
        return FamilyTables(pd.DataFrame(), pd.DataFrame(), left_out)
    recognised = seen_as_parent(occurrences)
    rows, sums = [], []
    for family in judgeable:
        latents = parent_latents(occurrences, family, active)
        fires = (active[:, latents].toarray() != 0).any(1)
        rows.append(_scored_rows(occurrences, family, fires, recognised))
        sums.append((family.parent, *f1_sums(occurrences, family, fires)))
    return FamilyTables(
        pd.concat(rows, ignore_index=True),
        pd.DataFrame(sums, columns=["parent", "hits", "total", "always_hits", "always_total"]),
        left_out,
    )


def can_be_judged(occurrences: Occurrences, family: Family) -> bool:
    """Whether the parent and some child occur in the choosing rows and in the scored rows.

    A word that never occurs can choose no latent, and its family would count as silent.
    """
    return all(
        (occurrences.rows_of(words) & split).any()
        for words in ([family.parent], family.children)
        for split in (occurrences.counts, ~occurrences.counts)
    )


def _scored_rows(
    occurrences: Occurrences,
    family: Family,
    fires: Bool[np.ndarray, " rows"],
    recognised: Bool[np.ndarray, " rows"],
) -> pd.DataFrame:
    """A family's part of `FamilyTables.occurrences`."""
    index = np.flatnonzero(
        occurrences.counts & occurrences.rows_of([family.parent, *family.children])
    )
    child = occurrences.rows_of(family.children)[index].astype(float)
    alone, silent = 1 - child, 1.0 - fires[index]
    columns = {
        "parent": family.parent,
        "word": [occurrences.words[number] for number in occurrences.word[index]],
        "row": index,
        "child": child,
        "alone": alone,
        "seen_child": child * recognised[index],
        "silent_child": silent_at(child, silent),
        "absorbed_child": absorbed_child(child, recognised[index], silent),
        "silent_alone": silent_at(alone, silent),
    }
    return pd.DataFrame(columns)


def silent_at(
    is_word: Float[np.ndarray, " rows"], silent: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, " rows"]:
    """1 where a row is of the words in question and the parent's latents are silent, else 0."""
    return is_word * silent


def absorbed_child(
    child: Float[np.ndarray, " rows"],
    recognised: Bool[np.ndarray, " rows"],
    silent: Float[np.ndarray, " rows"],
) -> Float[np.ndarray, " rows"]:
    """1 where the parent's latents are silent at a child that the model takes for the parent."""
    return child * recognised * silent


def f1_sums(
    occurrences: Occurrences, family: Family, fires: Bool[np.ndarray, " rows"]
) -> tuple[float, float, float, float]:
    """2 TP and 2 TP + FP + FN, on scored rows, of "some latent is active" and of always yes."""
    weight, positive = _family_weights(occurrences, family)
    weight = weight * occurrences.counts
    positive_weight = weight[positive].sum()
    hits, total = 2 * weight[positive & fires].sum(), positive_weight + weight[fires].sum()
    return hits, total, 2 * positive_weight, positive_weight + weight.sum()
