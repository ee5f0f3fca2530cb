"""The null 'pca': principal components of the sample, the largest scores of each token kept."""

from dataclasses import dataclass, replace
from typing import ClassVar

from saeval.sae import architectures
from saeval.sae.architectures.pca import fit_pca
from saeval.training.method import Setup, check_same_site, check_width
from saeval.training.nulls import null_origin


@dataclass(frozen=True)
class PCA:
    """All d_in components, whatever the recipe's d_sae; k of them active per token."""

    name: ClassVar[str] = "pca"

    def fit(self, setup: Setup) -> architectures.PCA:
        """The components.

        Raises:
            UsageError: for a transcoder, or if k exceeds the activations' width.
        """
        check_same_site(setup, self.name)
        check_width(setup, self.name)
        origin = null_origin(self.name, "pca", setup.recipe)
        return replace(fit_pca([setup.x], setup.recipe.k), origin=origin)
