"""What is to be scored: names, folders and objects -> SAEs, loaded one at a time."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch

from saeval.config.configuration import refuse_unnameable
from saeval.errors import LoadError, UsageError, shown
from saeval.models.loading import pick_device
from saeval.registry.entries import Entry, EntrySet, Expected, FolderRef
from saeval.registry.fetch import fetch_member
from saeval.registry.file import read_registry_file
from saeval.registry.lookup import Registry, load_registry, local, registry_files, resolve
from saeval.sae import SAE, Origin, content_hash
from saeval.sae.architectures import ARCHITECTURES, moved
from saeval.sae.architectures.wrapped import Wrapped, wrap
from saeval.sae.declared import declared_origin, declared_width
from saeval.sae.loaders import detect_source, load_folder

logger = logging.getLogger(__name__)

_PATHS = ("/", "./", "../", "~")
"""A text that begins so can only be a path, so that no registry has to be read for it."""
EMPTY_REGISTRY = Registry({}, {}, {}, ())


@dataclass(frozen=True)
class NamedSAE:
    """One SAE to score. Its weights are not in memory yet, unless it is an object."""

    label: str
    """Name in tables."""
    member: Any
    """Registry entry, folder, or the object itself."""
    group: EntrySet | None = None
    """The set whose name the user gave; None for an SAE named by itself."""

    @property
    def set(self) -> str | None:
        """Name of the set."""
        return self.group.name if self.group else None

    @property
    def expected(self) -> Expected:
        """Figures that its registry entry promises."""
        return self.member.expected if isinstance(self.member, Entry) else Expected()

    @property
    def origin_without_width(self) -> Origin | None:
        """Origin of an object that does not tell the width of its input; None for all others."""
        types_with_width = (Entry, FolderRef, Wrapped, *ARCHITECTURES.values())
        if isinstance(self.member, types_with_width) or declared_width(self.member) is not None:
            return None
        return declared_origin(self.member)

    def load(
        self, device: str, dtype: torch.dtype | None = None, *, d_in: int | None = None
    ) -> SAE:
        """Fetch and load it.

        Args:
            device: Where its tensors go.
            dtype: The dtype it computes in; None: float32.
            d_in: Width of the site, for an object that does not tell its own.

        Raises:
            FetchError: if its files cannot be fetched.
            LoadError: if they cannot be read as an SAE.
        """
        if isinstance(self.member, Entry | FolderRef):
            entry = self.member if isinstance(self.member, Entry) else None
            sae = load_folder(fetch_member(self.member), entry=entry, device=device, dtype=dtype)
            return _with_label(self.label, sae)
        return _as_sae(self.member, device, dtype, d_in)

    def source(self) -> dict[str, Any]:
        """Where it comes from, as the result records it."""
        if isinstance(self.member, Entry):
            fields = ("id", "source", "revision", "sha256")
            return {name: getattr(self.member, name) for name in fields}
        if isinstance(self.member, FolderRef):
            return {"source": self.member.source}
        inner = self.member.foreign.inner if isinstance(self.member, Wrapped) else self.member
        return {"source": f"object {type(inner).__name__}"}


def _with_label(label: str, sae: Any) -> Any:
    """The SAE with this label as the source in its origin, which its repr shows."""
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
        dtype: The dtype it computes in, such as "bfloat16" or torch.bfloat16; None: float32.

    Raises:
        UsageError: if the name means no SAE or several, or there is no such device or dtype.
        FetchError: if its files cannot be fetched.
        LoadError: if they cannot be read as an SAE.
    """
    device, torch_dtype = pick_device(device), _parse_dtype(dtype)
    named_saes = find_saes([source])
    if len(named_saes) != 1:
        raise UsageError(f"'{source}' names {len(named_saes)} SAEs; load one of them at a time.")
    return named_saes[0].load(device, torch_dtype)


def _parse_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    """A dtype by its name or itself, if it is one to compute in.

    Raises:
        UsageError: if it is not.
    """
    name = str(dtype).removeprefix("torch.")
    torch_dtype = getattr(torch, name, None)
    if dtype is not None and not (
        isinstance(torch_dtype, torch.dtype) and torch_dtype.is_floating_point
    ):
        raise UsageError(f"'{dtype}' is no dtype: give float32, bfloat16, float16 or float64.")
    return None if dtype is None else torch_dtype


