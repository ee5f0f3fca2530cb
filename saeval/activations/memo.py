"""What was computed of the SAE being scored, so that tasks share it (`Memo`)."""

import weakref
from collections.abc import Callable
from typing import Any

from saeval.activations.memory import hand_back
from saeval.sae import SAE

MEMO_BYTES = 64 << 20
"""Memory for codes. What does not fit is encoded again for every task that asks."""


class Memo:
    """What was computed for the SAE being scored, up to a number of bytes.

    Only speeds things up: whatever it holds would be computed again alike.
    """

    def __init__(self, limit: int = MEMO_BYTES) -> None:
        self.limit = limit
        self.bytes = 0
        self._owner: Callable[[], Any] = lambda: None
        self._held: dict[Any, Any] = {}

    def get(
        self,
        sae: SAE,
        key: Any,
        make: Callable[[], Any],
        size: Callable[[Any], int],
        *,
        keep: bool = True,
    ) -> Any:
        """What was made for this SAE under the key, else made now, and held if there is room.

        Args:
            sae: Whose it is.
            key: What it is.
            make: Computes it.
            size: Its bytes.
            keep: False: what is made now is not held.
        """
        if self._owner() is not sae:
            self.clear()
            self._owner = _reference(sae)
        if key in self._held:
            return self._held[key]
        made = make()
        if keep and self.bytes + size(made) <= self.limit:
            self._held[key] = made
            self.bytes += size(made)
        return made

    def release(self, sae: SAE) -> None:
        """Forget all of an SAE, and give its memory back to the system."""
        if self._owner() is sae:
            self.clear()
        hand_back()

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self.bytes = 0
        self._owner = lambda: None


def _reference(sae: SAE) -> Callable[[], Any]:
    """A weak reference, or a strong one to objects that allow no weak ones."""
    try:
        return weakref.ref(sae)
    except TypeError:
        return lambda: sae
