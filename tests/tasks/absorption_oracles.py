"""SAEs whose absorption is known beforehand, by what they were told of the task's own vectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from saeval_tasks.absorption.discriminants import discriminants, seen_as_parent
from saeval_tasks.absorption.occurrences import GENRES, Family, Occurrences, families
from saeval_tasks.absorption.words import LETTERS
from scipy.linalg import block_diag
from torch import Tensor

from saeval.task import Prepared

EVERY = 3
"""Some words of so many are absorbed, one if nothing else is said."""


@dataclass(frozen=True, eq=False)
class Lookup:
    """An SAE that says of known vectors what it was told, and nothing of others."""

    known: Mapping[bytes, np.ndarray]
    W_dec: Float[Tensor, "d_sae d_in"]

    @property
    def d_in(self) -> int:
        """Width of the vectors."""
        return self.W_dec.shape[1]

    @property
    def d_sae(self) -> int:
        """Number of latents."""
        return self.W_dec.shape[0]

    def encode(self, x: Float[Tensor, "tokens d_in"]) -> Float[Tensor, "tokens d_sae"]:
        """What it was told."""
        nothing = np.zeros(self.d_sae, np.float32)
        return torch.from_numpy(
            np.stack([self.known.get(row.tobytes(), nothing) for row in x.numpy()])
        )

    def decode(
        self, acts: Float[Tensor, "tokens d_sae"], x: Float[Tensor, "tokens d_in"]
    ) -> Float[Tensor, "tokens d_in"]:
        """Acts times W_dec."""
        return acts @ self.W_dec


def lookup(x: np.ndarray, acts: np.ndarray, directions: np.ndarray) -> Lookup:
    """An SAE that gives these acts for these vectors."""
    known = {row.tobytes(): act.astype(np.float32) for row, act in zip(x, acts, strict=True)}
    return Lookup(known, torch.from_numpy(directions.astype(np.float32)))


def silent(d_in: int) -> Lookup:
    """An SAE that never says anything."""
    return Lookup({}, torch.ones(3, d_in))


def speller(
    prepared: Prepared, *, absorbing: bool, covering: bool = True, words: int = 1
) -> Lookup:
    """A latent for each letter; some words silence it, and have a latent of their own instead.

    Args:
        prepared: What the task prepared.
        absorbing: Whether they silence it.
        covering: Whether their own latents then hold the letter's direction.
        words: How many of `EVERY` they are.
    """
    x, letter, direction = (prepared.arrays[name] for name in ("x", "letter", "direction"))
    train = prepared.arrays["split"] == 0
    usual = np.stack([x[train & (letter != one)].mean(0) for one in range(len(LETTERS))])
    height = ((x - usual[letter]) * direction[letter]).sum(1).clip(1)
    own = planted(prepared, words)
    acts = np.zeros((len(x), len(LETTERS) + len(x)), np.float32)
    acts[np.arange(len(x)), letter] = np.where(own & absorbing, 0, height)
    acts[own, len(LETTERS) + np.flatnonzero(own)] = height[own]
    rows = direction[letter] * (absorbing and covering)
    return lookup(x, acts, np.concatenate([direction, rows]))


def planted(prepared: Prepared, words: int = 1) -> np.ndarray:
    """Which words `speller` gives a latent of their own."""
    return np.arange(len(prepared.arrays["x"])) % EVERY < words


def planted_shares(prepared: Prepared, words: int = 1) -> np.ndarray:
    """Of each usable letter, the share of scored words that were planted as absorbed."""
    arrays, own = prepared.arrays, planted(prepared, words)
    says_yes = arrays["says_yes"][np.arange(len(own)), arrays["letter"]]
    return np.array(
        [
            own[(arrays["letter"] == letter) & (arrays["split"] == 2) & says_yes].mean()
            for letter in np.flatnonzero(arrays["usable"])
        ]
    )


def kept_f1(absorbed: np.ndarray | float) -> np.ndarray:
    """F1 where this share of what should be found is absorbed, and nothing else is found."""
    return np.asarray(2 * (1 - absorbed) / (2 - absorbed))


def know_all(prepared: Prepared, silenced: int) -> Lookup:
    """An SAE with a latent for each word, and for true parents one that also knows their children.

    Args:
        prepared: What the task prepared.
        silenced: Children of each family that silence their parent's latent.
    """
    members = families("hierarchy")
    rank, family = rank_and_family(members)
    knows = ((rank == 0) | (rank > silenced))[:, None] & (family[:, None] == range(len(members)))
    true, matched = (
        prepared.arrays[f"{genre}_word"][:, None] == np.arange(len(rank)) for genre in GENRES
    )
    acts = np.asarray(block_diag(np.hstack([true, true @ knows]), matched))
    x = np.concatenate([prepared.arrays[f"{genre}_x"] for genre in GENRES])
    return lookup(x, acts, np.ones((acts.shape[1], x.shape[1])))


def rank_and_family(members: Sequence[Family]) -> tuple[np.ndarray, np.ndarray]:
    """Of each word in order: 0 for a parent, 1 and on for its children; and the family's place."""
    sizes = [1 + len(one.children) for one in members]
    return np.concatenate([np.arange(size) for size in sizes]), np.repeat(range(len(sizes)), sizes)


def silenced_share(prepared: Prepared, silenced: int) -> float:
    """Of scored occurrences of children, those whose parent's latent `know_all` silences."""
    rank, _ = rank_and_family(families("hierarchy"))
    word = prepared.arrays["hierarchy_word"][prepared.arrays["hierarchy_counts"]]
    children = rank[word[word >= 0]]
    return float((children[children > 0] <= silenced).mean())


def parent_writer(prepared: Prepared, quarters: int) -> tuple[Lookup, float]:
    """A latent for each family, which so many of four occurrences of its children silence.

    There the child's own latent writes the same instead. Returns the SAE, and the share of scored
    occurrences that the model takes for their parent on which the family's latent is silent.
    """
    keys = ("x", "word", "counts")
    occurrences = Occurrences(
        families("hierarchy"), *(prepared.arrays[f"hierarchy_{key}"] for key in keys)
    )
    found, (x, word) = discriminants(occurrences), (occurrences.x, occurrences.word)
    rank, family = (np.append(part, -1) for part in rank_and_family(occurrences.families))
    directions = np.stack(
        [
            np.mean([found[child].direction for child in one.children], axis=0)
            for one in occurrences.families
        ]
    )
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    height = (x - x[word >= 0].mean(0)) @ directions.T
    absorbed = (rank[word] > 0) & (np.arange(len(x)) % 4 < quarters)
    acts = np.zeros((len(x), len(directions) + len(rank) - 1))
    for row in np.flatnonzero(word >= 0):
        own = family[word[row]]
        place = len(directions) + word[row] if absorbed[row] else own
        acts[row, place] = max(1.0, height[row, own])
    scored = occurrences.counts & seen_as_parent(occurrences, found)
    rows = np.concatenate([directions, directions[family[:-1]]])
    return lookup(x, acts, rows), float(absorbed[scored].mean())
