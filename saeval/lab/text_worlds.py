"""The lab's worlds of text, by name: what its parts `world` and `town` are drawn from."""

from collections.abc import Callable, Mapping
from functools import cache

from saeval.lab import document_part
from saeval.lab.world import World


@cache
def text_world(part: str) -> World:
    """The world of a part of the lab that reads documents, a key of `TEXT_WORLDS`."""
    return TEXT_WORLDS[part]()


def world_read_by(model: str) -> World:
    """The world whose documents a model of the lab reads; for any other model, `lab/world`'s."""
    return text_world(document_part(model) or "world")


def _town() -> World:
    from saeval.lab.town import TOWN

    return World(material=TOWN)


TEXT_WORLDS: Mapping[str, Callable[[], World]] = {"world": World, "town": _town}
