"""All listed SAEs, from the registries of the lab, saeval and the user; and what a name means."""

import fnmatch
import gc
import glob
import re
import sys
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from saeval.config.folders import config_folder
from saeval.errors import RegistryError, UsageError, suggestion
from saeval.registry.entries import BaseModel, Entry, EntrySet, FolderRef, Source
from saeval.registry.file import RegistryFile, read_registry_file

T = TypeVar("T")
FILE_NAME = "registry.yaml"
_WILDCARD = re.compile(r"[*?\[]")
_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Registry:
    """Entries, sets and base models by name, in the order in which files list them."""

    entries: Mapping[str, Entry]
    sets: Mapping[str, EntrySet]
    models: Mapping[str, BaseModel]
    files: tuple[Path, ...]
    """Registry files that were read."""


@dataclass(frozen=True)
class Selection:
    """The SAEs that one `--sae` names."""

    members: tuple[Entry | FolderRef, ...]
    group: EntrySet | None = None
    """The set, if it names one. A glob forms none."""
    note: str | None = None
    """What the user should know about how the name was read."""


def registry_files(beside: str | Path | None = None) -> tuple[Path, ...]:
    """The existing registries of the lab, saeval, the user and the working folder, and `beside`.

    A file with the same bytes as an earlier one is left out. So saeval works within its own
    checkout, where the working folder has a copy of saeval's registry.

    Raises:
        RegistryError: if `beside` cannot be read.
    """
    files: dict[bytes, Path] = {}
    for path in (*lasting_files(), Path.cwd() / FILE_NAME):
        if path.is_file():
            files.setdefault(path.read_bytes(), path)
    if beside is not None:
        path = Path(beside).expanduser().absolute()
        try:
            files.setdefault(path.read_bytes(), path)
        except OSError as error:
            raise RegistryError(f"Cannot read the registry '{beside}': {error}.") from error
    return tuple(files.values())


def lasting_files() -> tuple[Path, ...]:
    """Paths of the registries that are read in every working folder. Not all need to exist."""
    package = Path(__file__).parents[1]
    shipped = package / "data" / FILE_NAME
    return (
        package / "lab" / FILE_NAME,  # first, since it needs no network
        shipped if shipped.exists() else package.parent / FILE_NAME,  # a checkout has it at its top
        config_folder() / FILE_NAME,
    )


def load_registry(files: Sequence[Path] | None = None) -> Registry:
    """Read and merge registry files.

    Args:
        files: Registry files; None for `registry_files()`.

    Raises:
        RegistryError: if a file is malformed, two list the same name, or a set has a member that
            nothing lists.
    """
    paths = tuple(registry_files() if files is None else files)
    with _without_collection():
        return _merge_files(paths, [read_registry_file(path) for path in paths])


