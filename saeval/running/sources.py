"""Activation sources of a run: found by content, opened when first needed, one model at a time."""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saeval import __version__
from saeval.activations import ActivationSource, Store, array_source, model_source
from saeval.config.configuration import check_named
from saeval.errors import ModelError, UsageError, suggestion
from saeval.lab.synthetic import (
    SITE,
    WORLDS,
    find_spec,
    world_identity,
    world_name,
    world_source,
)
from saeval.models import LoadedModel, load_model
from saeval.registry.lookup import load_registry
from saeval.registry.model_names import RENAMED
from saeval.running.identity import model_files
from saeval.running.preflight.checks import Claims

logger = logging.getLogger(__name__)

ROW_TOKENS = 128
"""Tokens a row, where a batch size in rows is turned into one in tokens."""


@dataclass(frozen=True)
class Place:
    """Where SAEs read and write, as they or the user name it. No model is loaded to know this."""

    model: str
    read_site: str
    write_site: str | None
    centred: bool


@dataclass(frozen=True)
class Opening:
    """How sources are opened."""

    model: str | LoadedModel | None = None
    """Given by the user; None: as each SAE says."""
    site: str | None = None
    """Likewise."""
    array: str | Path | np.ndarray | None = None
    """Stored activations, in place of a model."""
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    batch_size: int | None = None
    """Rows of 128 tokens a pass; None: the default."""
    store: Store = field(default_factory=Store)


class Sources:
    """The sources of a run. Holds at most one model that it loaded itself."""

    def __init__(self, opening: Opening) -> None:
        self._opening = opening
        self._model: tuple[str, LoadedModel] | None = None
        self._sources: dict[Place | None, ActivationSource] = {}
        self._files: dict[str, str] = {}

    def check(self) -> None:
        """See that the model which the user names is there at all.

        Raises:
            UsageError: if it is not, with what was tried.
        """
        name = self._opening.model
        check_named(name, "model")
        if isinstance(name, str):
            try:
                self._model_files(name)
            except ModelError as error:
                raise UsageError(f"{error}{_near(name)}") from error

    def place(self, claims: Claims) -> Place | None:
        """Where an SAE is to be read; None for stored activations.

        Raises:
            UsageError: if neither the user nor the SAE names a model and a site.
        """
        if self._opening.array is not None:
            return None
        model = self._opening.model or claims.model
        site = self._opening.site or claims.read_site
        if isinstance(model, str) and world_name(model):
            site = site or SITE
        for what, found in (("model", model), ("site", site)):
            if not found:
                raise UsageError(f"The SAE's files name no {what}. Give one with --{what}.")
        name = model.identity if isinstance(model, LoadedModel) else str(model)
        return Place(name, str(site), claims.write_site, claims.centred)

    def model_name(self, place: Place | None) -> str | None:
        """What the model at a place is called; None for stored activations."""
        given = self._opening.model
        return given.name if place and isinstance(given, LoadedModel) else place and place.model

    def identity(self, place: Place | None) -> str:
        """Identity of the source at a place, remembered so that the model need not be loaded.

        Raises:
            ModelError: if the source cannot be opened.
            UsageError: as `open`.
        """
        if place is None or place in self._sources or isinstance(self._opening.model, LoadedModel):
            return self.open(place).identity
        if world_name(place.model):
            return world_identity(self._world(place))
        key = {
            "kind": "source identity",
            "model": self._model_files(place.model),
            "place": [place.read_site, place.write_site, place.centred],
            "dtype": str(self._opening.dtype),
            "code": [__version__, metadata.version("transformers")],
        }

        def write(folder: Path) -> None:
            known = {"identity": self.open(place).identity}
            (folder / "identity.json").write_text(json.dumps(known), encoding="utf-8")

        def read(folder: Path) -> Mapping[str, str]:
            return json.loads((folder / "identity.json").read_text(encoding="utf-8"))

        found = self._opening.store.get(key, write, read)
        return self.open(place).identity if found is None else found["identity"]

    def open(self, place: Place | None) -> ActivationSource:
        """The source at a place.

        Raises:
            ModelError: if the model or a site that the SAE names is not there.
            UsageError: if the site that the user names is not in the model.
        """
        if place not in self._sources:
            self._sources[place] = self._array() if place is None else self._at(place)
        return self._sources[place]

    def opened(self, place: Place | None) -> ActivationSource | None:
        """The source at a place, if it was opened."""
        return self._sources.get(place)

    def _model_files(self, name: str) -> str:
        if name not in self._files:
            world = world_name(name)
            self._files[name] = world_identity(world) if world else model_files(name)
        return self._files[name]

    def _array(self) -> ActivationSource:
        if self._opening.array is None:
            raise UsageError("There is neither a model nor an array of activations to read.")
        return array_source(self._opening.array)

    def _at(self, place: Place) -> ActivationSource:
        if world_name(place.model):
            return world_source(self._world(place))
        model = self._loaded(place.model)
        rows = self._opening.batch_size
        try:
            return model_source(
                model,
                place.read_site,
                write_site=place.write_site,
                store=self._opening.store,
                batch_tokens=None if rows is None else rows * ROW_TOKENS,
                centred=place.centred,
            )
        except ModelError as error:
            if self._opening.site is None:
                raise
            raise UsageError(str(error)) from error

    def _world(self, place: Place) -> str:
        """The synthetic world at a place that names one.

        Raises:
            ModelError: if there is no such world, or it has no such site.
            UsageError: if the site that the user names is not there.
        """
        world = str(world_name(place.model))
        if find_spec(world) is None:
            raise ModelError(f"There is no synthetic world '{world}', only {', '.join(WORLDS)}.")
        elsewhere = {place.read_site, place.write_site or SITE} - {SITE}
        if elsewhere or place.centred:
            named = f"'{min(elsewhere)}'" if elsewhere else "centred activations"
            raise (UsageError if self._opening.site else ModelError)(
                f"The synthetic world '{world}' has but one site, '{SITE}', and no {named}. Give "
                f"--site {SITE}, or the model that the SAE was trained on with --model."
            )
        return world

    def _loaded(self, name: str) -> LoadedModel:
        if isinstance(self._opening.model, LoadedModel):
            return self._opening.model
        if self._model is None or self._model[0] != name:
            self._model = None  # the old one goes before the new one comes
            self._sources.clear()
            loaded = load_model(name, device=self._opening.device, dtype=self._opening.dtype)
            self._model = (name, loaded)
        return self._model[1]


