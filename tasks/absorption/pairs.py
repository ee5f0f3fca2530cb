"""Absorption in a planted hierarchy: is the latent of a dog silent at a poodle?

All words are read in their sentences; whether the model takes a child for its parent is seen by a
probe whose classes leave the child out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.sparse import csc_matrix

from .discriminants import Discriminant, seen_as_parent
from .letters import MOST_MAIN, SPLIT_GAIN
from .occurrences import Family, Occurrences


def parent_latents(
    occurrences: Occurrences,
    family: Family,
    active: csc_matrix,
    choosing: Bool[np.ndarray, " rows"],
) -> list[int]:
    """The latents that stand for a parent, judged on choosing rows; empty if none is general.

    A latent is general if it is active on most occurrences of the parent's own word, or of two
    children or more: the latent of one child alone is what absorbs, not what is absorbed. Of
    these the one with the largest F1 for "the parent, alone or in a child" comes first, where the
    parent's own word weighs as much as all children together; another joins, again the best, as
    long as F1 of any of them being active rises by more than `SPLIT_GAIN`.
    """
    weight, positive = _family_weights(occurrences, family, choosing)
    total = weight[positive].sum()
    general = _general_latents(occurrences, family, active, choosing)
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


def _general_latents(
    occurrences: Occurrences,
    family: Family,
    active: csc_matrix,
    choosing: Bool[np.ndarray, " rows"],
) -> Bool[np.ndarray, " latents"]:
    """Whether each latent is active on most occurrences of the parent, or of two children."""
    shares = []
    for word in (family.parent, *family.children):
        rows = occurrences.rows_of([word]) & choosing
        shares.append(active.T @ (rows / max(1, rows.sum())) > 0.5)
    return shares[0] | (np.sum(shares[1:], axis=0) >= 2)


def _family_weights(
    occurrences: Occurrences, family: Family, among: Bool[np.ndarray, " rows"]
) -> tuple[Float[np.ndarray, " rows"], Bool[np.ndarray, " rows"]]:
    """How much each row counts in a family's F1 among some rows, and which rows are the family's.

    The parent's rows together weigh as much as the children's; rows not among them weigh nothing.
    """
    parent, children = occurrences.rows_of([family.parent]), occurrences.rows_of(family.children)
    weight = among.astype(float)
    weight[parent & among] = (children & among).sum() / max(1, (parent & among).sum())
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
    """A row for each family: `parent`; `hits` and `total`, 2 TP and 2 TP + FP + FN."""
    left_out: Mapping[str, bool]
    """Parent -> whether its family is left out of the tables, which then may have no row."""


def family_tables(
    occurrences: Occurrences, active: csc_matrix, found: Mapping[str, Discriminant]
) -> FamilyTables:
    """The outcomes of one SAE at each scored occurrence of a family's words, and per family.

    Args:
        occurrences: Of the words of a genre.
        active: Which latents are active there, as numbers.
        found: The discriminants of these occurrences.
    """
    judgeable = [family for family in occurrences.families if can_be_judged(occurrences, family)]
    left_out = {family.parent: family not in judgeable for family in occurrences.families}
    if not judgeable:
        return FamilyTables(pd.DataFrame(), pd.DataFrame(), left_out)
    recognised = seen_as_parent(occurrences, found)
    rows, sums = [], []
    for family in judgeable:
        latents = parent_latents(occurrences, family, active, ~occurrences.counts)
        fires = (active[:, latents].toarray() != 0).any(1)
        rows.append(_scored_rows(occurrences, family, fires, recognised))
        sums.append((family.parent, *f1_sums(occurrences, family, fires)))
    return FamilyTables(
        pd.concat(rows, ignore_index=True),
        pd.DataFrame(sums, columns=["parent", "hits", "total"]),
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
) -> tuple[float, float]:
    """2 TP and 2 TP + FP + FN, on scored rows, of "some latent is active"."""
    weight, positive = _family_weights(occurrences, family, occurrences.counts)
    positive_weight = weight[positive].sum()
    hits, total = 2 * weight[positive & fires].sum(), positive_weight + weight[fires].sum()
    return hits, total
