"""All SAEs known here: the lab's registry, saeval's own and the user's, and what a name means."""

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
    """Where all this was read."""


@dataclass(frozen=True)
class Selection:
    """What one `--sae` names."""

    members: tuple[Entry | FolderRef, ...]
    group: EntrySet | None = None
    """The set, if it names one. A glob forms none."""
    note: str | None = None
    """What the user should know about how the name was read."""


def registry_files(beside: str | Path | None = None) -> tuple[Path, ...]:
    """The registries of the lab, saeval, the user and the working folder that exist, and one more.

    A file that says the same as an earlier one, byte for byte, is that file again: so saeval's own
    checkout is a working folder like any other.

    Raises:
        RegistryError: if the one more cannot be read.
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
    """Where the registries lie that are read in whatever working folder: not all need exist."""
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
    with _uncollected():
        return _merged_files(paths, [read_registry_file(path) for path in paths])


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without garbage collection, which would walk thousands of new records that all remain."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _merged_files(paths: tuple[Path, ...], read: Sequence[RegistryFile]) -> Registry:
    entries = _merged("id", [(file.path, {sae.id: sae for sae in file.entries}) for file in read])
    groups = _merged("set", [(file.path, {each.name: each for each in file.sets}) for file in read])
    models = _merged(
        "model", [(file.path, {model.id: model for model in file.models}) for file in read]
    )
    ids = _Ids(tuple(entries))
    sets = {name: _with_members(group, ids) for name, group in groups.items()}
    if both := entries.keys() & sets.keys():
        raise RegistryError(f"'{min(both)}' names both an SAE and a set. Rename one.")
    return Registry(entries, sets, models, paths)


def _merged(what: str, files: Sequence[tuple[Path, Mapping[str, T]]]) -> dict[str, T]:
    merged: dict[str, T] = {}
    for path, records in files:
        if both := merged.keys() & records.keys():
            name = min(both)
            home = next(other for other, earlier in files if name in earlier)
            raise RegistryError(
                f"{what} '{name}' is listed in '{home}' and in '{path}'. Rename or remove one."
            )
        merged |= records
    return merged


@dataclass(frozen=True)
class _Ids:
    """Ids in the order in which files list them, and sorted, so that a prefix is found at once."""

    listed: tuple[str, ...]

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Where each id stands in the list."""
        return {name: place for place, name in enumerate(self.listed)}

    @cached_property
    def sorted(self) -> Sequence[str]:
        """The ids in alphabetical order."""
        return sorted(self.listed)

    def beginning(self, start: str) -> list[str]:
        """Ids that begin in one way, in the order of the list."""
        begin = bisect_left(self.sorted, start)
        end = bisect_left(self.sorted, start + chr(sys.maxunicode))
        return sorted(self.sorted[begin:end], key=self.places.__getitem__)


def _with_members(group: EntrySet, ids: _Ids) -> EntrySet:
    """The set with its globs resolved; a member named twice counts once."""
    members: dict[str, None] = {}
    for member in group.members:
        names = [member] if member in ids.places else _matching(member, ids)
        if not names:
            near = suggestion(member, ids.listed)
            raise RegistryError(f"Set '{group.name}': nothing is called '{member}'.{near}")
        members.update(dict.fromkeys(names))
    return replace(group, members=tuple(members))


def _matching(pattern: str, ids: _Ids) -> list[str]:
    """Names that a glob matches, `*` across slashes too; none if it is no glob."""
    wildcard = _WILDCARD.search(pattern)
    if wildcard is None:
        return []
    start = pattern[: wildcard.start()]
    if pattern == f"{start}*":
        return ids.beginning(start)
    match = re.compile(fnmatch.translate(pattern)).match
    return [name for name in ids.beginning(start) if match(name)]


def resolve(text: str, registry: Registry) -> Selection:
    """What a name given to `--sae` means.

    In this order: a registry id, a set, a source (`hf://org/repo/path@revision`, `lab://name`), a
    local folder or a file of one, a glob over ids, a glob over folders and files. A glob forms no
    set.

    Raises:
        UsageError: if it is none of these; the nearest names are offered.
    """
    if text in registry.entries:
        return Selection((registry.entries[text],), note=_also_folder(text))
    if group := registry.sets.get(text):
        members = tuple(registry.entries[member] for member in group.members)
        return Selection(members, group, _also_folder(text))
    if "://" in text:
        return Selection((_typed_source(text),))
    folder = Path(text).expanduser()
    if folder.exists():
        return Selection((local(folder),))
    here = _matching_here(text)
    if ids := _matching(text, _Ids(tuple(registry.entries))):
        note = _also_folders(text, here) if here else None
        return Selection(tuple(registry.entries[name] for name in ids), note=note)
    if here:
        return Selection(tuple(map(local, here)))
    raise _unknown(text, registry)


def local(path: Path) -> FolderRef:
    """A folder or file under its own name, however its path is typed.

    So relative and absolute paths, `./`, `..`, `~`, a slash at the end and symbolic links give one
    name, the same on every machine. Who asks for several of one name tells them apart.
    """
    place = path.resolve()
    return FolderRef(place.name or str(place), str(place))


def _matching_here(pattern: str) -> list[Path]:
    """Folders and files that a glob matches, in natural order (2 before 10); none if it is no glob.

    As in a shell, hidden ones are matched only by name, and `**` goes through all levels.
    """
    if _WILDCARD.search(pattern) is None:
        return []
    paths = glob.glob(str(Path(pattern).expanduser()), recursive=True)  # noqa: PTH207  hides .x
    return [Path(path) for path in sorted(paths, key=_natural)]


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _NUMBER.split(text)]


def _also_folder(text: str) -> str | None:
    if not Path(text).is_dir():
        return None
    return (
        f"'{text}' is a registry name and also a folder here; the registry's was taken. "
        f"For the folder write './{text}'."
    )


def _also_folders(text: str, here: Sequence[Path]) -> str:
    return (
        f"'{text}' matches registry ids and also {len(here)} of the folders and files here; the "
        f"registry's were taken. For those here write './{text}'."
    )


def _typed_source(text: str) -> FolderRef:
    source = Source.parse(text)
    if source.scheme == "file":
        raise UsageError(f"'{text}': write the folder's path itself, without 'file://'.")
    return FolderRef(str(source), text)


def _unknown(text: str, registry: Registry) -> UsageError:
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
