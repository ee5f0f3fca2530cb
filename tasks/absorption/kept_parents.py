"""Is a parent kept at a child that had no part in choosing the parent's latents?

Latents are chosen without the child in question, so that only a general latent can be found there.
Random directions fire on a new poodle too, where the model puts it beside the collie; what they
write is another matter, so the parent counts as kept only where its latents carry its direction.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.sparse import csc_matrix, csr_matrix

from saeval.sae import SAE

from .discriminants import Discriminant, seen_as_parent
from .letters import active_of
from .occurrences import Family, Occurrences
from .pairs import can_be_judged, parent_latents
from .projections import fitted, kept_by


@dataclass(frozen=True)
class HeldOut:
    """A child that is scored, and the rows that choose latents without it."""

    rest: Family
    """Its parent and siblings."""
    direction: Float[np.ndarray, " d_in"]
    """Of the discriminant of the parent that leaves the child out."""
    choosing: Bool[np.ndarray, " rows"]
    scored: Bool[np.ndarray, " rows"]
    """Occurrences of the child that the model takes for its parent."""
    foreign: Bool[np.ndarray, " rows"]
    """Words of other families, in both splits."""


@dataclass(frozen=True)
class Outcome:
    """What the parent's latents, chosen without one child, do on scored rows."""

    kept: Bool[np.ndarray, " occurrences"]
    """Whether they carry the parent, at each scored occurrence of the child."""
    false_alarms: int
    """Words of other families on which one of them is active."""


def kept_parents(
    sae: SAE, acts: csr_matrix, occurrences: Occurrences, found: Mapping[str, Discriminant]
) -> pd.DataFrame:
    """A row for each family that can be judged: `parent`, and `hits` and `total` of `kept_sums`.

    A child without a sibling in the choosing rows is left out; there may be no row.

    Args:
        sae: The SAE.
        acts: `contributions` of all rows.
        occurrences: Of the words of true families.
        found: The discriminants of these occurrences.
    """
    if not found:
        return pd.DataFrame()
    active = active_of(acts)
    columns = csc_matrix(fitted(sae, acts, occurrences.x, ~occurrences.counts))
    recognised = seen_as_parent(occurrences, found)
    rows = []
    for family in occurrences.families:
        if can_be_judged(occurrences, family):
            children = held_out_children(occurrences, family, found, recognised)
            outcomes = [_outcome(sae, active, columns, occurrences, child) for child in children]
            if outcomes:
                rows.append((family.parent, *kept_sums(outcomes)))
    return pd.DataFrame(rows, columns=["parent", "hits", "total"])


def held_out_children(
    occurrences: Occurrences,
    family: Family,
    found: Mapping[str, Discriminant],
    recognised: Bool[np.ndarray, " rows"],
) -> Iterator[HeldOut]:
    """The children of a family that the model takes for their parent, each left out in its turn."""
    members = occurrences.rows_of([family.parent, *family.children])
    foreign = (occurrences.word >= 0) & ~members
    for child in family.children:
        own = occurrences.rows_of([child])
        scored = own & occurrences.counts & recognised
        siblings = tuple(word for word in family.children if word != child)
        if scored.any() and (occurrences.rows_of(siblings) & ~occurrences.counts).any():
            rest, choosing = Family(family.parent, siblings), ~occurrences.counts & ~own
            yield HeldOut(rest, found[child].direction, choosing, scored, foreign)


def _outcome(
    sae: SAE, active: csc_matrix, acts: csc_matrix, occurrences: Occurrences, child: HeldOut
) -> Outcome:
    """What latents of the rest of its family do at a child; `acts` are what `fitted` gives."""
    chosen = parent_latents(occurrences, child.rest, active, child.choosing)
    latents, others = np.array(chosen, int), child.foreign & child.choosing
    is_kept = kept_by(sae, acts, latents, child.direction, occurrences.x, others)
    fires = (active[:, latents].toarray() != 0).any(1)
    alarms = fires & child.foreign & occurrences.counts
    return Outcome(is_kept[child.scored], int(alarms.sum()))


def kept_sums(outcomes: Sequence[Outcome]) -> tuple[float, float]:
    """2 TP and 2 TP + FP + FN of one family, false alarms being those of a child on average."""
    kept = sum(int(outcome.kept.sum()) for outcome in outcomes)
    scored = sum(len(outcome.kept) for outcome in outcomes)
    alarms = float(np.mean([outcome.false_alarms for outcome in outcomes]))
    return 2.0 * kept, kept + scored + alarms
