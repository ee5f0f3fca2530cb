"""What a registry holds: SAEs and where they lie, named sets of them, the models they read."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from saeval.errors import UsageError

SetKind = Literal["seeds", "layers", "sparsities", "architectures", "checkpoints", "members"]

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
NAME = re.compile(rf"{_PART}(/{_PART})*")
"""What ids and set names look like: parts separated by slashes, no spaces, no `*?[]@:`."""
_REPOSITORY = re.compile(rf"{_PART}/{_PART}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Source:
    """Where files lie: a place on the Hugging Face Hub, beside a registry file, or in the lab."""

    scheme: Literal["hf", "file", "lab"]
    path: str
    """Folder or file within the repository, below the registry file, or name in the lab."""
    repository: str = ""
    """`org/name`, for `hf` only."""
    revision: str | None = None
    """Branch, tag or commit, for `hf` only."""

    @classmethod
    def parse(cls, text: str) -> "Source":
        """Read `hf://org/repo/path@revision`, `file://path` or `lab://name`.

        Raises:
            UsageError: if the scheme is another or the rest is malformed.
        """
        scheme, separator, rest = text.partition("://")
        if not separator or scheme not in ("hf", "file", "lab"):
            raise UsageError(
                f"'{text}' is no source: write hf://org/repo/path@revision, file://path or "
                "lab://name."
            )
        if scheme == "hf":
            return cls._parse_hub(text, rest)
        if not rest or "@" in rest:
            raise UsageError(f"'{text}' must be {scheme}:// and a path, without '@'.")
        return cls("file" if scheme == "file" else "lab", rest)

    @classmethod
    def _parse_hub(cls, text: str, rest: str) -> "Source":
        address, at, revision = rest.partition("@")
        parts = address.rstrip("/").split("/")
        repository, path = "/".join(parts[:2]), "/".join(parts[2:])
        malformed = any(part in ("", ".", "..") or "\\" in part for part in parts)
        if malformed or not _REPOSITORY.fullmatch(repository) or (at and not revision):
            raise UsageError(f"'{text}' is malformed: write hf://org/repo/path@revision.")
        return cls("hf", path, repository, revision or None)

    def __str__(self) -> str:
        address = "/".join(part for part in (self.repository, self.path) if part)
        return f"{self.scheme}://{address}" + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True)
class Expected:
    """Figures that the publisher of an SAE gives for it. The preflight checks them."""

    l0: float | None = None
    """Mean number of active latents per token, above 0."""
    fvu: float | None = None
    """Fraction of variance unexplained, at least 0."""


@dataclass(frozen=True)
class Entry:
    """One SAE that a registry file lists. What is unknown is None, never guessed."""

    id: str
    source: str
    """Where its files lie, in the form that `Source.parse` reads."""
    loader: str | None = None
    """Name of the loader; None: the loader is recognised from the files."""
    model: str | None = None
    """Base model, `org/name` or `org/name@revision`; None: what the files say."""
    site: str | None = None
    """Site or alias that is read, several with commas (in a file also as a list); None: what the
    files say."""
    write_site: str | None = None
    """Site or alias that is reconstructed, several with commas; None: the read site."""
    revision: str | None = None
    """Commit, branch or tag of the source; None: the commit of the first fetch is pinned."""
    sha256: str | None = None
    """`registry.hashes.content_sha256` of the files; None: that of the first fetch is pinned."""
    expected: Expected = field(default_factory=Expected)
    prepend_bos: bool | None = None
    """Whether the rows of the training began with BOS; None: what the files say."""
    centred: bool | None = None
    """Trained on centred (TransformerLens-processed) activations; None: what the files say."""
    input_scale: float | None = None
    """Constant that the training activations were multiplied by, where the files do not give it."""
    license: str | None = None
    notes: str | None = None
    file: Path = Path()
    """Registry file that lists it. `file://` sources lie below its folder."""


def replace_fields(entry: Entry, names: Sequence[str], values: Iterable[Any]) -> Entry:
    """A copy of the entry with other values in the named fields; the values are not checked.

    `dataclasses.replace` sets the fields of a frozen dataclass one by one. For the thousands of
    entries of a registry that takes longer than reading its file, so the copy's `__dict__` is set
    at once.
    """
    fields = entry.__dict__.copy()
    fields.update(zip(names, values, strict=True))
    copy = object.__new__(Entry)
    object.__setattr__(copy, "__dict__", fields)
    return copy


@dataclass(frozen=True)
class EntrySet:
    """SAEs that belong together, for tasks on groups and for comparisons."""

    name: str
    kind: SetKind
    """The respect in which its members differ."""
    members: tuple[str, ...]
    """Ids of the SAEs, in order."""
    notes: str | None = None
    file: Path = Path()
    """Registry file that lists it."""


@dataclass(frozen=True)
class BaseModel:
    """A language model that listed SAEs were trained on."""

    id: str
    """Name on the Hugging Face Hub, or `lab://name`."""
    family: str
    layers: int
    d_model: int
    license: str | None = None
    notes: str | None = None


@dataclass(frozen=True)
class FolderRef:
    """SAE files that no registry lists: a local folder or file, or a source as typed."""

    name: str
    """Its name in tables: the last part of a folder's or file's path, or the source as typed."""
    source: str
    """Absolute path, or a source in the form that `Source.parse` reads."""


def check_entry(entry: Entry) -> None:
    """Check what the types of the fields cannot ensure.

    Raises:
        UsageError: naming the field, its value and what it must be.
    """
    if not NAME.fullmatch(entry.id):
        raise UsageError(f"id '{entry.id}' must be letters, digits and '._-', divided by '/'.")
    source = Source.parse(entry.source)
    if entry.revision and source.scheme != "hf":
        raise UsageError(f"revision '{entry.revision}' belongs to hf:// sources only.")
    if entry.revision and source.revision and entry.revision != source.revision:
        raise UsageError(f"revision '{entry.revision}' contradicts the source '{entry.source}'.")
    if entry.sha256 is not None and not _SHA256.fullmatch(entry.sha256):
        raise UsageError(f"sha256 '{entry.sha256}' must be 64 lower-case hexadecimal digits.")
    check_figures(entry)


def check_figures(entry: Entry) -> None:
    """Check the numbers of an entry.

    Raises:
        UsageError: naming the field, its value and what it must be.
    """
    if entry.input_scale is not None and not 0 < entry.input_scale < float("inf"):
        raise UsageError(f"input_scale must be above 0, not {entry.input_scale:g}.")
    if entry.expected.l0 is not None and entry.expected.l0 <= 0:
        raise UsageError(f"expected l0 must be above 0, not {entry.expected.l0:g}.")
    if entry.expected.fvu is not None and entry.expected.fvu < 0:
        raise UsageError(f"expected fvu must be at least 0, not {entry.expected.fvu:g}.")
