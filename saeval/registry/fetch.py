"""Source and revision -> verified local folder."""

from pathlib import Path

from saeval.errors import FetchError, UsageError, suggestion
from saeval.registry.entries import Entry, FolderRef, Source
from saeval.registry.hashes import content_sha256, files_below
from saeval.registry.hub import bytes_to_fetch, fetch_hub


def fetch_member(member: Entry | FolderRef) -> Path:
    """Local folder of a member of a `Selection`.

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
    return bytes_to_fetch(_with_revision(source, revision), sha256)


def fetch(
    source: str,
    revision: str | None = None,
    sha256: str | None = None,
    *,
    root: Path | None = None,
) -> Path:
    """Local folder (or file) of a source, with its hash verified.

    Args:
        source: `hf://org/repo/path@revision`, `file://path`, `lab://name`, or a path.
        revision: Branch, tag or commit of a hub source that names none.
        sha256: As `content_sha256` computes it. None: a hub source is pinned at its first fetch,
            and the lab's manifest gives the hashes of its own.
        root: Folder that a `file://` source is relative to and must not leave.

    Raises:
        FetchError: saying what failed, why, and what to do.
    """
    if "://" not in source:
        return _verify(source, _require_path(source, Path(source)), sha256)
    try:
        parsed = Source.parse(source)
    except UsageError as error:
        raise FetchError(str(error)) from error
    if parsed.scheme == "hf":
        return fetch_hub(_with_revision(parsed, revision), sha256)
    if parsed.scheme == "lab":
        return _verify(source, lab_path(parsed.path), sha256 or _lab_sha256(parsed.path))
    if root is None:
        raise FetchError(f"'{source}' is relative to a registry file. Write the path itself.")
    return _verify(source, _below(source, root, parsed.path), sha256)


def _with_revision(source: Source, revision: str | None) -> Source:
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
    names = {file.parent.relative_to(weights).as_posix() for file in files_below(weights)}
    raise FetchError(f"The lab has no '{name}'.{suggestion(name, names)}")


def _lab_sha256(name: str) -> str | None:
    """Hash of files by the lab's manifest; None if it does not list them."""
    from saeval.registry.lab_manifest import read_rows

    row = read_rows(_lab() / "manifest.json").get(name)
    return row.sha256 if row else None


def _lab() -> Path:
    return Path(__file__).parents[1] / "lab"


def _require_path(source: str, path: Path) -> Path:
    if not path.exists():
        raise FetchError(f"'{source}': there is no '{path}'.")
    return path


def _below(source: str, root: Path, path: str, *, must_exist: bool = True) -> Path:
    """The path below its root, resolved.

    Raises:
        FetchError: if it, or a file in it, leaves the root, also by a symbolic link.
    """
    resolved_root = root.resolve()
    target = (resolved_root / path).resolve()
    if target.is_relative_to(resolved_root):
        files = [file.resolve() for file in files_below(target)]
        outside = [file for file in files if not file.is_relative_to(resolved_root)]
    else:
        outside = [target]
    if outside:
        raise FetchError(
            f"'{source}' leads to '{outside[0].resolve()}', outside of '{resolved_root}'. A source "
            "must stay below the folder of its registry file, symbolic links included."
        )
    return _require_path(source, target) if must_exist else target


def _verify(source: str, path: Path, sha256: str | None) -> Path:
    if sha256 is None:
        return path
    digest = content_sha256(path)
    if digest != sha256:
        raise FetchError(
            f"'{source}' has another content than expected: sha256 {digest}, not {sha256}. Its "
            f"files in '{path}' were not used. Either they were changed or damaged, or the hash in "
            "the registry is out of date."
        )
    return path
