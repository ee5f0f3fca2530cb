"""The null 'neurons': the activation's own entries, the largest of each token kept."""

from dataclasses import dataclass
from typing import ClassVar

from saeval.sae import architectures
from saeval.training.method import Setup, check_same_site, check_width
from saeval.training.nulls import null_origin


@dataclass(frozen=True)
class Neurons:
    """All d_in entries, whatever the recipe's d_sae; k of them active per token."""

    name: ClassVar[str] = "neurons"

    def fit(self, setup: Setup) -> architectures.Neurons:
        """With the sample's mean.

        Raises:
            UsageError: for a transcoder, or if k exceeds the activations' width.
        """
        check_same_site(setup, self.name)
        check_width(setup, self.name)
        origin = null_origin(self.name, "neurons", setup.recipe)
        return architectures.Neurons(setup.x.mean(0), setup.recipe.k, origin=origin)
