"""The null 'random': a TopK SAE whose directions were drawn, not learned."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from saeval.sae import architectures
from saeval.sae.architectures import moved
from saeval.sae.architectures.random import random_topk
from saeval.training.method import Setup, check_same_site


@dataclass(frozen=True)
class Random:
    """Unit directions from a seed that nothing else draws with, about the sample's mean."""

    name: ClassVar[str] = "random"

    def fit(self, setup: Setup) -> architectures.TopK:
        """The directions; `random_topk` gives the same ones for the seed in the origin.

        Raises:
            UsageError: for a transcoder.
        """
        check_same_site(setup, self.name)
        recipe, b_dec = setup.recipe, setup.x.mean(0)
        # Not the recipe's seed itself: a synthetic world with the same seed could have drawn the
        # same directions.
        seed = int(torch.randint(2**62, (1,), generator=recipe.generator("init")))
        return moved(random_topk(b_dec.cpu(), recipe.d_sae, recipe.k, seed), device=b_dec.device)
