"""Where SAEs read and write (`Site`, `Sites`), and where they come from (`Origin`)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from saeval.errors import UsageError

_SITE = re.compile(
    r"(?P<path>[^:\[\]*\s]+)(?::(?P<side>in|out))?"
    r"(?:\[(?P<first>\d+):(?P<end>\d+)\])?(?:\*(?P<factor>-?\d[\d.e+-]*))?"
)


@dataclass(frozen=True)
class Site:
    """One tensor in a model's forward pass: the input or output of a named module, or a part of it.

    Written `path:in` or `path:out`; then `[8:16]` for some components, and `*0.22` for a factor.
    """

    path: str
    """Full module path in the Hugging Face model, such as `gpt_neox.layers.2`."""
    side: Literal["in", "out"] = "out"
    """Which end of the module: its first positional input, or its (first) output."""
    components: tuple[int, int] | None = None
    """Which of a token's numbers: from the first up to, but not with, the second, such as those of
    one head. None for all. Writing at the site leaves the other numbers as they are."""
    factor: float = 1.0
    """The tensor is multiplied by this when it is read, and divided by it when it is written. Some
    blocks (Granite) scale what a module emits before they add it to the stream."""

    @classmethod
    def parse(cls, text: str) -> "Site":
        """Read a site as it is written; a bare path means the module's output.

        Raises:
            UsageError: if it is written otherwise, or no components or a factor of 0 are named.
        """
        parts = _SITE.fullmatch(text)
        if parts is None:
            raise UsageError(
                f"'{text}' is not a site: write a module path with ':in' or ':out', "
                "such as 'gpt_neox.layers.2:out'."
            )
        components = (int(parts["first"]), int(parts["end"])) if parts["end"] else None
        try:
            factor = float(parts["factor"] or 1)
        except ValueError:
            factor = 0.0
        if not factor or (components and components[0] >= components[1]):
            raise UsageError(
                f"'{text}' names no numbers: components are written [from:to], such as [0:64], and "
                "a factor is a number other than 0, such as *0.22."
            )
        return cls(parts["path"], "in" if parts["side"] == "in" else "out", components, factor)

    @property
    def is_whole(self) -> bool:
        """Whether it is the tensor itself, all of it and unscaled."""
        return self.components is None and self.factor == 1

    def __str__(self) -> str:
        part = f"[{self.components[0]}:{self.components[1]}]" if self.components else ""
        return f"{self.path}:{self.side}{part}" + (f"*{self.factor!r}" if self.factor != 1 else "")


@dataclass(frozen=True)
class Sites:
    """Where SAEs read and what they reconstruct: one site, except for crosscoders and the like.

    Both are empty for stored activations.
    """

    read: tuple[Site, ...] = ()
    """Sites whose activations, side by side, are x."""
    write: tuple[Site, ...] = ()
    """Sites whose activations are y: the read sites, except for transcoders."""

    @property
    def several(self) -> bool:
        """Whether there is more than one site at either end."""
        return max(len(self.read), len(self.write)) > 1

    def __str__(self) -> str:
        read, write = joined(self.read), joined(self.write)
        return read if self.read == self.write else f"{read} -> {write}"


def of_head(hook: str | None, head: int | None) -> str | None:
    """A hook that holds all heads side by side, or one head of it, counted from 0: `hook_z[1]`."""
    return hook if hook is None or head is None else f"{hook}[{head}]"


def joined(sites: Iterable[Site | str]) -> str:
    """Sites as one text, separated by commas, which no module path or hook contains."""
    return ",".join(map(str, sites))


def site_names(text: str | None) -> tuple[str, ...]:
    """Names of the sites in a text as `joined` writes it; none for None.

    Raises:
        UsageError: if a name is empty or stands twice.
    """
    names = () if text is None else tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise UsageError(
            f"'{text}' names no sites: give one, or several of them, each once, with commas."
        )
    return names


@dataclass(frozen=True)
class Origin:
    """What an SAE's files say about where it comes from. Unknown is None, never guessed."""

    loader: str = "object"
    """Name of the loader that read the files, `object` for a Python object."""
    architecture: str = "object"
    """Architecture id as in `saeval/architectures` (`topk`, `jumprelu`, ...)."""
    model: str | None = None
    """Base model as the files name it, such as `EleutherAI/pythia-160m-deduped`."""
    read_site: str | None = None
    """Site or alias whose activation is encoded, as the files name it; several with commas."""
    write_site: str | None = None
    """Site or alias that is reconstructed, likewise; None means the read site."""
    prepend_bos: bool | None = None
    """Whether training rows began with BOS."""
    context_size: int | None = None
    """Tokens per training row."""
    centred: bool = False
    """Trained on TransformerLens-processed (centred) residual-stream activations."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Everything else the configuration held, JSON-like, for the record."""
    source: str | None = None
    """Name under which the user asked for it, such as a registry id. It stands in no file."""

    @property
    def read_sites(self) -> tuple[str, ...]:
        """Names of the sites that are read; none if the files name none."""
        return site_names(self.read_site)

    @property
    def write_sites(self) -> tuple[str, ...]:
        """Names of the sites that are reconstructed."""
        return site_names(self.write_site) or self.read_sites
