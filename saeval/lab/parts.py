"""All parts of the lab, each after what it needs."""

from saeval.lab.build import Part
from saeval.lab.world.part import WORLD_MODEL

PARTS: tuple[Part, ...] = (WORLD_MODEL,)
