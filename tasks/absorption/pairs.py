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
from saeval.lab.world import World

from .._draws import generator
from .letters import MOST_MAIN, SPLIT_GAIN

GENRES = ("hierarchy", "association")
"""Kinds of document: with true pairs, and with the pairs that are matched to them."""
SPLITS = ("valid", "test")
"""Documents that choose latents and fit probes, and documents that count."""
PER_WORD = 12
"""Occurrences of a word in a split at most."""
OTHER_TOKENS = 300
"""Of any other word, in the choosing split."""
SHRINKAGE = 0.1
"""Of the covariance towards a sphere. With little of it a probe learns its words by heart; with
this, the lab's model is seen to take 97 % of children for their parent, and 1 to 3 % of the
matched words for their companion."""


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
    """Place in `words`; -1 for any other token."""
    counts: Bool[np.ndarray, " rows"]
    """False where a row serves to choose, True where it is scored."""

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Parents and children, family by family."""
        return tuple(word for one in self.families for word in (one.parent, *one.children))

    def rows_of(self, words: Sequence[str]) -> Bool[np.ndarray, " rows"]:
        """Rows of some words."""
        return np.isin(self.word, [self.words.index(word) for word in words])


def families(genre: str) -> tuple[Family, ...]:
    """The lab's families of a genre: words of the middle level, and the leaves below them."""
    below: dict[str, list[str]] = {}
    for node in World().hierarchy()[GENRES.index(genre)]:
        below.setdefault(node.middle, []).append(node.leaf)
    return tuple(Family(parent, tuple(children)) for parent, children in below.items())


def occurrences(source: ActivationSource, genre: str, seed: int, documents: int) -> Occurrences:
    """Read documents of a genre and keep the activations of its words, and of some others."""
    members = families(genre)
    words = [word for one in members for word in (one.parent, *one.children)]
    rng = generator(seed, f"occurrences/{genre}")
    parts = []
    for split in SPLITS:
        drawn = int(generator(seed, f"documents/{genre}/{split}").integers(2**31))
        made = World().documents(documents, seed=drawn, split=split, genre=genre)
        rows = source.tokenize([made.text(i) for i in range(len(made))], name=f"lab {genre}")
        number = {made.vocabulary.ids[word]: place for place, word in enumerate(words)}
        found = np.array([number.get(i, -1) for i in rows.ids[rows.mask].tolist()])
        kept = _drawn(found, len(words), OTHER_TOKENS if split == "valid" else 0, rng)
        x = read_x(source, rows)[kept]
        parts.append((x, found[kept], np.full(len(kept), split == "test")))
    x, word, counts = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Occurrences(members, x, word, counts)


def _drawn(
    word: Int[np.ndarray, " tokens"], words: int, others: int, rng: np.random.Generator
) -> Int[np.ndarray, " rows"]:
    """Some tokens of each word, and some of none, in the order of the text."""
    order = rng.permutation(len(word))
    kept = [order[word[order] == place][:PER_WORD] for place in range(words)]
    kept.append(order[word[order] == -1][:others])
    return np.sort(np.concatenate(kept))


def seen_as_parent(found: Occurrences) -> Bool[np.ndarray, " rows"]:
    """Where the model takes a child for an instance of its parent; False on all other rows.

    A linear discriminant, (mean of the family's words - mean of others) times the inverse
    covariance, half way between the two. The means leave out the child that it judges, so that a
    child passes only if the model has put it where its parent and its siblings are.
    """
    chosen = ~found.counts
    x, word = found.x[chosen].astype(np.float64), found.word[chosen]
    covariance = np.cov(x.T)
    size = np.trace(covariance) / len(covariance)
    inverse = np.linalg.inv(covariance + SHRINKAGE * size * np.eye(len(covariance)))
    present, place = np.unique(word[word >= 0], return_inverse=True)
    means = np.zeros((len(found.words), x.shape[1]))
    np.add.at(means, present[place], x[word >= 0])
    means[present] /= np.bincount(place)[:, None]
    seen = np.zeros(len(found.x), bool)
    for family in found.families:
        own = [found.words.index(word) for word in (family.parent, *family.children)]
        other = means[np.setdiff1d(present, own)].mean(0)
        for child in own[1:]:
            relatives = [one for one in own if one != child and one in present]
            if relatives:
                middle = means[relatives].mean(0)
                along = inverse @ (middle - other)
                rows = found.word == child
                seen[rows] = found.x[rows] @ along > (middle + other) @ along / 2
    return seen


def parent_latents(found: Occurrences, family: Family, active: csc_matrix) -> list[int]:
    """The latents that stand for a parent, judged on choosing rows; none if none is general.

    A latent is general if it is active on most occurrences of the parent's own word, or of two
    children or more: the latent of one child alone is what absorbs, not what is absorbed. Of
    these the one with the largest F1 for "the parent, alone or in a child" comes first, where the
    parent's own word weighs as much as all children together; another joins, again the best, as
    long as F1 of any of them being active rises by more than `SPLIT_GAIN`.
    """
    chosen = ~found.counts
    weight, positive = _weights(found, family)
    weight = weight * chosen
    total = weight[positive].sum()
    general = _general(found, family, active)
    said = np.zeros(len(weight), bool)
    latents: list[int] = []
    score = -SPLIT_GAIN
    while len(latents) < MOST_MAIN:
        hits = weight[said & positive].sum() + active.T @ (weight * (positive & ~said))
        yes = weight[said].sum() + active.T @ (weight * ~said)
        f1 = np.where(general, 2 * hits / (yes + total), -1.0)
        best = int(f1.argmax())
        if f1[best] <= score + SPLIT_GAIN:
            break
        latents.append(best)
        score = float(f1[best])
        said |= active[:, [best]].toarray()[:, 0] != 0
    return latents


