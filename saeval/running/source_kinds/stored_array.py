"""Stored activations in the place of a model: every SAE of the run reads them."""

from dataclasses import dataclass

from saeval.activations import ActivationSource, array_source
from saeval.errors import UsageError
from saeval.running.opening import Opening
from saeval.running.places import SiteSpec
from saeval.running.preflight.checks import Claims


@dataclass(frozen=True)
class StoredArray:
    """The array that the user gives. It has no sites, so that no SAE is read elsewhere."""

    opening: Opening

    def place(self, claims: Claims) -> SiteSpec | None:
        """None: an array is read as it is."""
        return None

    def check(self) -> None:
        """Nothing to look for: the file was found when the request was read."""

    def identity(self, place: SiteSpec | None) -> str:
        """sha256 of the activations."""
        return self.open(place).identity

    def open(self, place: SiteSpec | None) -> ActivationSource:
        """The array as a source.

        Raises:
            UsageError: if there is none.
            DataError: if it does not hold activations.
        """
        if self.opening.array is None:
            raise UsageError("There is neither a model nor an array of activations to read.")
        return array_source(self.opening.array)

    def reader(self, model: str) -> str:
        """Nothing is known of the activations but their values."""
        return "all else"

    def bytes_to_load(self, model: str) -> int | None:
        """An array is here."""
        return 0
