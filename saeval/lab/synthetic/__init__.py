"""Activations from a known dictionary: named worlds, their truth, and the planted oracle."""

from saeval.lab.synthetic.oracle import oracle
from saeval.lab.synthetic.source import (
    ROWS,
    SITE,
    evaluation_sample,
    world_identity,
    world_model,
    world_name,
    world_of,
    world_source,
)
from saeval.lab.synthetic.world import SPLITS, SyntheticWorld, WorldSample, synthetic_world
from saeval.lab.worlds import WORLDS, WorldSpec, find_spec, world_spec

__all__ = [
    "ROWS",
    "SITE",
    "SPLITS",
    "WORLDS",
    "SyntheticWorld",
    "WorldSample",
    "WorldSpec",
    "evaluation_sample",
    "find_spec",
    "oracle",
    "synthetic_world",
    "world_identity",
    "world_model",
    "world_name",
    "world_of",
    "world_source",
    "world_spec",
]
