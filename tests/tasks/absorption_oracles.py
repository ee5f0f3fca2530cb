"""SAEs whose absorption is known beforehand, by what they were told of the task's own vectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from saeval_tasks.absorption import pairs
from saeval_tasks.absorption.words import LETTERS
from scipy.linalg import block_diag
from torch import Tensor

from saeval.task import Prepared

EVERY = 3
"""One word of so many is absorbed."""


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


def speller(prepared: Prepared, *, absorbing: bool, covering: bool = True) -> Lookup:
    """A latent for each letter; some words silence it, and have a latent of their own instead.

    Args:
        prepared: What the task prepared.
        absorbing: Whether they silence it.
        covering: Whether their own latents then hold the letter's direction.
    """
    x, letter, direction = (prepared.arrays[name] for name in ("x", "letter", "direction"))
    train = prepared.arrays["split"] == 0
    usual = np.stack([x[train & (letter != one)].mean(0) for one in range(len(LETTERS))])
    height = ((x - usual[letter]) * direction[letter]).sum(1).clip(1)
    own = planted(prepared)
    acts = np.zeros((len(x), len(LETTERS) + len(x)), np.float32)
    acts[np.arange(len(x)), letter] = np.where(own & absorbing, 0, height)
    acts[own, len(LETTERS) + np.flatnonzero(own)] = height[own]
    words = direction[letter] * (absorbing and covering)
    return lookup(x, acts, np.concatenate([direction, words]))


def planted(prepared: Prepared) -> np.ndarray:
    """Which words `speller` gives a latent of their own."""
    return np.arange(len(prepared.arrays["x"])) % EVERY == 0


def planted_share(prepared: Prepared) -> float:
    """Mean over letters of the share of scored words that were planted as absorbed."""
    arrays, own = prepared.arrays, planted(prepared)
    says_yes = arrays["says_yes"][np.arange(len(own)), arrays["letter"]]
    shares = [
        own[(arrays["letter"] == letter) & (arrays["split"] == 2) & says_yes].mean()
        for letter in np.flatnonzero(arrays["usable"])
    ]
    return float(np.mean(shares))


def know_all(prepared: Prepared, silenced: int) -> Lookup:
    """An SAE with a latent for each word, and for true parents one that also knows their children.

    Args:
        prepared: What the task prepared.
        silenced: Children of each family that silence their parent's latent.
    """
    families = pairs.families("hierarchy")
    rank, family = rank_and_family(families)
    knows = ((rank == 0) | (rank > silenced))[:, None] & (family[:, None] == range(len(families)))
    true, matched = (
        prepared.arrays[f"{genre}_word"][:, None] == np.arange(len(rank)) for genre in pairs.GENRES
    )
    acts = np.asarray(block_diag(np.hstack([true, true @ knows]), matched))
    x = np.concatenate([prepared.arrays[f"{genre}_x"] for genre in pairs.GENRES])
    return lookup(x, acts, np.ones((acts.shape[1], x.shape[1])))


def rank_and_family(families: Sequence[pairs.Family]) -> tuple[np.ndarray, np.ndarray]:
    """Of each word in order: 0 for a parent, 1 and on for its children; and the family's place."""
    sizes = [1 + len(one.children) for one in families]
    return np.concatenate([np.arange(size) for size in sizes]), np.repeat(range(len(sizes)), sizes)


def silenced_share(prepared: Prepared, silenced: int) -> float:
    """Of scored occurrences of children, those whose parent's latent `know_all` silences."""
    rank, _ = rank_and_family(pairs.families("hierarchy"))
    word = prepared.arrays["hierarchy_word"][prepared.arrays["hierarchy_counts"]]
    children = rank[word[word >= 0]]
    return float((children[children > 0] <= silenced).mean())
