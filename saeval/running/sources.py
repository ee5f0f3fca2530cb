"""The activation sources of a run: identified by content, opened when first needed."""

from collections.abc import Collection, Sequence

from saeval.activations import ActivationSource
from saeval.config.configuration import refuse_unnameable
from saeval.lab.synthetic import world_name
from saeval.models import LoadedModel
from saeval.running.opening import Opening
from saeval.running.places import SiteSpec
from saeval.running.preflight.checks import Claims
from saeval.running.source_kinds.kind import SourceKind
from saeval.running.source_kinds.stored_array import StoredArrays
from saeval.running.source_kinds.synthetic_world import SyntheticWorlds
from saeval.running.source_kinds.transformer import Transformers


class Sources:
    """The sources of a run.

    Models stay in memory until `keep_only` drops those that the next places do not need. The
    members of a set are scored together, so a set of models or checkpoints needs memory for all
    of its models at once.
    """

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._array = StoredArrays(opening)
        self._worlds = SyntheticWorlds(opening)
        self._transformers = Transformers(opening)
        self._open: dict[SiteSpec | None, ActivationSource] = {}
        self._identities: dict[SiteSpec | None, str] = {}

    def check(self) -> None:
        """Check that the model that the user names exists.

        Raises:
            UsageError: if it does not, with what was tried.
        """
        refuse_unnameable(self._opening.model, "model")
        if self._opening.model is not None:
            self._kind(self._opening.model).check()

    def place(self, claims: Claims) -> SiteSpec | None:
        """The model and sites at which an SAE is read; None for stored activations.

        Raises:
            UsageError: if neither the user nor the SAE names a model and a site.
        """
        return self._kind(self._opening.model or claims.model).place(claims)

    def model_name(self, place: SiteSpec | None) -> str | None:
        """Name of the model at a place; None for stored activations."""
        model = self._opening.model
        return model.name if place and isinstance(model, LoadedModel) else place and place.model

    def default_tasks(self, model: str | None) -> Sequence[str]:
        """Names of the tasks for an SAE that names this model, unless the user names another.

        An SAE that names no model is treated as one of a language model.
        """
        model_to_read = self._opening.model or model or ""
        name = model_to_read.name if isinstance(model_to_read, LoadedModel) else model_to_read
        return self._kind(model_to_read).default_tasks(name)

    def bytes_to_load(self, model: str) -> int | None:
        """Bytes that would have to be downloaded to read a model; None: nobody knows.

        Raises:
            ModelError: if the model does not exist.
        """
        return self._kind(model).bytes_to_load(model)

    def identity(self, place: SiteSpec | None) -> str:
        """sha256 of all that determines the activations at a place, except the texts.

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
            ModelError: if the model does not exist, or lacks a site that the SAE names.
            UsageError: if the model lacks the site that the user names.
        """
        if place not in self._open:
            self._open[place] = self._kind_at(place).open(place)
        return self._open[place]

    def opened(self, place: SiteSpec | None) -> ActivationSource | None:
        """The source at a place if it is open, else None."""
        return self._open.get(place)

    def keep_only(self, places: Collection[SiteSpec | None]) -> None:
        """Drop the models that these places do not need, to free memory for the next ones."""
        models = {place.model for place in places if place is not None}
        for place in list(self._open):
            if place is not None and place.model not in models:
                del self._open[place]
        self._transformers.release_others(models)

    def _kind_at(self, place: SiteSpec | None) -> SourceKind:
        return self._kind(None if place is None else place.model)

    def _kind(self, model: str | LoadedModel | None) -> SourceKind:
        """The kind of source that a model belongs to; if there is an array, the array's kind."""
        if self._opening.array is not None:
            return self._array
        if isinstance(model, str) and world_name(model):
            return self._worlds
        return self._transformers