_PLACES = (".", "/", "~", "lab/", "lab://")
"""How names begin for which an error offers the nearest already, or none is near."""


def _near(name: str) -> str:
    """Listed models and aliases of a similar name; nothing for paths and the lab's own."""
    near = suggestion(name, [*load_registry().models, *RENAMED])
    return near if near.startswith(" Did") and not name.startswith(_PLACES) else ""


def as_model(model: Any) -> str | LoadedModel | None:
    """A model as the user may give it: name, folder, `LoadedModel`, or (network, tokenizer).

    Raises:
        UsageError: if it is none of these.
    """
    if model is None or isinstance(model, str | LoadedModel):
        return model
    if isinstance(model, Path):
        return str(model)
    if isinstance(model, tuple) and len(model) == 2 and isinstance(model[0], torch.nn.Module):
        return _wrapped(*model)
    raise UsageError(
        f"{model!r:.80} is no model: give a Hugging Face id, a folder, a LoadedModel, or a tuple "
        "of a transformers network and its tokenizer."
    )


def _wrapped(net: torch.nn.Module, tokenizer: Any) -> LoadedModel:
    """A network in memory, identified by its weights."""
    from saeval.models.anatomy import dissect
    from saeval.models.quantised import refuse_integer_layers

    refuse_integer_layers(net)
    net = net.eval().requires_grad_(requires_grad=False)
    digest = hashlib.sha256(str(getattr(net, "config", "")).encode())
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    weight = next(net.parameters())
    return LoadedModel(
        name=type(net).__name__,
        revision=None,
        net=net,
        tokenizer=tokenizer,
        device=str(weight.device),
        dtype=weight.dtype,
        identity=f"local:{digest.hexdigest()}",
        parts=dissect(net),
    )