def _general(found: Occurrences, family: Family, active: csc_matrix) -> np.ndarray:
    """Which latents are active on most occurrences of the parent, or of two children."""
    shares = []
    for word in (family.parent, *family.children):
        rows = found.rows_of([word]) & ~found.counts
        shares.append(active.T @ (rows / max(1, rows.sum())) > 0.5)
    return shares[0] | (np.sum(shares[1:], axis=0) >= 2)


def _weights(
    found: Occurrences, family: Family
) -> tuple[Float[np.ndarray, " rows"], Bool[np.ndarray, " rows"]]:
    """How much each row counts in a family's F1, and which rows are the family's.

    In each split by itself the parent's rows together weigh as much as the children's.
    """
    parent, children = found.rows_of([family.parent]), found.rows_of(family.children)
    weight = np.ones(len(found.word))
    for split in (found.counts, ~found.counts):
        weight[parent & split] = (children & split).sum() / max(1, (parent & split).sum())
    return weight, parent | children


@dataclass(frozen=True)
class Tables:
    """What an SAE does in the families that can be judged."""

    occurrences: pd.DataFrame
    """A row for each scored occurrence of a family's words: columns `parent`, `word`, `row`;
    `child` and `alone` (1 where the word is a child, or the parent's own); `seen_child` (the model
    sees the parent in the child); `silent_child` (the parent's latents are silent at the child);
    `absorbed_child` (both); `silent_alone` (they are silent at the parent's own word)."""
    parents: pd.DataFrame
    """A row for each family: `parent`; `hits` and `total`, 2 TP and 2 TP + FP + FN of its latents;
    `always_hits` and `always_total`, the same of saying yes to everything."""
    left_out: Mapping[str, bool]
    """Parent -> whether its family is left out of the tables, in which there may then be no row."""


def tables_of(found: Occurrences, active: csc_matrix) -> Tables:
    """What became of each scored occurrence of a family's words, and of each family."""
    judged = [family for family in found.families if can_be_judged(found, family)]
    left_out = {family.parent: family not in judged for family in found.families}
    if not judged:
        return Tables(pd.DataFrame(), pd.DataFrame(), left_out)
    seen = seen_as_parent(found)
    rows, sums = [], []
    for family in judged:
        latents = parent_latents(found, family, active)
        fires = (active[:, latents].toarray() != 0).any(1)
        rows.append(_scored_rows(found, family, fires, seen))
        sums.append((family.parent, *f1_sums(found, family, fires)))
    return Tables(
        pd.concat(rows, ignore_index=True),
        pd.DataFrame(sums, columns=["parent", "hits", "total", "always_hits", "always_total"]),
        left_out,
    )


def can_be_judged(found: Occurrences, family: Family) -> bool:
    """Whether the parent and some child occur both where latents are chosen and where they count.

    What was never met can choose no latent, and the family would count as silent.
    """
    return all(
        (found.rows_of(words) & split).any()
        for words in ([family.parent], family.children)
        for split in (found.counts, ~found.counts)
    )


def _scored_rows(
    found: Occurrences,
    family: Family,
    fires: Bool[np.ndarray, " rows"],
    seen: Bool[np.ndarray, " rows"],
) -> pd.DataFrame:
    """A family's part of `Tables.occurrences`."""
    own = np.flatnonzero(found.counts & found.rows_of([family.parent, *family.children]))
    child = found.rows_of(family.children)[own].astype(float)
    alone, silent = 1 - child, 1.0 - fires[own]
    columns = {
        "parent": family.parent,
        "word": [found.words[place] for place in found.word[own]],
        "row": own,
        "child": child,
        "alone": alone,
        "seen_child": child * seen[own],
        "silent_child": silent_at(child, silent),
        "absorbed_child": absorbed_child(child, seen[own], silent),
        "silent_alone": silent_at(alone, silent),
    }
    return pd.DataFrame(columns)


def silent_at(
    where: Float[np.ndarray, " rows"], silent: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, " rows"]:
    """1 where a row is of the words in question and the parent's latents are silent, else 0."""
    return where * silent


def absorbed_child(
    child: Float[np.ndarray, " rows"],
    seen: Bool[np.ndarray, " rows"],
    silent: Float[np.ndarray, " rows"],
) -> Float[np.ndarray, " rows"]:
    """1 where the parent's latents are silent at a child that the model takes for the parent."""
    return child * seen * silent


def f1_sums(
    found: Occurrences, family: Family, fires: Bool[np.ndarray, " rows"]
) -> tuple[float, float, float, float]:
    """2 TP and 2 TP + FP + FN, on scored rows, of "some latent is active" and of always yes."""
    weight, positive = _weights(found, family)
    weight = weight * found.counts
    own = weight[positive].sum()
    hits, total = 2 * weight[positive & fires].sum(), own + weight[fires].sum()
    return hits, total, 2 * own, own + weight.sum()
