"""Where an SAE reads and writes (`Site`), and what its files say of where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from saeval.errors import UsageError


@dataclass(frozen=True)
class Site:
    """One tensor in a model's forward pass: the input or output of a named module."""

    path: str
    """Full module path in the Hugging Face model, such as `gpt_neox.layers.2`."""
    side: Literal["in", "out"] = "out"
    """Which end of the module: its first positional input, or its (first) output."""

    @classmethod
    def parse(cls, text: str) -> "Site":
        """Read `path:in` or `path:out`; a bare path means its output.

        Raises:
            UsageError: if the path is empty or the side is neither `in` nor `out`.
        """
        path, colon, side = text.partition(":")
        if not path or (colon and side not in ("in", "out")):
            raise UsageError(
                f"'{text}' is not a site: write a module path with ':in' or ':out', "
                "such as 'gpt_neox.layers.2:out'."
            )
        return cls(path, "in" if side == "in" else "out")

    def __str__(self) -> str:
        return f"{self.path}:{self.side}"


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
    """Site or alias whose activation is encoded, as the files name it."""
    write_site: str | None = None
    """Site or alias that is reconstructed; None means the read site."""
    prepend_bos: bool | None = None
    """Whether training rows began with BOS."""
    context_size: int | None = None
    """Tokens a training row."""
    centred: bool = False
    """Trained on TransformerLens-processed (centred) residual-stream activations."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Everything else the configuration held, JSON-like, for the record."""
