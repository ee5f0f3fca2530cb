"""Stored activations instead of a model: every SAE of the run reads them."""

from collections.abc import Sequence
from dataclasses import dataclass

from saeval.activations import ActivationSource, array_source
from saeval.config.options import DEFAULT_TASKS
from saeval.errors import UsageError
from saeval.running.opening import Opening
from saeval.running.places import SiteSpec
from saeval.running.preflight.checks import Claims


@dataclass(frozen=True)
class StoredArrays:
    """The array that the user gives. It has no sites: every SAE reads the array itself."""

    opening: Opening

    def place(self, claims: Claims) -> SiteSpec | None:
        """None, since an array has no sites."""
        return None

    def check(self) -> None:
        """Nothing to check: that the file exists was checked with the request."""

    def identity(self, place: SiteSpec | None) -> str:
        """sha256 of the activations."""
        return self.open(place).identity

    def open(self, place: SiteSpec | None) -> ActivationSource:
        """The array as a source.

        Raises:
            UsageError: if the user gave no array.
            DataError: if it does not hold activations.
        """
        if self.opening.array is None:
            raise UsageError("There is neither a model nor an array of activations to read.")
        return array_source(self.opening.array)

    def default_tasks(self, model: str) -> Sequence[str]:
        """Tasks that need only values: what the activations came from is not known."""
        return DEFAULT_TASKS["all else"]

    def bytes_to_load(self, model: str) -> int | None:
        """Nothing: an array is a local file, or in memory."""
        return 0
