"""SAEs that belong together: trainings that differ in their seed alone, and families along L0."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from saeval.results.comparison.pool import Pool

_SEED = re.compile(r"[-_/.](?:s|seed)[-_]?(\d+)(?=$|[-_/.])", re.IGNORECASE)
"""A training seed in a name, such as `topk-16-s1` or `topk/seed_3/sae`."""
UNKNOWN = "unknown architecture"


@dataclass(frozen=True)
class Kin:
    """Which SAEs of a pool are trainings of one method, and which lie along one family."""

    pool: Pool
    seed_sets: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Sets whose members differ in their training seed alone -> their members."""
    sparsity_sets: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Sets whose members differ in their sparsity alone -> their members."""
    checkpoint_sets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Sets of SAEs kept during one training -> their members in order, the finished SAE last."""

    @cached_property
    def checkpoints(self) -> frozenset[str]:
        """SAEs kept before the end of a training."""
        return frozenset(one for members in self.checkpoint_sets.values() for one in members[:-1])

    def trainings(self, label: str) -> tuple[str, ...]:
        """The SAE, and all of the pool that differ from it in the training seed alone.

        They share a set of kind `seeds`, or a name up to a seed in it; architecture, width, model
        and site are the same. A copy of one SAE under another name counts once.
        """
        about = self.pool.about.get(label)
        if about is None:
            return (label,)
        sets = [set(members) for members in self.seed_sets.values() if label in members]
        hashes: dict[str, str] = {about.hash: label} if about.hash else {}
        chosen = [label]
        for other in self.pool.labels:
            own = self.pool.about[other]
            is_kin = any(other in members for members in sets) or stem(other) == stem(label)
            if other == label or not is_kin or own.kind != about.kind or own.hash in hashes:
                continue
            if own.hash:
                hashes[own.hash] = other
            chosen.append(other)
        return tuple(sorted(chosen, key=lambda name: (training_seed(name), name)))

    def lines(self, labels: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """For each of some trainings, the SAEs of its family with the same training seed.

        A family has one architecture and width and reads one place, and either shares a set of kind
        `sparsities` or has names that differ in numbers alone: SAEs of one formula may be trained
        in different ways. SAEs kept before the end of a training are left out, unless named.
        """
        return tuple(self._line(label) for label in labels)

    def _line(self, label: str) -> tuple[str, ...]:
        about = self.pool.about.get(label)
        if about is None:
            return (label,)
        return tuple(
            other
            for other in self.pool.labels
            if other == label
            or (
                self.pool.about[other].kind == about.kind
                and self._family(other) == self._family(label)
                and training_seed(other) == training_seed(label)
                and other not in self.checkpoints
            )
        )

    def _family(self, label: str) -> str:
        """What all SAEs of a family share: a set, else a name without its numbers."""
        for name, members in self.sparsity_sets.items():
            if not {label, stem(label)}.isdisjoint(members):
                return name
        return skeleton(label)

    def family_name(self, label: str) -> str:
        """What a plot calls the family of an SAE: its architecture, told apart where need be."""
        about = self.pool.about[label]
        name = about.null or about.architecture or UNKNOWN
        families = {
            self._family(other)
            for other, own in self.pool.about.items()
            if (own.architecture, own.is_null) == (about.architecture, False)
        }
        if about.is_null or len(families) < 2:
            return name
        own = self._family(label).rsplit("/", 1)[-1]
        end = own.removesuffix("-sparsities").removesuffix("-*")
        return end if end == name else f"{end} ({name})"


def stem(name: str) -> str:
    """A name without the training seed in it."""
    return _SEED.sub("", name)


def training_seed(name: str) -> int:
    """The training seed in a name; 0 where it names none."""
    found = _SEED.search(name)
    return int(found[1]) if found else 0


def skeleton(name: str) -> str:
    """A name without its training seed, and a star for each number."""
    return re.sub(r"\d+", "*", stem(name))
