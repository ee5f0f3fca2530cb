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
"""What ids and set names look like: parts divided by slashes, no spaces, no `*?[]@:`."""
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
        place, at, revision = rest.partition("@")
        parts = place.rstrip("/").split("/")
        repository, path = "/".join(parts[:2]), "/".join(parts[2:])
        malformed = any(part in ("", ".", "..") or "\\" in part for part in parts)
        if malformed or not _REPOSITORY.fullmatch(repository) or (at and not revision):
            raise UsageError(f"'{text}' is malformed: write hf://org/repo/path@revision.")
        return cls("hf", path, repository, revision or None)

    def __str__(self) -> str:
        place = "/".join(part for part in (self.repository, self.path) if part)
        return f"{self.scheme}://{place}" + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True)
class Expected:
    """Figures that whoever published an SAE gives for it. Checked when it meets its model."""

    l0: float | None = None
    """Mean active latents a token, above 0."""
    fvu: float | None = None
    """Fraction of variance unexplained, at least 0."""


@dataclass(frozen=True)
class Entry:
    """One SAE that a registry file lists. Unknown is None, never guessed."""

    id: str
    source: str
    """As `Source.parse` reads it."""
    loader: str | None = None
    """Name of the loader; None: recognised from the files."""
    model: str | None = None
    """Base model, `org/name` or `org/name@revision`; None: what the files say."""
    site: str | None = None
    """Site or alias that is read, several with commas (in a file also as a list); None: what the
    files say."""
    write_site: str | None = None
    """Site or alias that is reconstructed, likewise; None: the read site."""
    revision: str | None = None
    """Commit, branch or tag of the source; None: pinned at the first fetch."""
    sha256: str | None = None
    """Hash of the files, as `registry.hashes.content_sha256` computes it; None: pinned likewise."""
    expected: Expected = field(default_factory=Expected)
    prepend_bos: bool | None = None
    """Whether training rows began with BOS; None: what the files say."""
    centred: bool | None = None
    """Trained on centred (TransformerLens-processed) activations; None: what the files say."""
    input_scale: float | None = None
    """Constant that training activations were multiplied by and that the files do not tell."""
    license: str | None = None
    notes: str | None = None
    file: Path = Path()
    """Registry file that lists it. `file://` sources lie below its folder."""


def varied(entry: Entry, names: Sequence[str], values: Iterable[Any]) -> Entry:
    """The same entry with other values in the named fields, which are taken as they are.

    A frozen dataclass sets its eighteen fields one by one, which for a registry's thousands of
    entries takes longer than reading its file.
    """
    fields = entry.__dict__.copy()
    fields.update(zip(names, values, strict=True))
    other = object.__new__(Entry)
    object.__setattr__(other, "__dict__", fields)
    return other


@dataclass(frozen=True)
class EntrySet:
    """SAEs that belong together in one respect, for group tasks and comparisons."""

    name: str
    kind: SetKind
    """In what respect its members differ."""
    members: tuple[str, ...]
    """Ids, in order."""
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
    """What tables call it: the own name of a folder or file, or the source as typed."""
    source: str
    """Absolute path, or as `Source.parse` reads it."""


def check_entry(entry: Entry) -> None:
    """Check what types alone do not say.

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
