"""Archives unpacked as data: every member looked at first, every byte counted."""

import gzip
import io
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

from saeval.errors import BundleError
from saeval.leaderboard.bundles.limits import LIMITS, Limits
from saeval.leaderboard.bundles.names import SUBMISSION, path_fault

SUFFIXES = (".zip", ".tar.gz", ".tgz")
_CHUNK = 1 << 16


def is_archive(path: Path) -> bool:
    """Whether a file is named as an archive that can be read."""
    return path.is_file() and path.name.lower().endswith(SUFFIXES)


def is_bundle(path: Path) -> bool:
    """Whether a path is meant as a bundle: an archive, or a folder with submission.json."""
    manifest = path / SUBMISSION
    return is_archive(path) or manifest.is_symlink() or manifest.exists()


@contextmanager
def unpacked(path: Path, limits: Limits = LIMITS) -> Iterator[Path]:
    """A temporary folder with the content of an archive, gone afterwards.

    Raises:
        BundleError: if a member is no file or has a name that is not safe, or if there is too much.
    """
    with tempfile.TemporaryDirectory(prefix="saeval-bundle-") as folder:
        root = Path(folder).resolve()
        try:
            if path.name.lower().endswith(".zip"):
                _unpack_zip(path, root, limits)
            else:
                _unpack_tar(path, root, limits)
        except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error) as error:
            raise BundleError(f"'{path.name}' cannot be unpacked: {error}.") from error
        except (NotImplementedError, RuntimeError, ValueError, UnicodeError) as error:
            raise BundleError(f"'{path.name}' is packed in an unknown way: {error}.") from error
        yield root


@runtime_checkable
class _Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, at most so many."""
        ...


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    is_folder: bool
    fault: str | None
    packed: int | None = None


def _unpack_zip(path: Path, root: Path, limits: Limits) -> None:
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        members = [_zip_member(info) for info in infos]
        _check_members(members, limits)
        left = limits.total_bytes
        for info, member in zip(infos, members, strict=True):
            if not member.is_folder:
                with archive.open(info) as source:
                    left -= _copy(source, root / member.name, member, min(left, limits.file_bytes))


def _zip_member(info: zipfile.ZipInfo) -> _Member:
    kind = stat.S_IFMT(info.external_attr >> 16)
    fault = None
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        fault = "is a link or a device; only files are accepted"
    elif info.flag_bits & 0x1:
        fault = "is encrypted"
    # zipfile cuts a name at a null character, so the stored one is looked at.
    name = info.orig_filename
    return _Member(_plain(name), info.file_size, info.is_dir(), fault, info.compress_size)


def _unpack_tar(path: Path, root: Path, limits: Limits) -> None:
    seen: list[_Member] = []
    with gzip.open(path) as stream:
        # Headers are counted too: some of them hold texts of any length.
        counted = io.BufferedReader(_Counted(stream, 2 * limits.total_bytes))
        with tarfile.open(fileobj=counted, mode="r|") as archive:
            for info in archive:
                member = _tar_member(info)
                seen.append(member)
                _check_members(seen, limits)
                if not member.is_folder:
                    source = archive.extractfile(info)
                    if source is None:
                        raise BundleError(f"{member.name!a} has no content.")
                    _copy(source, root / member.name, member, limits.file_bytes)
    packed = max(path.stat().st_size, 1)
    if sum(member.size for member in seen) > limits.ratio * packed:
        raise BundleError(f"It unpacks to more than {limits.ratio} times its size.")


def _tar_member(info: tarfile.TarInfo) -> _Member:
    fault = None
    if info.issym() or info.islnk():
        fault = "is a link; only files are accepted"
    elif not (info.isreg() or info.isdir()) or info.issparse():
        fault = "is no regular file"
    return _Member(_plain(info.name), info.size, info.isdir(), fault)


def _plain(name: str) -> str:
    """A member's name without what says nothing: `./` before it, `/` after a folder's."""
    return name.rstrip("/").removeprefix("./") or name


def _check_members(members: Iterable[_Member], limits: Limits) -> None:
    """Refuse names, kinds and sizes, before anything is written.

    Raises:
        BundleError: naming the member.
    """
    seen: dict[str, str] = {}
    total = 0
    for count, member in enumerate(members, 1):
        if member.is_folder and member.name == ".":
            continue
        fault = path_fault(member.name) or (member.fault and f"{member.name!a} {member.fault}")
        if not fault and member.name.casefold() in seen:
            twin = seen[member.name.casefold()]
            fault = f"{member.name!a} stands twice, or differs from {twin!a} in case alone"
        seen[member.name.casefold()] = member.name
        total += member.size
        if not fault and member.size > limits.file_bytes:
            fault = f"{member.name!a} unpacks to {member.size:,} bytes"
        if not fault and member.packed and member.size > limits.ratio * member.packed:
            fault = f"{member.name!a} unpacks to more than {limits.ratio} times its size"
        if not fault and count > limits.files:
            fault = f"it has more than {limits.files:,} members"
        if not fault and total > limits.total_bytes:
            fault = f"it unpacks to more than {limits.total_bytes:,} bytes"
        if fault:
            raise BundleError(f"The archive is refused: {fault}.")


def _copy(source: _Readable, target: Path, member: _Member, most: int) -> int:
    """Write a member, never more bytes than it states."""
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with target.open("xb") as file:
        while chunk := source.read(_CHUNK):
            written += len(chunk)
            if written > min(member.size, most):
                raise BundleError(f"{member.name!a} unpacks to more bytes than it states.")
            file.write(chunk)
    if written != member.size:
        raise BundleError(f"{member.name!a} unpacks to fewer bytes than it states.")
    return written


class _Counted(io.RawIOBase):
    """A stream that may give only so many bytes."""

    def __init__(self, stream: _Readable, most: int) -> None:
        self._stream, self._left = stream, most

    def readable(self) -> bool:
        """It can be read."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer."""
        chunk = self._stream.read(min(len(buffer), _CHUNK))
        self._left -= len(chunk)
        if self._left < 0:
            raise BundleError("The archive is refused: it unpacks to too many bytes.")
        buffer[: len(chunk)] = chunk
        return len(chunk)


def root_of(folder: Path, marker: str) -> Path:
    """The folder in which a file of this name lies nearest to the top; the folder itself if none.

    Archives hold a bundle's files, or its folder, or the folders above that.
    """
    found = min(folder.rglob(marker), key=lambda path: len(PurePosixPath(path).parts), default=None)
    return folder if found is None else found.parent
