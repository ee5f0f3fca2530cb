"""Source and revision -> verified local folder."""

from pathlib import Path

from saeval.errors import FetchError, UsageError, suggestion
from saeval.registry.entries import Entry, FolderRef, Source
from saeval.registry.hashes import content_sha256, files_below
from saeval.registry.hub import bytes_to_fetch, fetch_hub


def fetch_member(member: Entry | FolderRef) -> Path:
    """Local folder of what `resolve` found.

    Raises:
        FetchError: as `fetch`.
    """
    if isinstance(member, FolderRef):
        return fetch(member.source)
    return fetch(member.source, member.revision, member.sha256, root=member.file.parent)


def bytes_to_fetch_member(member: Entry | FolderRef) -> int | None:
    """Bytes that `fetch_member` would download now; 0 if none, None where only the hub could tell.

    Raises:
        FetchError: if the source is malformed, or the hub refuses it.
    """
    if not member.source.startswith("hf://"):
        return 0
    entry = member if isinstance(member, Entry) else None
    try:
        source = Source.parse(member.source)
    except UsageError as error:
        raise FetchError(str(error)) from error
    revision, sha256 = (entry.revision, entry.sha256) if entry else (None, None)
    return bytes_to_fetch(_at(source, revision), sha256)


def fetch(
    source: str,
    revision: str | None = None,
    sha256: str | None = None,
    *,
    root: Path | None = None,
) -> Path:
    """Local folder (or file) of a source, verified.

    Args:
        source: `hf://org/repo/path@revision`, `file://path`, `lab://name`, or a path.
        revision: Branch, tag or commit of a hub source that names none.
        sha256: As `content_sha256` computes it. None: a hub source is pinned at its first fetch,
            and the lab's manifest says what its own are.
        root: Folder that a `file://` source is relative to and must not leave.

    Raises:
        FetchError: saying what failed, why, and what to do.
    """
    if "://" not in source:
        return _verified(source, _existing(source, Path(source)), sha256)
    try:
        parsed = Source.parse(source)
    except UsageError as error:
        raise FetchError(str(error)) from error
    if parsed.scheme == "hf":
        return fetch_hub(_at(parsed, revision), sha256)
    if parsed.scheme == "lab":
        return _verified(source, lab_path(parsed.path), sha256 or _lab_sha256(parsed.path))
    if root is None:
        raise FetchError(f"'{source}' is relative to a registry file. Write the path itself.")
    return _verified(source, _below(source, root, parsed.path), sha256)


def _at(source: Source, revision: str | None) -> Source:
    if revision and source.revision and revision != source.revision:
        raise FetchError(f"{source} names another revision than the '{revision}' asked for.")
    return Source(source.scheme, source.path, source.repository, source.revision or revision)


def lab_path(name: str) -> Path:
    """Folder of one of the lab's trained models or SAEs within the installed package.

    Raises:
        FetchError: if the lab has nothing of that name, with the nearest.
    """
    weights = _lab() / "weights"
    path = _below(f"lab://{name}", weights, name, must_exist=False)
    if path.is_dir() and path != weights.resolve():
        return path
    known = {file.parent.relative_to(weights).as_posix() for file in files_below(weights)}
    raise FetchError(f"The lab has no '{name}'.{suggestion(name, known)}")


def _lab_sha256(name: str) -> str | None:
    """What the lab's manifest says its files are, None of what it does not list."""
    from saeval.registry.lab_manifest import read_rows

    row = read_rows(_lab() / "manifest.json").get(name)
    return row.sha256 if row else None


def _lab() -> Path:
    return Path(__file__).parents[1] / "lab"


def _existing(source: str, path: Path) -> Path:
    if not path.exists():
        raise FetchError(f"'{source}': there is no '{path}'.")
    return path


def _below(source: str, root: Path, path: str, *, must_exist: bool = True) -> Path:
    """The path under its root, with every file in it there too, symbolic links followed."""
    base = root.resolve()
    place = (base / path).resolve()
    if place.is_relative_to(base):
        leaving = [one for one in files_below(place) if not one.resolve().is_relative_to(base)]
    else:
        leaving = [place]
    if leaving:
        raise FetchError(
            f"'{source}' leads to '{leaving[0].resolve()}', outside of '{base}'. A source must "
            "stay below the folder of its registry file, symbolic links included."
        )
    return _existing(source, place) if must_exist else place


def _verified(source: str, path: Path, sha256: str | None) -> Path:
    if sha256 is None:
        return path
    found = content_sha256(path)
    if found != sha256:
        raise FetchError(
            f"'{source}' has another content than expected: sha256 {found}, not {sha256}. Its "
            f"files in '{path}' were not used. Either they were changed or damaged, or the hash in "
            "the registry is out of date."
        )
    return path
