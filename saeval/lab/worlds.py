"""What a synthetic world is made of, and the named worlds. No torch."""

from dataclasses import dataclass, replace
from typing import Any

from saeval.errors import UsageError


@dataclass(frozen=True)
class WorldSpec:
    """Parameters of a world. The rates here are nominal; a world measures its actual ones."""

    name: str
    about: str = ""
    """What is hard about this world."""
    seed: int = 0
    """Seed of the world itself. For a private world, choose another."""
    d: int = 128
    """Width of the activations."""
    features: int = 256
    """Number of planted directions."""
    max_cosine: float = 0.2
    """Largest |cosine| between two of them, up to `child_cosine` for a child and its parent."""
    child_cosine: float = 0.0
    """Cosine of a child's direction with its parent's; 0: at most `max_cosine`, as for others."""
    l0: float = 8.0
    """Active features per activation, on average."""
    zipf: float = 0.7
    """Rates of the features without parents fall as rank to the power of minus this."""
    roots: int = 16
    """Features that have children."""
    children: int = 4
    """Children of each of them."""
    depth: int = 2
    """Levels of the hierarchy, the roots included."""
    child_rate: float = 0.25
    """Chance that a child is a candidate to fire when its parent fires. Of the candidates among
    siblings only one fires: they exclude each other."""
    correlation: float = 0.4
    """Correlation, in the Gaussian copula, of features without parents in the same group."""
    groups: int = 16
    """Number of groups of features without parents."""
    magnitude: float = 1.0
    """Mean magnitude of the rarest feature; that of the most frequent is a quarter larger."""
    spread: float = 0.2
    """Standard deviation of magnitudes, on average over features; of their logarithm if
    `heavy_tail`."""
    heavy_tail: bool = False
    """Log-normal magnitudes in place of normal ones."""
    noise: float = 0.02
    """Standard deviation of the noise in each dimension."""
    bias: float = 0.5
    """Norm of the constant added to all activations."""

    def __post_init__(self) -> None:
        if self.hierarchical > self.features:
            raise UsageError(
                f"World '{self.name}' has {self.features} features, but its hierarchy needs "
                f"{self.hierarchical}."
            )

    @property
    def hierarchical(self) -> int:
        """Features that are roots or descend from them."""
        return self.roots * sum(self.children**level for level in range(self.depth))


_BASE = WorldSpec(
    "base", "All that the others exaggerate, in moderation: the easiest with structure."
)


def _variant(name: str, about: str, **changed: Any) -> WorldSpec:
    return replace(_BASE, name=name, about=about, **changed)


WORLDS: dict[str, WorldSpec] = {
    spec.name: spec
    for spec in (
        _BASE,
        _variant(
            "flat",
            "No structure at all: features fire equally often, each on its own.",
            zipf=0.0,
            roots=0,
            correlation=0.0,
        ),
        _variant("dense", "Three times as many features at a time.", l0=24.0),
        _variant("rare", "Most features fire a few times in a thousand.", zipf=1.3, l0=4.0),
        _variant(
            "superposed",
            "Four features a dimension in place of two, closer together.",
            d=64,
            max_cosine=0.35,
            l0=10.0,
        ),
        _variant("noisy", "A tenth of the variance is noise.", noise=0.1),
        _variant(
            "correlated",
            "Features of a group mostly fire together.",
            correlation=0.8,
            groups=8,
        ),
        _variant("deep", "A hierarchy of three levels.", roots=8, depth=3, child_rate=0.35),
        _variant(
            "heavy-tail",
            "Magnitudes differ by orders of magnitude.",
            heavy_tail=True,
            spread=0.75,
        ),
        _variant(
            "overlapping",
            "A child's direction is half its parent's, as absorption likes it.",
            child_cosine=0.5,
        ),
    )
}
"""The worlds by name, d 128 and 256 features but for `superposed`. Each differs from `base` in
what its name says."""


def find_spec(name: str) -> WorldSpec | None:
    """The named world's parameters, `base@17` one like `base` with that seed; None for no world."""
    base_name, separator, seed = name.partition("@")
    if base_name not in WORLDS or (separator and not seed.isdecimal()):
        return None
    return replace(WORLDS[base_name], name=name, seed=int(seed)) if separator else WORLDS[base_name]


def world_spec(name: str) -> WorldSpec:
    """The named world's parameters; see `find_spec`.

    Raises:
        UsageError: naming the worlds there are.
    """
    spec = find_spec(name)
    if spec is None:
        raise UsageError(
            f"There is no synthetic world '{name}'. There are: {', '.join(WORLDS)}; each also with "
            "another seed, such as base@17."
        )
    return spec
