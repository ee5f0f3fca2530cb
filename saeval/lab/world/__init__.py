"""The lab's world: documents from a grammar, with everything that is true of them."""

from saeval.lab.world.documents import Document, Documents
from saeval.lab.world.world import World

__all__ = ["Document", "Documents", "World"]
