"""What is to be scored: names, folders and objects -> SAEs, loaded one at a time."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

from saeval.config.configuration import check_named
from saeval.errors import LoadError, UsageError
from saeval.models.loading import pick_device
from saeval.registry.entries import Entry, EntrySet, Expected, FolderRef
from saeval.registry.fetch import fetch_member
from saeval.registry.lookup import Registry, load_registry, local, registry_files, resolve
from saeval.sae import SAE, Origin, content_hash
from saeval.sae.architectures import ARCHITECTURES, moved
from saeval.sae.architectures.wrapped import Wrapped, declared_origin, declared_width, wrap
from saeval.sae.loaders import detect_source, load_folder

logger = logging.getLogger(__name__)

_PATHS = ("/", "./", "../", "~")
"""How texts begin that can only be paths: no registry need be read for them."""
NOTHING = Registry({}, {}, {}, ())


@dataclass(frozen=True)
class NamedSAE:
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

    @property
    def widthless(self) -> Origin | None:
        """What an object says of where it belongs that does not say how wide its input is."""
        told = (Entry, FolderRef, Wrapped, *ARCHITECTURES.values())
        if isinstance(self.member, told) or declared_width(self.member) is not None:
            return None
        return declared_origin(self.member)

    def load(
        self, device: str, dtype: torch.dtype | None = None, *, d_in: int | None = None
    ) -> SAE:
        """Fetch and load it.

        Args:
            device: Where its tensors go.
            dtype: In which it computes; None: float32.
            d_in: Width of the site, for an object that tells none.

        Raises:
            FetchError: if its files cannot be had.
            LoadError: if they cannot be read as an SAE.
        """
        if isinstance(self.member, Entry | FolderRef):
            entry = self.member if isinstance(self.member, Entry) else None
            sae = load_folder(fetch_member(self.member), entry=entry, device=device, dtype=dtype)
            return _named_after(self.label, sae)
        return _as_sae(self.member, device, dtype, d_in)

    def source(self) -> dict[str, Any]:
        """Where it comes from, for the record."""
        if isinstance(self.member, Entry):
            fields = ("id", "source", "revision", "sha256")
            return {name: getattr(self.member, name) for name in fields}
        if isinstance(self.member, FolderRef):
            return {"source": self.member.source}
        inner = self.member.foreign.inner if isinstance(self.member, Wrapped) else self.member
        return {"source": f"object {type(inner).__name__}"}


def _named_after(label: str, sae: Any) -> Any:
    """The SAE with the name it was asked for in its origin, which its repr shows."""
    if type(sae) not in ARCHITECTURES.values():
        return sae
    return replace(sae, origin=replace(sae.origin, source=label))


def _as_sae(member: Any, device: str, dtype: torch.dtype | None, d_in: int | None = None) -> SAE:
    """An object as an SAE: saeval's own moved, anybody's wrapped."""
    if isinstance(member, Wrapped):
        return member
    if type(member) in ARCHITECTURES.values():
        return moved(member, device=device, dtype=dtype)
    return wrap(member, d_in=d_in)


def load_sae(source: Any, *, device: str = "cpu", dtype: str | torch.dtype | None = None) -> SAE:
    """One SAE from any source that `--sae` takes, or from an object with encode and decode.

    Args:
        source: Registry id, local folder, `hf://org/repo/path@revision`, or object. An object
            must tell the width of its input, as an attribute `d_in`, say.
        device: Where its tensors go: `auto`, `cpu`, `cuda` or `mps`.
        dtype: In which it computes, such as "bfloat16" or torch.bfloat16; None: float32.

    Raises:
        UsageError: if nothing, or more than one SAE, is called so, or there is no such device or
            dtype.
        FetchError: if its files cannot be had.
        LoadError: if they cannot be read as an SAE.
    """
    device, wanted = pick_device(device), _dtype(dtype)
    named = find_saes([source])
    if len(named) != 1:
        raise UsageError(f"'{source}' names {len(named)} SAEs; load one of them at a time.")
    return named[0].load(device, wanted)


def _dtype(given: str | torch.dtype | None) -> torch.dtype | None:
    """A dtype by its name or itself, if it is one to compute in.

    Raises:
        UsageError: if it is not.
    """
    name = str(given).removeprefix("torch.")
    wanted = getattr(torch, name, None)
    if given is not None and not (isinstance(wanted, torch.dtype) and wanted.is_floating_point):
        raise UsageError(f"'{given}' is no dtype: give float32, bfloat16, float16 or float64.")
    return None if given is None else wanted


def find_saes(saes: Any, registry_file: str | Path | None = None) -> list[NamedSAE]:
    """The SAEs that a request names, each once, in order. Nothing is fetched or loaded.

    A registry entry is labelled by its id, a source as it is written, an object by its content, a
    folder by its own name. Where that is the label of another SAE of the request too, parents are
    put before it until all differ: `seed0/sae`, `seed1/sae`. How its path is typed plays no part.

    Args:
        saes: A name, path or object; a sequence of these; or a mapping of labels to these.
        registry_file: Registry that is read beside the usual ones.

    Raises:
        UsageError: if a name means nothing (nearest names offered), or there is none at all.
    """
    check_named(registry_file, "registry")
    if isinstance(saes, str | Path) or not isinstance(saes, Sequence | Mapping):
        saes = [saes]
    pairs = saes.items() if isinstance(saes, Mapping) else ((None, given) for given in saes)
    registry: Registry | None = None
    named_saes: dict[tuple[Any, ...], NamedSAE] = {}
    for label, given in pairs:
        check_named(given, "SAE")
        if isinstance(given, Path) or (isinstance(given, str) and given.startswith(_PATHS)):
            named = _named(_path(given), NOTHING)
        elif isinstance(given, str):
            registry = registry or load_registry(registry_files(registry_file))
            named = _named(given, registry)
        else:
            named = [_object(given, {named_sae.label for named_sae in named_saes.values()})]
        labelled = label is not None and len(named) == 1
        for named_sae in [replace(named[0], label=str(label))] if labelled else named:
            same = named_sae.label if labelled else _told_by(named_sae.member) or named_sae.label
            named_saes.setdefault((labelled, same, named_sae.set), named_sae)
    if not named_saes:
        raise UsageError("No SAE was named. Give --sae; `saeval ls saes` lists what is known.")
    return _told_apart(named_saes)


def _told_by(member: Any) -> str | None:
    """What tells local files from others: their resolved path."""
    return member.source if isinstance(member, FolderRef) and "://" not in member.source else None


def _told_apart(named_saes: Mapping[tuple[Any, ...], NamedSAE]) -> list[NamedSAE]:
    """SAEs with parents before the names of folders, as far as labels would else be equal.

    Args:
        named_saes: By whether the user labelled it, what tells it from others, and its set.
    """
    labels = [named_sae.label for named_sae in named_saes.values()]
    paths = [
        None if labelled else _told_by(named_sae.member)
        for (labelled, *_), named_sae in named_saes.items()
    ]
    identities = [path or label for path, label in zip(paths, labels, strict=True)]
    for parts in range(2, 1 + max(len(Path(path or "").parts) for path in paths)):
        holders: dict[str, set[str]] = {}
        for label, identity in zip(labels, identities, strict=True):
            holders.setdefault(label, set()).add(identity)
        equal = [
            i for i, path in enumerate(paths) if path is not None and len(holders[labels[i]]) > 1
        ]
        if not equal:
            break
        for i in equal:
            labels[i] = "/".join(Path(str(paths[i])).parts[-parts:])
    return [
        replace(named_sae, label=label)
        for named_sae, label in zip(named_saes.values(), labels, strict=True)
    ]


def _path(given: str | Path) -> str:
    """A path as typed, in a form that no registry name has."""
    text = str(given)
    return text if text.startswith(_PATHS) else f"./{text}"


def _named(text: str, registry: Registry) -> list[NamedSAE]:
    selection = resolve(text, registry)
    if selection.note:
        logger.warning("%s", selection.note)
    return [
        NamedSAE(member.id if isinstance(member, Entry) else member.name, member, selection.group)
        for member in _recognised(text, selection.members)
    ]


def _recognised(text: str, members: Sequence[Entry | FolderRef]) -> list[Entry | FolderRef]:
    """The members, with the folder of an SAE in the place of one of its files.

    Of what a glob matches, files that are no SAE are left out, such as a README.

    Raises:
        UsageError: naming the first folder that a glob matches and that is no SAE, or if nothing
            is left.
    """
    saes: list[Entry | FolderRef] = []
    is_glob = len(members) > 1 or not Path(text).expanduser().exists()
    for member in members:
        place = _told_by(member)
        if place is None or (not is_glob and Path(place).is_dir()):
            saes.append(member)
            continue
        try:
            saes.append(local(detect_source(Path(place))[1]))
        except LoadError as error:
            if is_glob and Path(place).is_dir():
                why = str(error).partition("\n")[0].partition("; looked for")[0]
                raise UsageError(
                    f"'{text}' matches a folder that is no SAE: {why}. Name the SAEs one by one, "
                    "or narrow the pattern."
                ) from error
            if not is_glob:  # loading it says what is wrong with it
                saes.append(member)
    if not saes:
        raise UsageError(f"'{text}' matches {len(members)} files, none of which is an SAE.")
    return saes


def _object(member: Any, taken: Collection[str]) -> NamedSAE:
    """An object's label tells it from others of its type: by content, or else by number.

    What is wrong with it comes up when it is loaded, as with files.

    Raises:
        UsageError: if it lacks a method.
    """
    for method in ("encode", "decode"):
        if not callable(getattr(member, method, None)):
            raise UsageError(
                f"{member!r:.80} is no SAE: it has no method '{method}'. Give a registry id, a "
                "folder, or an object with encode and decode."
            )
    name = type(member).__name__
    try:
        sae = _as_sae(member, "cpu", None)
        return NamedSAE(f"{name}-{content_hash(sae)[:8]}", sae)
    except Exception as error:  # noqa: BLE001  somebody else's code; it is asked again at load
        logger.debug("%s is not ready: %s", name, error)
    free = (f"{name}-{number}" for number in count(1) if f"{name}-{number}" not in taken)
    return NamedSAE(next(free), member)
