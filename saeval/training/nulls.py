"""The origin that all nulls have, so that nobody takes one for a trained SAE."""

from saeval.sae import Origin
from saeval.training.recipe import Recipe


def null_origin(name: str, architecture: str, recipe: Recipe) -> Origin:
    """The origin of a null: its name and its seed."""
    return Origin(architecture=architecture, metadata={"null": name, "seed": recipe.seed})
