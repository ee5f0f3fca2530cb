"""All parts of the lab, each after what it needs."""

from saeval.lab.build import Part
from saeval.lab.othello.oracle import OTHELLO_ORACLE
from saeval.lab.othello.part import OTHELLO_MODEL
from saeval.lab.world.oracle import TOWN_ORACLE, WORLD_ORACLE
from saeval.lab.world.part import TOWN_MODEL, WORLD_MODEL
from saeval.lab.zoo.members import MEMBERS
from saeval.lab.zoo.part import part_of

PARTS: tuple[Part, ...] = (
    WORLD_MODEL,
    WORLD_ORACLE,
    OTHELLO_MODEL,
    OTHELLO_ORACLE,
    TOWN_MODEL,
    TOWN_ORACLE,
    *map(part_of, MEMBERS),
)
