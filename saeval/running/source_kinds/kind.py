"""What every kind of source answers: `SourceKind`."""

from typing import Any, Protocol, runtime_checkable

from saeval.activations import ActivationSource
from saeval.running.preflight.checks import Claims


@runtime_checkable
class SourceKind(Protocol):
    """Stored activations, synthetic worlds or transformers. A place is what `place` gave."""

    def check(self) -> None:
        """See that what the user names is there at all.

        Raises:
            UsageError: if it is not.
        """
        ...

    def place(self, claims: Claims) -> Any:
        """Where an SAE is to be read.

        Raises:
            UsageError: if neither the user nor the SAE says.
        """
        ...

    def identity(self, place: Any) -> str:
        """sha256 of all that decides the activations, from files alone where that can be.

        Raises:
            ModelError: if there is no such place.
            UsageError: if it was the user who named it.
        """
        ...

    def open(self, place: Any) -> ActivationSource:
        """The source at a place.

        Raises:
            ModelError: if there is no such place.
            UsageError: if it was the user who named it.
        """
        ...

    def reader(self, model: str) -> str:
        """What the SAEs of a model are called where it is decided which tasks run by default.

        One of the keys of `saeval.config.options.DEFAULT_TASKS`.
        """
        ...

    def bytes_to_load(self, model: str) -> int | None:
        """Bytes that would have to be downloaded to read a model; None: nobody knows.

        Raises:
            ModelError: if there is no such model.
        """
        ...
