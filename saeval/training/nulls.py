"""What all nulls say of themselves, so that nobody takes one for a trained SAE."""

from saeval.sae import Origin
from saeval.training.recipe import Recipe


def null_origin(name: str, architecture: str, recipe: Recipe) -> Origin:
    """The origin of a null: which one, and from which seed."""
    return Origin(architecture=architecture, metadata={"null": name, "seed": recipe.seed})
