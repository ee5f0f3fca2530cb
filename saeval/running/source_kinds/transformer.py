"""Transformers, by hub id, folder or in memory: loaded when first needed, dropped when told to."""

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from saeval import __version__
from saeval.activations import ActivationSource, model_source
from saeval.errors import ModelError, UsageError, suggestion
from saeval.lab import part_of
from saeval.models import LoadedModel, load_model
from saeval.models.absent import bytes_to_load
from saeval.registry.lookup import load_registry
from saeval.registry.model_names import RENAMED
from saeval.running.identity import model_files
from saeval.running.opening import Opening
from saeval.running.places import SiteSpec
from saeval.running.preflight.checks import Claims

ROW_TOKENS = 128
"""Tokens a row, where a batch size in rows is turned into one in tokens."""
_PLACES = (".", "/", "~", "lab/", "lab://")
"""How names begin for which an error offers the nearest already, or none is near."""


class Transformers:
    """The models of a run, and those of them that are in memory."""

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self._models: dict[str, LoadedModel] = {}
        self._files: dict[str, str] = {}

    def place(self, claims: Claims) -> SiteSpec:
        """The model and sites that the user or, where the user names none, the SAE does.

        Raises:
            UsageError: if neither names one.
        """
        model = self.opening.model or claims.model
        site = self.opening.site or claims.read_site
        for what, named in (("model", model), ("site", site)):
            if not named:
                raise UsageError(f"The SAE's files name no {what}. Give one with --{what}.")
        name = model.identity if isinstance(model, LoadedModel) else str(model)
        return SiteSpec(name, str(site), claims.write_site, claims.centred)

    def check(self) -> None:
        """See that the model which the user names is there.

        Raises:
            UsageError: if it is not, with what was tried.
        """
        name = self.opening.model
        if isinstance(name, str):
            try:
                self._identity_of_files(name)
            except ModelError as error:
                raise UsageError(f"{error}{_near(name)}") from error

    def identity(self, place: SiteSpec) -> str:
        """Identity of the source at a place, remembered so that the model need not be loaded.

        Raises:
            ModelError: if the source cannot be opened.
            UsageError: as `open`.
        """
        if place.model in self._models or isinstance(self.opening.model, LoadedModel):
            return self.open(place).identity
        key = {
            "kind": "source identity",
            "model": self._identity_of_files(place.model),
            "place": [place.read_site, place.write_site, place.centred],
            "dtype": str(self.opening.dtype),
            "code": [__version__, metadata.version("transformers")],
        }

        def write(folder: Path) -> None:
            known = {"identity": self.open(place).identity}
            (folder / "identity.json").write_text(json.dumps(known), encoding="utf-8")

        def read(folder: Path) -> Mapping[str, str]:
            return json.loads((folder / "identity.json").read_text(encoding="utf-8"))

        stored = self.opening.store.get(key, write, read)
        return self.open(place).identity if stored is None else stored["identity"]

    def open(self, place: SiteSpec) -> ActivationSource:
        """The source at a place; its model is loaded first, unless it is in memory.

        Raises:
            ModelError: if the model or a site that the SAE names is not there.
            UsageError: if the site that the user names is not in the model.
        """
        rows = self.opening.batch_size
        try:
            return model_source(
                self._loaded(place.model),
                place.read_site,
                write_site=place.write_site,
                store=self.opening.store,
                batch_tokens=None if rows is None else rows * ROW_TOKENS,
                centred=place.centred,
            )
        except ModelError as error:
            if self.opening.site is None:
                raise
            raise UsageError(str(error)) from error

    def reader(self, model: str) -> str:
        """A language model, unless it is one of the lab's that plays a game."""
        return "language models" if part_of(model) in (None, "world") else "all else"

    def bytes_to_load(self, model: str) -> int | None:
        """Bytes that the hub would have to send before it can be loaded; None: the hub is silent.

        Raises:
            ModelError: if there is no such model.
        """
        return 0 if isinstance(self.opening.model, LoadedModel) else bytes_to_load(model)

    def release_others(self, models: set[str]) -> None:
        """Drop from memory every model that is not among these."""
        for name in self._models.keys() - models:
            del self._models[name]

    def _loaded(self, name: str) -> LoadedModel:
        if isinstance(self.opening.model, LoadedModel):
            return self.opening.model
        if name not in self._models:
            self._models[name] = load_model(
                name, device=self.opening.device, dtype=self.opening.dtype
            )
        return self._models[name]

    def _identity_of_files(self, name: str) -> str:
        if name not in self._files:
            self._files[name] = model_files(name)
        return self._files[name]


def _near(name: str) -> str:
    """Listed models and aliases of a similar name; nothing for paths and the lab's own."""
    near = suggestion(name, [*load_registry().models, *RENAMED])
    return near if near.startswith(" Did") and not name.startswith(_PLACES) else ""