def find_saes(saes: Any, registry_file: str | Path | None = None) -> list[NamedSAE]:
    """The SAEs that a request names, each once, in order. Nothing is fetched or loaded.

    A registry entry is labelled by its id, a source by its text, an object by its content, and a
    folder by its last name. Where two SAEs of the request would have one label, parent folders are
    put before the name until all differ: `seed0/sae`, `seed1/sae`. Two ways to type one path give
    one SAE.

    Args:
        saes: A name, path or object; a sequence of these; or a mapping of labels to these.
        registry_file: Registry that is read beside the usual ones.

    Raises:
        UsageError: if a name means nothing (the nearest names are offered), or no SAE is named.
        RegistryError: if the registry file is missing or malformed.
    """
    refuse_unnameable(registry_file, "registry")
    if registry_file is not None:  # a wrong one is an error also where no name needs it
        read_registry_file(registry_files(registry_file)[-1])
    if isinstance(saes, str | Path) or not isinstance(saes, Sequence | Mapping):
        saes = [saes]
    pairs = saes.items() if isinstance(saes, Mapping) else ((None, source) for source in saes)
    registry: Registry | None = None
    named_saes: dict[tuple[Any, ...], NamedSAE] = {}
    for label, source in pairs:
        refuse_unnameable(source, "SAE")
        if isinstance(source, Path) or (isinstance(source, str) and source.startswith(_PATHS)):
            matches = _resolve_name(_as_path(source), EMPTY_REGISTRY)
        elif isinstance(source, str):
            registry = registry or load_registry(registry_files(registry_file))
            matches = _resolve_name(source, registry)
        else:
            matches = [_name_object(source, {named_sae.label for named_sae in named_saes.values()})]
        is_labelled = label is not None and len(matches) == 1
        for named_sae in [replace(matches[0], label=str(label))] if is_labelled else matches:
            identity = (
                named_sae.label if is_labelled else _local_path(named_sae.member) or named_sae.label
            )
            named_saes.setdefault((is_labelled, identity, named_sae.set), named_sae)
    if not named_saes:
        raise UsageError("No SAE was named. Give --sae; `saeval ls saes` lists what is known.")
    return _make_labels_distinct(named_saes)


def _local_path(member: Any) -> str | None:
    """Resolved path of an SAE in local files; None for every other."""
    return member.source if isinstance(member, FolderRef) and "://" not in member.source else None


def _make_labels_distinct(named_saes: Mapping[tuple[Any, ...], NamedSAE]) -> list[NamedSAE]:
    """The SAEs, with parent folders before a label where several SAEs would share it.

    Args:
        named_saes: By key: whether the user labelled it, its identity, and its set.
    """
    labels = [named_sae.label for named_sae in named_saes.values()]
    paths = [
        None if is_labelled else _local_path(named_sae.member)
        for (is_labelled, *_), named_sae in named_saes.items()
    ]
    identities = [path or label for path, label in zip(paths, labels, strict=True)]
    for depth in range(2, 1 + max(len(Path(path or "").parts) for path in paths)):
        holders: dict[str, set[str]] = {}
        for label, identity in zip(labels, identities, strict=True):
            holders.setdefault(label, set()).add(identity)
        clashing = [
            i for i, path in enumerate(paths) if path is not None and len(holders[labels[i]]) > 1
        ]
        if not clashing:
            break
        for i in clashing:
            labels[i] = "/".join(Path(str(paths[i])).parts[-depth:])
    return [
        replace(named_sae, label=label)
        for named_sae, label in zip(named_saes.values(), labels, strict=True)
    ]


def _as_path(source: str | Path) -> str:
    """A path, with `./` before it where it could be read as a name of the registry."""
    text = str(source)
    return text if text.startswith(_PATHS) else f"./{text}"


def _resolve_name(text: str, registry: Registry) -> list[NamedSAE]:
    selection = resolve(text, registry)
    if selection.note:
        logger.warning("%s", selection.note)
    return [
        NamedSAE(member.id if isinstance(member, Entry) else member.name, member, selection.group)
        for member in _folders_of_files(text, selection.members)
    ]


def _folders_of_files(text: str, members: Sequence[Entry | FolderRef]) -> list[Entry | FolderRef]:
    """The members, with the SAE's folder in place of each file in it.

    A glob may match files that are no SAE, such as a README. Those are left out.

    Raises:
        UsageError: naming the first folder that a glob matches and that is no SAE, or if nothing
            is left.
    """
    saes: list[Entry | FolderRef] = []
    is_glob = len(members) > 1 or not Path(text).expanduser().exists()
    for member in members:
        place = _local_path(member)
        if place is None or (not is_glob and Path(place).is_dir()):
            saes.append(member)
            continue
        try:
            saes.append(local(detect_source(Path(place))[1]))
        except LoadError as error:
            if is_glob and Path(place).is_dir():
                reason = str(error).partition("\n")[0].partition("; looked for")[0]
                raise UsageError(
                    f"'{text}' matches a folder that is no SAE: {reason}. Name the SAEs one by "
                    "one, or narrow the pattern."
                ) from error
            if not is_glob:  # loading this one will say what is wrong
                saes.append(member)
    if not saes:
        raise UsageError(f"'{text}' matches {len(members)} files, none of which is an SAE.")
    return saes


def _name_object(member: Any, labels: Collection[str]) -> NamedSAE:
    """An object with a label of its own: its type and a hash of its content, or else a number.

    An object that cannot be hashed yet is no error here. Loading will say what is wrong, as it does
    for files.

    Raises:
        UsageError: if it lacks a method.
    """
    for method in ("encode", "decode"):
        if not callable(getattr(member, method, None)):
            raise UsageError(
                f"{shown(member)} is no SAE: it has no method '{method}'. Give a registry id, a "
                "folder, or an object with encode and decode."
            )
    name = type(member).__name__
    try:
        sae = _as_sae(member, "cpu", None)
        return NamedSAE(f"{name}-{content_hash(sae)[:8]}", sae)
    except Exception as error:  # noqa: BLE001  somebody else's code; it is asked again at load
        logger.debug("%s is not ready: %s", name, error)
    free = (f"{name}-{number}" for number in count(1) if f"{name}-{number}" not in labels)
    return NamedSAE(next(free), member)
