"""Activations from a known dictionary: named worlds, their truth, and the planted oracle."""

from saeval.lab.synthetic.spec import WORLDS, WorldSpec, world_spec
from saeval.lab.synthetic.world import SPLITS, Sample, SyntheticWorld, synthetic_world

__all__ = [
    "SPLITS",
    "WORLDS",
    "Sample",
    "SyntheticWorld",
    "WorldSpec",
    "synthetic_world",
    "world_spec",
]
