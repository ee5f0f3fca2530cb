"""The activation sources of a run: known by content, opened when first needed."""

from collections.abc import Collection

from saeval.activations import ActivationSource
from saeval.config.configuration import refuse_unnameable
from saeval.lab.synthetic import world_name
from saeval.models import LoadedModel
from saeval.running.opening import Opening
from saeval.running.places import SiteSpec
from saeval.running.preflight.checks import Claims
from saeval.running.source_kinds.kind import SourceKind
from saeval.running.source_kinds.stored_array import StoredArray
from saeval.running.source_kinds.synthetic_world import SyntheticWorlds
from saeval.running.source_kinds.transformer import Transformers


class Sources:
    """The sources of a run.

    Models stay in memory until `keep_only` is told which places are read next. An SAE needs one
    model; the members of a set need theirs at the same time, so that a set of models or
    checkpoints takes the memory of all of them together.
    """

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._array = StoredArray(opening)
        self._worlds = SyntheticWorlds(opening)
        self._transformers = Transformers(opening)
        self._open: dict[SiteSpec | None, ActivationSource] = {}
        self._identities: dict[SiteSpec | None, str] = {}

    def check(self) -> None:
        """See that the model which the user names is there at all.

        Raises:
            UsageError: if it is not, with what was tried.
        """
        refuse_unnameable(self._opening.model, "model")
        if self._opening.model is not None:
            self._kind(self._opening.model).check()

    def place(self, claims: Claims) -> SiteSpec | None:
        """Where an SAE is to be read; None for stored activations.

        Raises:
            UsageError: if neither the user nor the SAE names a model and a site.
        """
        return self._kind(self._opening.model or claims.model).place(claims)

    def model_name(self, place: SiteSpec | None) -> str | None:
        """What the model at a place is called; None for stored activations."""
        given = self._opening.model
        return given.name if place and isinstance(given, LoadedModel) else place and place.model

    def bytes_to_load(self, model: str) -> int | None:
        """Bytes that would have to be downloaded to read a model; None: nobody knows.

        Raises:
            ModelError: if there is no such model.
        """
        return self._kind(model).bytes_to_load(model)

    def identity(self, place: SiteSpec | None) -> str:
        """sha256 of all that decides the activations at a place, texts aside.

        Raises:
            ModelError: if the source cannot be opened.
            UsageError: as `open`.
        """
        if place not in self._identities:
            self._identities[place] = self._kind_at(place).identity(place)
        return self._identities[place]

    def open(self, place: SiteSpec | None) -> ActivationSource:
        """The source at a place.

        Raises:
            ModelError: if the model or a site that the SAE names is not there.
            UsageError: if the site that the user names is not in the model.
        """
        if place not in self._open:
            self._open[place] = self._kind_at(place).open(place)
        return self._open[place]

    def opened(self, place: SiteSpec | None) -> ActivationSource | None:
        """The source at a place, if it was opened."""
        return self._open.get(place)

    def keep_only(self, places: Collection[SiteSpec | None]) -> None:
        """Drop all that is not read at these places, so that what comes next finds room."""
        models = {place.model for place in places if place is not None}
        for place in list(self._open):
            if place is not None and place.model not in models:
                del self._open[place]
        self._transformers.release_others(models)

    def _kind_at(self, place: SiteSpec | None) -> SourceKind:
        return self._kind(None if place is None else place.model)

    def _kind(self, model: str | LoadedModel | None) -> SourceKind:
        """What answers for a model; for the array wherever one takes the place of models."""
        if self._opening.array is not None:
            return self._array
        if isinstance(model, str) and world_name(model):
            return self._worlds
        return self._transformers
