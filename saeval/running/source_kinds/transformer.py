"""Transformers, by hub id, by folder or in memory: loaded when needed, dropped on request."""

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from saeval import __version__
from saeval.activations import ActivationSource, model_source
from saeval.activations.store import writing
from saeval.config.options import DEFAULT_TASKS
from saeval.errors import ModelError, UsageError, suggestion
from saeval.lab import document_part, part_of
from saeval.models import LoadedModel, load_model
from saeval.models.absent import bytes_to_load
from saeval.registry.lookup import load_registry
from saeval.registry.model_names import RENAMED
from saeval.running.identity import model_files
from saeval.running.opening import Opening
from saeval.running.places import SiteSpec
from saeval.running.preflight.checks import Claims

ROW_TOKENS = 128
"""Tokens per row, to convert a batch size in rows to one in tokens."""
_PATH_PREFIXES = (".", "/", "~", "lab/", "lab://")
"""Beginnings of paths and of the lab's names, for which errors suggest no listed model."""


class Transformers:
    """The models of a run. A loaded model stays in memory until it is released."""

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self._models: dict[str, LoadedModel] = {}
        self._files: dict[str, str] = {}

    def place(self, claims: Claims) -> SiteSpec:
        """The model and sites that the user names, or else those that the SAE names.

        Raises:
            UsageError: if neither names a model or a site.
        """
        model = self.opening.model or claims.model
        site = self.opening.site or claims.read_site
        for kind, value in (("model", model), ("site", site)):
            if not value:
                raise UsageError(f"The SAE's files name no {kind}. Give one with --{kind}.")
        name = model.identity if isinstance(model, LoadedModel) else str(model)
        prepend_bos = claims.prepend_bos is not False
        return SiteSpec(name, str(site), claims.write_site, claims.centred, prepend_bos)

    def check(self) -> None:
        """Check that the model that the user names exists.

        Raises:
            UsageError: if it does not, with what was tried.
        """
        name = self.opening.model
        if isinstance(name, str):
            try:
                self._identity_of_files(name)
            except ModelError as error:
                raise UsageError(f"{error}{_similar_names(name)}") from error

    def identity(self, place: SiteSpec) -> str:
        """Identity of the source at a place, stored so that a later run need not load the model.

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
        if not place.prepend_bos:
            key["prepend_bos"] = False

        def write(folder: Path) -> None:
            values = {"identity": self.open(place).identity}
            with writing():
                (folder / "identity.json").write_text(json.dumps(values), encoding="utf-8")

        def read(folder: Path) -> str:
            values = json.loads((folder / "identity.json").read_text(encoding="utf-8"))
            if not isinstance(values["identity"], str):
                raise TypeError("it holds no identity")
            return values["identity"]

        stored = self.opening.store.get(key, write, read)
        return self.open(place).identity if stored is None else stored

    def open(self, place: SiteSpec) -> ActivationSource:
        """The source at a place; its model is loaded first, unless it is in memory.

        Raises:
            ModelError: if the model does not exist, or lacks a site that the SAE names.
            UsageError: if the model lacks the site that the user names.
        """
        rows = self.opening.batch_size
        try:
            source = model_source(
                self._loaded(place.model),
                place.read_site,
                write_site=place.write_site,
                store=self.opening.store,
                batch_tokens=None if rows is None else rows * ROW_TOKENS,
                centred=place.centred,
            )
            return replace(source, prepend_bos=place.prepend_bos)
        except ModelError as error:
            if self.opening.site is None:
                raise
            raise UsageError(str(error)) from error

    def default_tasks(self, model: str) -> Sequence[str]:
        """Those of language models, unless the model is one of the lab's that plays a game."""
        is_language_model = part_of(model) is None or document_part(model) is not None
        return DEFAULT_TASKS["language models" if is_language_model else "all else"]

    def bytes_to_load(self, model: str) -> int | None:
        """Bytes to download before the model can be loaded; None: the hub does not answer.

        Raises:
            ModelError: if the model does not exist.
        """
        return 0 if isinstance(self.opening.model, LoadedModel) else bytes_to_load(model)

    def release_others(self, models: set[str]) -> None:
        """Drop all models but these from memory."""
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


def _similar_names(name: str) -> str:
    """Suggestion of listed models with a similar name; empty for paths and the lab's models."""
    near = suggestion(name, [*load_registry().models, *RENAMED])
    return near if near.startswith(" Did") and not name.startswith(_PATH_PREFIXES) else ""
