"""The options of a run: one record, from which all uses of an option follow.

A field is an option of `saeval run` and `saeval plan` with its help, a key of their YAML file, and
a keyword of `saeval.evaluate`. Values are checked against its type and `least`. Imports neither
yaml nor torch.
"""

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from saeval.config.counts import Limit

Settings = Mapping[str, Mapping[str, Any]]
"""Task name -> field -> value."""
Dtype = Literal["float32", "bfloat16", "float16"]
DTYPES = typing.get_args(Dtype)
"""Dtypes that a model may compute in."""
DEFAULT_TASKS: Mapping[str, tuple[str, ...]] = {
    "language models": ("core", "probing", "absorption"),
    "synthetic worlds": ("core", "synthetic"),
    "all else": ("core",),
}
"""Tasks that run where none are named, by what an SAE reads."""
_BY_DEFAULT = ", ".join(f"{','.join(names)} for {kind}" for kind, names in DEFAULT_TASKS.items())


@dataclass(frozen=True)
class About:
    """Help and limits of an option, besides its name, type and default."""

    doc: str
    """One or two sentences, shown by --help."""
    metavar: str
    """Placeholder of its value in the help; empty for a flag, and where its choices are shown."""
    flags: tuple[str, ...]
    """Its spellings on the command line; empty: the field's name."""
    least: int | None
    """Smallest number that it may be; None: no limit."""


def about(
    doc: str, *, metavar: str = "", flags: tuple[str, ...] = (), least: int | None = None
) -> dict[str, Any]:
    """The metadata of a field that is an option; see `About`."""
    return {"about": About(doc, metavar, flags, least)}


@dataclass(frozen=True)
class Configuration:
    """A whole run."""

    saes: tuple[str, ...] = field(
        default=(),
        metadata=about(
            "Registry id, set, glob, folder or hf:// source. Repeatable.", flags=("--sae",)
        ),
    )
    tasks: Settings = field(
        default_factory=dict,
        metadata=about(
            f"Tasks in order; in a file, each with its fields. Default: {_BY_DEFAULT}.",
            metavar="NAME,NAME",
        ),
    )
    model: str | None = field(
        default=None,
        metadata=about(
            "Language model, one of the lab's, or lab/synthetic/X; default: the one each SAE "
            "names.",
            metavar="ID|FOLDER",
        ),
    )
    site: str | None = field(
        default=None,
        metadata=about("Module path or alias; default: the one each SAE names.", metavar="PATH"),
    )
    data: str | None = field(
        default=None,
        metadata=about(
            "Texts (.txt, .jsonl, .csv, .parquet), or activations in the place of a model (.npy, "
            ".safetensors, .parquet); default: each task's own.",
            metavar="FILE",
        ),
    )
    registry: str | None = field(
        default=None,
        metadata=about(
            "Registry of yours beside registry.yaml of this folder and of saeval's configuration.",
            metavar="FILE",
        ),
    )
    seeds: tuple[int, ...] = field(
        default=(0,),
        metadata=about(
            "Each task runs once under each; default: 0.",
            metavar="0,1,2",
            flags=("--seeds", "--seed"),
            least=0,
        ),
    )
    limit: Limit | None = field(
        default=None,
        metadata=about(
            "At most so many units, or such a share of them, for tasks that have a limit.",
            metavar="N|SHARE",
            least=1,
        ),
    )
    k: int | None = field(
        default=None,
        metadata=about(
            "Ask every SAE for at most N latents per token; one that takes no such number fails.",
            metavar="N",
            least=1,
        ),
    )
    batch_size: int | Literal["auto"] = field(
        default="auto",
        metadata=about(
            "Rows (of 128 tokens) per pass of the model. Changes no score.",
            metavar="auto|N",
            least=1,
        ),
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = field(
        default="auto", metadata=about("Where the model and the SAEs compute.")
    )
    dtype: Dtype | None = field(default=None, metadata=about("The model's; default: float32."))
    compat: Literal["saebench"] | None = field(
        default=None, metadata=about("Add SAEBench's own definitions, as saebench_*.")
    )
    output_path: str = field(
        default="results",
        metadata=about("Where results are kept; default: results.", metavar="FOLDER"),
    )
    force: bool = field(default=False, metadata=about("Compute again what is there."))


@dataclass(frozen=True)
class Option:
    """One field of `Configuration`, for the command line and for checking its values."""

    name: str
    type: Any
    default: Any
    about: About

    @property
    def flags(self) -> tuple[str, ...]:
        """Its spellings on the command line."""
        return self.about.flags or (f"--{self.name.replace('_', '-')}",)

    @property
    def is_flag(self) -> bool:
        """Whether it takes no value."""
        return self.type is bool

    @property
    def is_repeatable(self) -> bool:
        """Whether it may be given several times, with one text each."""
        return self.type == tuple[str, ...]

    @property
    def is_numeric(self) -> bool:
        """Whether a whole number, or several, may be its value."""
        return int in self.alternatives or self.type == tuple[int, ...]

    @property
    def alternatives(self) -> tuple[Any, ...]:
        """Types that its value may have."""
        united = typing.get_origin(self.type) in (typing.Union, types.UnionType)
        return typing.get_args(self.type) if united else (self.type,)

    @property
    def metavar(self) -> str | None:
        """Placeholder of its value in the help: `about.metavar`, else its choices."""
        choices = [
            choice
            for alternative in self.alternatives
            if typing.get_origin(alternative) is Literal
            for choice in typing.get_args(alternative)
        ]
        return self.about.metavar or "|".join(choices) or None


def options() -> tuple[Option, ...]:
    """All options, in the order in which they are shown."""
    hints = typing.get_type_hints(Configuration)
    blank = Configuration()
    return tuple(
        Option(item.name, hints[item.name], getattr(blank, item.name), item.metadata["about"])
        for item in fields(Configuration)
    )


def find_option(name: str) -> Option:
    """The option of a name, which must exist."""
    return next(option for option in options() if option.name == name)