@contextmanager
def _without_collection() -> Iterator[None]:
    """While open, garbage is not collected: that would walk thousands of records that remain."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _merge_files(paths: tuple[Path, ...], files: Sequence[RegistryFile]) -> Registry:
    entries = _merge_records(
        "id", [(file.path, {sae.id: sae for sae in file.entries}) for file in files]
    )
    groups = _merge_records(
        "set", [(file.path, {group.name: group for group in file.sets}) for file in files]
    )
    models = _merge_records(
        "model", [(file.path, {model.id: model for model in file.models}) for file in files]
    )
    ids = _Ids(tuple(entries))
    sets = {name: _with_members(group, ids) for name, group in groups.items()}
    if duplicates := entries.keys() & sets.keys():
        raise RegistryError(f"'{min(duplicates)}' names both an SAE and a set. Rename one.")
    return Registry(entries, sets, models, paths)


def _merge_records(kind: str, files: Sequence[tuple[Path, Mapping[str, T]]]) -> dict[str, T]:
    merged: dict[str, T] = {}
    for path, records in files:
        if duplicates := merged.keys() & records.keys():
            name = min(duplicates)
            first_path = next(other for other, earlier in files if name in earlier)
            raise RegistryError(
                f"{kind} '{name}' is listed in '{first_path}' and in '{path}'. Rename or "
                "remove one."
            )
        merged |= records
    return merged


@dataclass(frozen=True)
class _Ids:
    """Ids in the order of the files, and sorted, so that those with a prefix are a slice."""

    in_order: tuple[str, ...]

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """The position of each id in the order of the files."""
        return {name: position for position, name in enumerate(self.in_order)}

    @cached_property
    def sorted(self) -> Sequence[str]:
        """The ids in alphabetical order."""
        return sorted(self.in_order)

    def with_prefix(self, prefix: str) -> list[str]:
        """Ids that begin with a prefix, in the order of the files."""
        begin = bisect_left(self.sorted, prefix)
        end = bisect_left(self.sorted, prefix + chr(sys.maxunicode))
        return sorted(self.sorted[begin:end], key=self.positions.__getitem__)


def _with_members(group: EntrySet, ids: _Ids) -> EntrySet:
    """The set with its globs resolved; a member named twice counts once."""
    members: dict[str, None] = {}
    for member in group.members:
        names = [member] if member in ids.positions else _matching_ids(member, ids)
        if not names:
            near = suggestion(member, ids.in_order)
            raise RegistryError(f"Set '{group.name}': nothing is called '{member}'.{near}")
        members.update(dict.fromkeys(names))
    return replace(group, members=tuple(members))


def _matching_ids(pattern: str, ids: _Ids) -> list[str]:
    """Ids that a glob matches, where `*` matches slashes too; none if the text is not a glob."""
    wildcard = _WILDCARD.search(pattern)
    if wildcard is None:
        return []
    start = pattern[: wildcard.start()]
    if pattern == f"{start}*":
        return ids.with_prefix(start)
    match = re.compile(fnmatch.translate(pattern)).match
    return [name for name in ids.with_prefix(start) if match(name)]


def resolve(text: str, registry: Registry) -> Selection:
    """The SAEs that a name given to `--sae` means.

    In this order: a registry id, a set, a source (`hf://org/repo/path@revision`, `lab://name`), a
    local folder or a file of one, a glob over ids, a glob over folders and files. A glob forms no
    set.

    Raises:
        UsageError: if it is none of these; the nearest names are offered.
    """
    if text in registry.entries:
        return Selection((registry.entries[text],), note=_folder_note(text))
    if group := registry.sets.get(text):
        members = tuple(registry.entries[member] for member in group.members)
        return Selection(members, group, _folder_note(text))
    if "://" in text:
        return Selection((_typed_source(text),))
    folder = Path(text).expanduser()
    if folder.exists():
        return Selection((local(folder),))
    paths = _matching_paths(text)
    if ids := _matching_ids(text, _Ids(tuple(registry.entries))):
        note = _folders_note(text, paths) if paths else None
        return Selection(tuple(registry.entries[name] for name in ids), note=note)
    if paths:
        return Selection(tuple(map(local, paths)))
    raise _unknown_name(text, registry)


def local(path: Path) -> FolderRef:
    """A folder or file under its own name, however its path is typed.

    So relative and absolute paths, `./`, `..`, `~`, a slash at the end and symbolic links give the
    same name, on every machine. Several folders may have one name: the caller tells them apart.
    """
    absolute = path.resolve()
    return FolderRef(absolute.name or str(absolute), str(absolute))


def _matching_paths(pattern: str) -> list[Path]:
    """Folders and files that a glob matches, in natural order (2 before 10); none without a glob.

    As in a shell, hidden files match only patterns with a dot, and `**` goes through all levels.
    """
    if _WILDCARD.search(pattern) is None:
        return []
    paths = glob.glob(str(Path(pattern).expanduser()), recursive=True)  # noqa: PTH207  hides .x
    return [Path(path) for path in sorted(paths, key=_natural_key)]


def _natural_key(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _NUMBER.split(text)]


def _folder_note(text: str) -> str | None:
    if not Path(text).is_dir():
        return None
    return (
        f"'{text}' is a registry name and also a folder here; the registry's was taken. "
        f"For the folder write './{text}'."
    )


def _folders_note(text: str, paths: Sequence[Path]) -> str:
    return (
        f"'{text}' matches registry ids and also {len(paths)} of the folders and files here; the "
        f"registry's were taken. For those here write './{text}'."
    )


def _typed_source(text: str) -> FolderRef:
    source = Source.parse(text)
    if source.scheme == "file":
        raise UsageError(f"'{text}': write the folder's path itself, without 'file://'.")
    return FolderRef(str(source), text)


def _unknown_name(text: str, registry: Registry) -> UsageError:
    if _WILDCARD.search(text):
        return UsageError(
            f"No registry id matches '{text}', and no folder. `saeval ls saes` lists the ids; a "
            "path is matched from the working folder on."
        )
    if text.startswith(("/", "./", "../", "~")):
        return UsageError(f"There is no folder or file '{text}'.")
    near = suggestion(text, [*registry.entries, *registry.sets])
    return UsageError(
        f"No SAE, set or folder is called '{text}'.{near} `saeval ls saes` lists what is known."
    )
