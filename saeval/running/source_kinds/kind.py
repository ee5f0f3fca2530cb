"""The questions that every kind of source answers: `SourceKind`."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from saeval.activations import ActivationSource
from saeval.running.preflight.checks import Claims


@runtime_checkable
class SourceKind(Protocol):
    """Stored activations, synthetic worlds or transformers.

    The argument `place` of the other methods is what the method `place` returned.
    """

    def check(self) -> None:
        """Check that the model that the user names exists.

        Raises:
            UsageError: if it does not.
        """
        ...

    def place(self, claims: Claims) -> Any:
        """The model and sites at which an SAE is read; None if there are none.

        Raises:
            UsageError: if neither the user nor the SAE names them.
        """
        ...

    def identity(self, place: Any) -> str:
        """sha256 of all that determines the activations, if possible from files alone.

        Raises:
            ModelError: if the place does not exist.
            UsageError: if it does not exist and the user named it.
        """
        ...

    def open(self, place: Any) -> ActivationSource:
        """The source at a place.

        Raises:
            ModelError: if the place does not exist.
            UsageError: if it does not exist and the user named it.
        """
        ...

    def default_tasks(self, model: str) -> Sequence[str]:
        """Names of the tasks that SAEs of a model are scored on where none are named."""
        ...

    def bytes_to_load(self, model: str) -> int | None:
        """Bytes that would have to be downloaded to read a model; None: nobody knows.

        Raises:
            ModelError: if the model does not exist.
        """
        ...
