"""Results for the SAE being scored, kept so that tasks share them (`Memo`)."""

import weakref
from collections.abc import Callable
from typing import Any

from saeval.activations.memory import hand_back
from saeval.sae import SAE

MEMO_BYTES = 64 << 20
"""Memory for codes. Those that do not fit are computed again for every task."""


class Memo:
    """Results for the SAE being scored, up to a number of bytes.

    It only saves time: computing a result again gives the same.
    """

    def __init__(self, limit: int = MEMO_BYTES) -> None:
        self.limit = limit
        self.bytes = 0
        self._owner: Callable[[], Any] = lambda: None
        self._values: dict[Any, Any] = {}

    def get(
        self,
        sae: SAE,
        key: Any,
        make: Callable[[], Any],
        size: Callable[[Any], int],
        *,
        keep: bool = True,
    ) -> Any:
        """The value of this SAE under the key; computed if absent, and then kept if there is room.

        Args:
            sae: The SAE it belongs to.
            key: Names the value.
            make: Computes the value.
            size: Returns its bytes.
            keep: Whether a computed value may be kept.
        """
        if self._owner() is not sae:
            self.clear()
            self._owner = _reference(sae)
        if key in self._values:
            return self._values[key]
        value = make()
        if keep and self.bytes + size(value) <= self.limit:
            self._values[key] = value
            self.bytes += size(value)
        return value

    def release(self, sae: SAE) -> None:
        """Forget all of an SAE, and give its memory back to the system."""
        if self._owner() is sae:
            self.clear()
        hand_back()

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
        self.bytes = 0
        self._owner = lambda: None


def _reference(sae: SAE) -> Callable[[], Any]:
    """A weak reference, or a strong one to objects that allow no weak ones."""
    try:
        return weakref.ref(sae)
    except TypeError:
        return lambda: sae
