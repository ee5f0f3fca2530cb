"""How long, how fast and towards what an SAE is trained."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from saeval.errors import UsageError

Purpose = Literal["init", "order", "fit"]
_PURPOSES: tuple[Purpose, ...] = ("init", "order", "fit")
_SPAWN_KEY = 0x5AE
"""First spawn key of all training seeds; other parts of saeval spawn under keys of their own."""


@dataclass(frozen=True)
class Recipe:
    """Settings that all architectures share. Those of one architecture are fields of its method."""

    d_sae: int
    """Number of latents."""
    k: int
    """Target L0: active latents per token, exactly or on average, depending on the architecture."""
    tokens: int = 4_000_000
    """Activations seen in training, repetitions included."""
    batch_size: int = 1024
    """Activations per step. Larger batches leave the processor's cache and cost more per token."""
    lr: float | None = None
    """Adam's rate; None for 2e-4 / sqrt(d_sae / 2^14)."""
    seed: int = 0
    """Seed of the initial weights and of the order of activations."""
    warmup: float = 0.02
    """Share of the steps over which the rate rises linearly."""
    decay: float = 0.3
    """Share of the steps, at the end, over which the rate falls linearly to zero."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the factors in matrix products; everything else is float32 in either case."""
    held_out: int = 16_384
    """Activations kept for the final figures, at most a tenth of an array's rows."""

    def __post_init__(self) -> None:
        for name in ("d_sae", "k", "tokens", "batch_size", "held_out"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}, but must be at least 1.")
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}, but must be at least 0.")
        for name in ("warmup", "decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} is {getattr(self, name)}, but a share is from 0 to 1.")
        if self.k > self.d_sae:
            raise UsageError(f"k = {self.k} latents a token cannot come out of {self.d_sae}.")
        if self.lr is not None and not (math.isfinite(self.lr) and self.lr > 0):
            raise UsageError(f"lr is {self.lr}, but must be a positive number, such as 1e-3.")

    @property
    def steps(self) -> int:
        """Updates of the weights."""
        return math.ceil(self.tokens / self.batch_size)

    def rate(self, step: int) -> float:
        """Learning rate of a step; the first step has number 0.

        Source: Gao et al. 2024, arXiv 2406.04093, for the rate's dependence on width.
        """
        peak = self.lr or 2e-4 / math.sqrt(self.d_sae / 2**14)
        rise = (step + 1) / max(1.0, self.warmup * self.steps)
        fall = (self.steps - step) / max(1.0, self.decay * self.steps)
        return peak * min(1.0, rise, fall)

    def generator(self, purpose: Purpose) -> torch.Generator:
        """Random numbers for one purpose.

        Equal seeds give equal streams, which differ from what other code draws with the same seed.
        """
        key = (_SPAWN_KEY, _PURPOSES.index(purpose))
        words = np.random.SeedSequence(self.seed, spawn_key=key).generate_state(2)
        return torch.Generator().manual_seed(int(words[0]) << 31 ^ int(words[1]))
