"""What is to be scored: names, folders and objects -> SAEs, loaded one at a time."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from saeval.architectures import ARCHITECTURES, moved
from saeval.architectures.wrapped import Wrapped, wrap
from saeval.entries import Entry, EntrySet, Expected, FolderRef
from saeval.errors import UsageError
from saeval.fetch import fetch_member
from saeval.loaders import load_folder
from saeval.registry import Registry, load_registry, resolve
from saeval.sae import SAE, content_hash

logger = logging.getLogger(__name__)

_PATHS = ("/", "./", "../", "~")
"""How texts begin that can only be paths: no registry need be read for them."""
NOTHING = Registry({}, {}, {}, ())


@dataclass(frozen=True)
class Subject:
    """One SAE to score. Its weights are not in memory yet, unless it is an object."""

    label: str
    """What tables call it."""
    member: Any
    """Registry entry, folder, or the object itself."""
    group: EntrySet | None = None
    """The set through which it was asked for."""

    @property
    def set(self) -> str | None:
        """Name of the set."""
        return self.group.name if self.group else None

    @property
    def expected(self) -> Expected:
        """Figures that its entry promises."""
        return self.member.expected if isinstance(self.member, Entry) else Expected()

    def load(self, device: str, dtype: torch.dtype | None = None) -> SAE:
        """Fetch and load it.

        Raises:
            FetchError: if its files cannot be had.
            LoadError: if they cannot be read as an SAE.
        """
        if isinstance(self.member, Entry | FolderRef):
            entry = self.member if isinstance(self.member, Entry) else None
            return load_folder(fetch_member(self.member), entry=entry, device=device, dtype=dtype)
        return _own(self.member, device, dtype)

    def source(self) -> dict[str, Any]:
        """Where it comes from, for the record."""
        if isinstance(self.member, Entry):
            known = ("id", "source", "revision", "sha256")
            return {name: getattr(self.member, name) for name in known}
        if isinstance(self.member, FolderRef):
            return {"source": self.member.name}
        return {"source": f"object {type(self.member).__name__}"}


def _own(member: Any, device: str, dtype: torch.dtype | None) -> SAE:
    """An object as an SAE: saeval's own moved, anybody's wrapped."""
    if isinstance(member, Wrapped):
        return member
    if type(member) in ARCHITECTURES.values():
        return moved(member, device=device, dtype=dtype)
    return wrap(member)


def load_sae(source: Any, *, device: str = "cpu", dtype: torch.dtype | None = None) -> SAE:
    """One SAE from any source that `--sae` takes, or from an object with encode and decode.

    Args:
        source: Registry id, local folder, `hf://org/repo/path@revision`, or object.
        device: Where its tensors go.
        dtype: In which it computes; None: float32.

    Raises:
        UsageError: if nothing, or more than one SAE, is called so.
        FetchError: if its files cannot be had.
        LoadError: if they cannot be read as an SAE.
    """
    found = find_subjects([source])
    if len(found) != 1:
        raise UsageError(f"'{source}' names {len(found)} SAEs; load one of them at a time.")
    return found[0].load(device, dtype)


def find_subjects(saes: Any) -> list[Subject]:
    """The SAEs that a request names, each once, in order. Nothing is fetched or loaded.

    Args:
        saes: A name, path or object; a sequence of these; or a mapping of labels to these.

    Raises:
        UsageError: if a name means nothing (nearest names offered), or there is none at all.
    """
    if isinstance(saes, str | Path) or not isinstance(saes, Sequence | Mapping):
        saes = [saes]
    pairs = saes.items() if isinstance(saes, Mapping) else ((None, one) for one in saes)
    registry: Registry | None = None
    subjects: dict[tuple[str, str | None], Subject] = {}
    for label, one in pairs:
        if isinstance(one, Path) or (isinstance(one, str) and one.startswith(_PATHS)):
            named = _named(_path(one), NOTHING)
        elif isinstance(one, str):
            registry = registry or load_registry()
            named = _named(one, registry)
        else:
            named = [_object(one)]
        if label is not None and len(named) == 1:
            named = [Subject(str(label), named[0].member, named[0].group)]
        for subject in named:
            subjects.setdefault((subject.label, subject.set), subject)
    if not subjects:
        raise UsageError("No SAE was named. Give --sae; `saeval ls saes` lists what is known.")
    return list(subjects.values())


def _path(given: str | Path) -> str:
    """A path as typed, in a form that no registry name has."""
    text = str(given)
    return text if text.startswith(_PATHS) else f"./{text}"


def _named(text: str, registry: Registry) -> list[Subject]:
    selection = resolve(text, registry)
    if selection.note:
        logger.warning("%s", selection.note)
    return [
        Subject(member.id if isinstance(member, Entry) else member.name, member, selection.group)
        for member in selection.members
    ]


def _object(member: Any) -> Subject:
    """An object's label tells it from others of its type, by content."""
    for method in ("encode", "decode"):
        if not callable(getattr(member, method, None)):
            raise UsageError(
                f"{member!r:.80} is no SAE: it has no method '{method}'. Give a registry id, a "
                "folder, or an object with encode and decode."
            )
    sae = _own(member, "cpu", None)
    return Subject(f"{type(member).__name__}-{content_hash(sae)[:8]}", sae)
